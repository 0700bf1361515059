/** One call: who it is first, what to say second, everything known below. */
import { html, LitElement, nothing, type PropertyValues, type TemplateResult } from "lit";
import { customElement, property } from "lit/decorators.js";
import type { Card, CardState, PastCall } from "../contract.ts";
import { clock, count, date, duration, moment, money, safeUrl } from "../format.ts";
import { texts, type Language, type Texts } from "../i18n/index.ts";
import { headline, hint, kind, number, since } from "../who.ts";
import { icons } from "./icons.ts";

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
    const { card, language, now } = this;
    const t = texts(language);
    const title = `card-${card.call_id}`;
    return html`
      <article class="card" data-state=${card.state} data-call=${card.call_id} aria-labelledby=${title}>
        ${stateBand(card, now, t)}
        <div class="card-body">
          <header class="who">
            <div class="who-names">
              <h2 id=${title}>${headline(card, t)}</h2>
              ${numberLine(card, t)}
            </div>
            ${badges(card)}
          </header>
          ${advice(card, t)}
          <dl class="facts">${facts(card, t)}</dl>
          ${candidates(card, t)}
          <div class="sections">${sections(card, language, new Date(now), t)}</div>
          ${sourceProblems(card, t)}
        </div>
      </article>
    `;
  }
}

function stateBand(card: Card, now: number, t: Texts): TemplateResult {
  const closed = card.state === "closed";
  const until = closed && card.call.ended_at ? Date.parse(card.call.ended_at) : now;
  const never = closed && card.call.answered_at === null;
  const word = card.state === "closed" ? t.closed[card.close_reason ?? "ended"] : stateWord(card, card.state, t);
  return html`
    <p class="band">
      ${ICONS[card.state]}<span class="band-state">${word}</span>
      ${card.call.direction === "inbound" ? nothing : html`<span class="band-more">${t.direction[card.call.direction]}</span>`}
      ${never ? nothing : html`<span class="band-clock" role="timer" aria-live="off">${clock(until - since(card))}</span>`}
    </p>
  `;
}

function stateWord(card: Card, state: Exclude<CardState, "closed">, t: Texts): string {
  return state === "ringing" && card.call.direction === "outbound" ? t.state.dialling : t.state[state];
}

const ICONS: Record<CardState, TemplateResult> = {
  ringing: icons.ringing,
  answered: icons.answered,
  held: icons.held,
  closed: icons.closed,
};

function numberLine(card: Card, t: Texts): TemplateResult | typeof nothing {
  const shown = number(card);
  // Where the number is the headline, it is not said twice.
  const parts = [shown === headline(card, t) ? null : shown, kind(card, t)].filter(
    (part) => part !== null && part !== headline(card, t),
  );
  return parts.length === 0
    ? nothing
    : html`<p class="number">${parts.map((part) => html`<span>${part}</span>`)}</p>`;
}

function badges(card: Card): TemplateResult | typeof nothing {
  const { category, tags } = card.caller;
  if (!category && tags.length === 0) return nothing;
  return html`
    <ul class="badges">
      ${category
        ? html`<li class="badge badge-category" .style=${badgeColour(category.colour)}>${category.label}</li>`
        : nothing}
      ${tags.map((tag) => html`<li class="badge">${tag}</li>`)}
    </ul>
  `;
}

/**
 * The colour of a category comes from the company's data; one the browser does not know is left out. Set as the
 * property `style`, since the content security policy refuses the attribute.
 */
function badgeColour(colour: string | null): string {
  return colour !== null && CSS.supports("color", colour) ? `--badge: ${colour}` : "";
}

function advice(card: Card, t: Texts): TemplateResult | typeof nothing {
  const ask = hint(card, t);
  if (!ask && !card.greeting && !card.script) return nothing;
  return html`
    <div class="advice">
      ${card.greeting ? html`<p class="greeting"><span class="label">${t.greeting}</span>${card.greeting}</p>` : nothing}
      ${ask ? html`<p class="hint">${ask}</p>` : nothing}
      ${card.script ? html`<p class="script"><span class="label">${t.script}</span>${card.script}</p>` : nothing}
    </div>
  `;
}

