/** What was written down, the newest first: a few at once, the others behind a click. */
import { html, nothing, type TemplateResult } from "lit";
import type { Card, Note } from "../contract.ts";
import { count, moment } from "../format.ts";
import type { Language, Texts } from "../i18n/index.ts";
import { folded } from "../known.ts";
import { line } from "./text.ts";

// What fits beside the rest of the card without scrolling.
const SHOWN = 3;

export function notes(card: Card, language: Language, now: Date, t: Texts): TemplateResult | typeof nothing {
  if (card.notes.length === 0) return nothing;
  const [first, rest] = folded(card.notes, SHOWN);
  const one = (note: Note): TemplateResult => html`
    <li class="note" ?data-now=${note.call_id === card.call_id}>
      <p dir="auto">${note.text}</p>
      <span class="muted">${line([
        note.call_id === card.call_id && t.thisCall,
        note.author,
        moment(note.at, now, language),
      ])}</span>
    </li>
  `;
  return html`
    <ul class="notes">
      ${first.map(one)}
    </ul>
    ${rest.length === 0
      ? nothing
      : html`<details class="more-notes">
          <summary>${t.more(count(rest.length, language))}</summary>
          <ul class="notes" tabindex="0" aria-label=${t.notes}>
            ${rest.map(one)}
          </ul>
        </details>`}
  `;
}
