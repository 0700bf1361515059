/** One call. While it rings a glance is enough; when it is answered the card opens up; when it is over it steps back. */
import { html, LitElement, nothing, type PropertyValues, type TemplateResult } from "lit";
import { customElement, property } from "lit/decorators.js";
import { actionOf } from "../actions.ts";
import type { Card } from "../contract.ts";
import { texts, type Language } from "../i18n/index.ts";
import { advice } from "./advice.ts";
import { band } from "./band.ts";
import { caller } from "./caller.ts";
import { compact } from "./compact.ts";
import { facts } from "./facts.ts";
import type { Hands } from "./forms/form.ts";
import { known } from "./known.ts";
import { sources } from "./sources.ts";
import { warnings } from "./warnings.ts";
import { work } from "./work.ts";
import "./forms/identify.ts";

/** Fired once the browser has painted this revision of a card that rings. */
export class PaintedEvent extends Event {
  constructor(readonly card: Card) {
    super("card-painted", { bubbles: true });
  }
}

@customElement("call-card")
export class CallCard extends LitElement {
  @property({ attribute: false }) card!: Card;
  @property({ attribute: false }) language!: Language;
  /** The server's clock, ms. */
  @property({ attribute: false }) now!: number;
  @property({ attribute: false }) hands!: Hands;
  /** Something is typed in it and not sent: it goes on to be written in when the call is over. */
  @property({ attribute: false }) kept = false;
  /** The agent looks at it in another tab of this browser. */
  @property({ attribute: false }) openElsewhere = false;

  // One style sheet for the page, and the parts are within reach of the browser's own tools (find, translate).
  protected override createRenderRoot(): HTMLElement {
    return this;
  }

  protected override updated(changed: PropertyValues<this>): void {
    // A card object is one revision: the same one painted again (the clock, the language) is no news.
    if (!changed.has("card") || this.card.state !== "ringing") return;
    const card = this.card;
    // The first frame callback runs before the paint, the second one after it. A hidden tab paints nothing and says so.
    requestAnimationFrame(() => requestAnimationFrame(() => this.dispatchEvent(new PaintedEvent(card))));
  }

  protected override render(): TemplateResult {
    const { card, language } = this;
    const t = texts(language);
    const now = new Date(this.now);
    const title = `card-${card.call_id}`;
    const closed = card.state === "closed";
    const open = card.state === "answered" || card.state === "held";
    const writing = open || (closed && this.kept);
    return html`
      <article class="card" data-state=${card.state} data-call=${card.call_id} aria-labelledby=${title}>
        ${band(card, this.now, this.openElsewhere, t)}${closed ? nothing : warnings(card, language, now, t)}
        <div class="card-body" data-match=${card.match}>
          ${caller(card, title, t)}
          ${writing && actionOf(card, "identify")
            ? html`<identify-caller .card=${card} .language=${language} .hands=${this.hands}></identify-caller>`
            : nothing}
          ${closed ? nothing : advice(card, t)}
          ${closed ? nothing : facts(card, t)}
          ${card.state === "ringing" ? compact(card, language, now, t) : nothing}
          ${writing ? work(card, this.hands, language, now, t) : nothing}
          ${open ? html`<div class="known">${known(card, language, now, t)}</div>` : nothing}
          ${sources(card, language, t)}
        </div>
      </article>
    `;
  }
}
