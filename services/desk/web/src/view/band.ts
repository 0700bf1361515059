/** The band of a card: what the call does, and for how long. */
import { html, nothing, type TemplateResult } from "lit";
import type { Card, CardState } from "../contract.ts";
import { clock } from "../format.ts";
import type { Texts } from "../i18n/index.ts";
import { since } from "../who.ts";
import { icons } from "./icons.ts";

export function band(card: Card, now: number, openElsewhere: boolean, t: Texts): TemplateResult {
  const closed = card.state === "closed";
  const until = closed && card.call.ended_at ? Date.parse(card.call.ended_at) : now;
  // How long is not known of what never was a conversation, or whose end was not heard.
  const timeless = closed && (card.call.answered_at === null || card.call.ended_at === null);
  return html`
    <p class="band">
      ${ICONS[card.state]}<span class="band-state">${word(card, t)}</span>
      ${card.call.direction === "inbound" ? nothing : html`<span class="band-more">${t.direction[card.call.direction]}</span>`}
      ${openElsewhere && !closed ? html`<span class="band-more">${t.openElsewhere}</span>` : nothing}
      ${timeless ? nothing : html`<span class="band-clock" role="timer" aria-live="off">${clock(until - since(card))}</span>`}
    </p>
  `;
}

function word(card: Card, t: Texts): string {
  if (card.state === "closed") return card.close_reason ? t.closed[card.close_reason] : t.closedUnheard;
  return card.state === "ringing" && card.call.direction === "outbound" ? t.state.dialling : t.state[card.state];
}

const ICONS: Record<CardState, TemplateResult> = {
  ringing: icons.ringing,
  answered: icons.answered,
  held: icons.held,
  closed: icons.closed,
};
