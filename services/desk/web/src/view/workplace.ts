/** Where the calls are: the cards, what was before, the bar of the conversation. */
import { html, type TemplateResult } from "lit";
import { repeat } from "lit/directives/repeat.js";
import { conversations, onScreen, type Desk } from "../desk-state.ts";
import { time } from "../format.ts";
import type { Language, Texts } from "../i18n/index.ts";
import type { Link } from "../push.ts";
import { bar } from "./bar.ts";
import type { PaintedEvent } from "./card.ts";
import type { Hands } from "./forms/form.ts";
import { icons } from "./icons.ts";
import { recent } from "./recent.ts";

export interface Workplace {
  readonly desk: Desk;
  readonly link: Link;
  /** The browser's clock, ms. */
  readonly now: number;
  readonly language: Language;
  readonly hands: Hands;
  openElsewhere(call: string): boolean;
  painted(event: PaintedEvent): void;
  /** The agent clicks on a card, or goes into it by keyboard. */
  touched(event: Event): void;
}

export function workplace(place: Workplace, t: Texts): TemplateResult {
  const { desk, language } = place;
  const cards = onScreen(desk);
  const serverNow = place.now + desk.clockOffset;
  return html`
    <div class="workplace">
      <main
        tabindex="-1"
        aria-label=${t.desk}
        @card-painted=${place.painted}
        @pointerdown=${place.touched}
        @focusin=${place.touched}
      >
        ${cards.length === 0
          ? waiting(place, t)
          : html`<div class="cards" data-count=${cards.length}>
              ${repeat(
                cards,
                (card) => card.call_id,
                (card) =>
                  html`<call-card
                    .card=${card}
                    .language=${language}
                    .now=${serverNow}
                    .hands=${place.hands}
                    .kept=${desk.kept.has(card.call_id)}
                    .openElsewhere=${place.openElsewhere(card.call_id)}
                  ></call-card>`,
              )}
            </div>`}
      </main>
      ${recent(desk.recent, new Date(serverNow), language, t)}
    </div>
    ${bar(conversations(desk), serverNow, t)}
  `;
}

function waiting({ link, now, language }: Workplace, t: Texts): TemplateResult {
  const [title, advice] =
    link === "connected"
      ? [t.waiting, t.waitingHint]
      : link === "connecting"
        ? [t.link.connecting, ""]
        : [t.waitingOffline, t.waitingOfflineHint];
  return html`
    <section class="waiting">
      <span class="waiting-icon">${icons.waiting}</span>
      <h1>${title}</h1>
      <p class="muted">${advice}</p>
      <p class="waiting-clock">${time(new Date(now), language)}</p>
    </section>
  `;
}