function facts(card: Card, t: Texts): TemplateResult[] {
  const { call, caller } = card;
  const waited = call.ringing_at ? Date.parse(call.ringing_at) - Date.parse(call.started_at) : null;
  const known: [string, string | null][] = [
    [t.line, call.did],
    [t.queue, call.queue],
    // Below a second it is no waiting, it is the way of the call.
    [t.waited, waited !== null && waited >= 1000 && call.direction === "inbound" ? clock(waited) : null],
    [t.digits, call.digits.join(" · ") || null],
    [t.manager, caller.manager],
  ];
  return known.flatMap(([name, value]) =>
    value === null ? [] : [html`<div><dt>${name}</dt><dd>${value}</dd></div>`],
  );
}

function candidates(card: Card, t: Texts): TemplateResult | typeof nothing {
  if (card.candidates.length === 0) return nothing;
  const ranked = [...card.candidates].sort((a, b) => b.score - a.score);
  return html`
    <section class="candidates">
      <h3>${t.people}</h3>
      <ol>
        ${ranked.map((one) => html`<li><strong>${one.name}</strong><span class="muted">${one.why}</span></li>`)}
      </ol>
    </section>
  `;
}

function sections(card: Card, language: Language, now: Date, t: Texts): (TemplateResult | typeof nothing)[] {
  const { caller } = card;
  return [
    section(t.accounts, caller.accounts, (account) =>
      row(account.number, [account.product, account.status], t.source(account.source)),
    ),
    section(t.tickets, card.tickets, (ticket) =>
      row(
        linked(ticket.subject, ticket.url),
        [ticket.number, ticket.status, ticket.opened_at && t.since(date(ticket.opened_at, now, language))],
        t.source(ticket.source),
      ),
    ),
    section(t.orders, card.orders, (order) =>
      row(
        linked(order.title, order.url),
        [
          order.number,
          order.status,
          order.amount && money(order.amount, language),
          order.ordered_at && date(order.ordered_at, now, language),
        ],
        t.source(order.source),
      ),
    ),
    section(t.callbacks, card.callbacks, (callback) =>
      row(callback.reason ?? callback.id, [
        callback.due_at && t.due(moment(callback.due_at, now, language)),
        t.attempts(count(callback.attempts, language)),
      ]),
    ),
    section(t.people, caller.people, (person) => row(person.name, [], t.source(person.source))),
    section(t.history, card.history, (past) =>
      row(moment(past.at, now, language), [
        outcome(past, language, t),
        past.agent && t.withAgent(past.agent),
        past.queue,
      ]),
    ),
    section(
      t.links,
      card.links.filter((link) => safeUrl(link.url) !== null),
      (link) => row(linked(link.label, link.url), []),
    ),
  ];
}

function outcome(past: PastCall, language: Language, t: Texts): string {
  const direction = past.direction === "inbound" ? "" : `${t.direction[past.direction].toLowerCase()}, `;
  const talked = past.talk_seconds ? ` ${duration(past.talk_seconds, language)}` : "";
  return direction + (past.end_reason === null ? t.pastOpen : t.past[past.end_reason]) + talked;
}

function section<T>(title: string, items: readonly T[], item: (one: T) => TemplateResult): TemplateResult | typeof nothing {
  if (items.length === 0) return nothing;
  return html`<section><h3>${title}</h3><ul>${items.map(item)}</ul></section>`;
}

function row(main: TemplateResult | string, more: (string | null)[], source?: string): TemplateResult {
  const rest = more.filter(Boolean).join(" · ");
  return html`
    <li title=${source ?? nothing}>
      <span class="row-main">${main}</span>${rest ? html`<span class="muted">${rest}</span>` : nothing}
    </li>
  `;
}

function linked(label: string, url: string | null): TemplateResult | string {
  const address = safeUrl(url);
  return address === null
    ? label
    : html`<a href=${address} target="_blank" rel="noopener noreferrer">${label}</a>`;
}

/** Only what the agent must know: a card that may be incomplete says so. */
function sourceProblems(card: Card, t: Texts): TemplateResult | typeof nothing {
  const problems = card.sources.filter((source) => source.status !== "ok");
  if (problems.length === 0 || card.state === "closed") return nothing;
  return html`
    <ul class="source-problems">
      ${problems.map((source) => html`<li>${icons.warning}<span><strong>${source.name}</strong> ${t.sourceProblems[source.status]}</span></li>`)}
    </ul>
  `;
}
