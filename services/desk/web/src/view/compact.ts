/** While it rings a glance must be enough: the one thing of each kind that the caller most likely calls about. */
import { html, nothing, type TemplateResult } from "lit";
import type { Card } from "../contract.ts";
import { date, moment } from "../format.ts";
import { count } from "../format.ts";
import type { Language, Texts } from "../i18n/index.ts";
import { ranked } from "../known.ts";
import { line, type Text } from "./text.ts";

// As many as are read at a glance; the others are there when the call is answered.
const CANDIDATES = 3;
const NOTES = 2;

export function compact(card: Card, language: Language, now: Date, t: Texts): TemplateResult {
  return html`${candidates(card, language, t)}${highlights(card, language, now, t)}`;
}

function candidates(card: Card, language: Language, t: Texts): TemplateResult | typeof nothing {
  if (card.match !== "several") return nothing;
  const all = ranked(card.candidates);
  return html`
    <ol class="glance">
      ${all.slice(0, CANDIDATES).map((one) => html`<li><strong><bdi>${one.name}</bdi></strong> <span class="muted">${line([one.why])}</span></li>`)}
      ${all.length > CANDIDATES ? html`<li class="muted">${t.more(count(all.length - CANDIDATES, language))}</li>` : nothing}
    </ol>
  `;
}

function highlights(card: Card, language: Language, now: Date, t: Texts): TemplateResult | typeof nothing {
  const more = (all: readonly unknown[]): string | null =>
    all.length > 1 ? t.more(count(all.length - 1, language)) : null;
  const [ticket] = card.tickets;
  const [order] = card.orders;
  const [callback] = card.callbacks;
  // What a colleague wrote in this call: it is passed on, and the caller shall not tell it again.
  const notes = card.notes.filter((note) => note.call_id === card.call_id).slice(0, NOTES);
  const rows: [string, Text, Text[]][] = [];
  for (const note of notes) rows.push([t.note.label, note.text, [note.author]]);
  if (callback) {
    const due = callback.due_at && t.due(moment(callback.due_at, now, language));
    rows.push([t.callbacks, callback.reason ?? callback.id, [due, more(card.callbacks)]]);
  }
  if (ticket) {
    const since = ticket.opened_at && t.since(date(ticket.opened_at, now, language));
    rows.push([t.ticket, ticket.subject, [ticket.status, since, more(card.tickets)]]);
  }
  if (order) rows.push([t.order, order.title, [order.status, more(card.orders)]]);
  if (rows.length === 0) return nothing;
  return html`<dl class="highlights">
    ${rows.map(
      ([name, value, rest]) =>
        html`<dt>${name}</dt>
          <dd><strong>${line([value])}</strong> <span class="muted">${line(rest)}</span></dd>`,
    )}
  </dl>`;
}
