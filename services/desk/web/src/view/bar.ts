/** The customer's name stays in sight for the whole conversation, wherever the page is scrolled to. */
import { html, nothing, type TemplateResult } from "lit";
import type { Card } from "../contract.ts";
import { clock } from "../format.ts";
import type { Texts } from "../i18n/index.ts";
import { headline, number, since, speaker } from "../who.ts";
import { icons } from "./icons.ts";

/** `now`: the server's clock, ms. */
export function bar(talking: readonly Card[], now: number, t: Texts): TemplateResult | typeof nothing {
  if (talking.length === 0) return nothing;
  return html`<footer class="bar" aria-label=${t.currentCall}>${talking.map((card) => one(card, now, t))}</footer>`;
}

function one(card: Card, now: number, t: Texts): TemplateResult {
  const who = headline(card, t);
  const shown = number(card);
  const person = speaker(card);
  return html`
    <p data-state=${card.state}>
      ${card.state === "held" ? icons.held : icons.answered}
      <strong title=${who}><bdi>${who}</bdi></strong>
      ${person === null ? nothing : html`<span class="bar-person"><bdi>${t.speaks(person)}</bdi></span>`}
      ${shown && shown !== who ? html`<span class="bar-number">${shown}</span>` : nothing}
      <span class="bar-state">${card.state === "held" ? t.state.held : t.state.answered}</span>
      <span class="bar-clock">${clock(now - since(card))}</span>
    </p>
  `;
}
