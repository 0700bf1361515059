/** The page: holds the state, gives it to the parts. */
import { html, LitElement, nothing, type TemplateResult } from "lit";
import { customElement, property, state } from "lit/decorators.js";
import { repeat } from "lit/directives/repeat.js";
import type { Config } from "../config.ts";
import type { Card } from "../contract.ts";
import { conversations, EMPTY, onScreen, reduce, ringing, type Desk, type Message, type RecentCall } from "../desk-state.ts";
import { clock, duration, time } from "../format.ts";
import { chooseLanguage, LANGUAGES, texts, type Language, type Texts } from "../i18n/index.ts";
import { Push, Unauthorised, type Link } from "../push.ts";
import { refresh, SessionStore, SignInError, type Session } from "../session.ts";
import { showInTab } from "../tab.ts";
import { headline, kind, number, since } from "../who.ts";
import type { PaintedEvent } from "./card.ts";
import { icons } from "./icons.ts";
import type { SignedInEvent } from "./sign-in.ts";
import "./card.ts";
import "./sign-in.ts";

const LANGUAGE_KEY = "callcard.language";
// The clocks on the page show seconds.
const TICK_MS = 1_000;

@customElement("callcard-desk")
export class CallcardDesk extends LitElement {
  @property({ attribute: false }) config!: Config;
  @state() private session: Session | null = null;
  @state() private sessionEnded = false;
  @state() private desk: Desk = EMPTY;
  @state() private link: Link = "connecting";
  @state() private now = Date.now();
  @state() private chosen: string | null = localStorage.getItem(LANGUAGE_KEY);
  /** For screen readers: what rings, at once; what ended, when they are done with their sentence. */
  @state() private urgent = "";
  @state() private calm = "";

  private readonly store = new SessionStore(sessionStorage);
  private push: Push | null = null;
  private timer: ReturnType<typeof setInterval> | undefined;

  // One style sheet for the page; the sign-in form must be in the page itself for password managers.
  protected override createRenderRoot(): HTMLElement {
    return this;
  }

  override connectedCallback(): void {
    super.connectedCallback();
    this.timer = setInterval(() => this.receive({ kind: "tick", at: Date.now() }), TICK_MS);
    const session = this.store.load(Date.now());
    if (session) this.begin(session);
  }

  override disconnectedCallback(): void {
    clearInterval(this.timer);
    this.push?.stop();
    super.disconnectedCallback();
  }

  private get language(): Language {
    const wishes = [this.chosen, this.session?.agent.language, ...navigator.languages, this.config.language];
    return chooseLanguage(...wishes);
  }

  private begin(session: Session): void {
    this.keep(session);
    this.sessionEnded = false;
    this.desk = EMPTY;
    this.link = "connecting";
    const tokens = {
      current: () => this.session?.token ?? "",
      renew: () => this.renew(),
    };
    this.push = new Push(this.config.pushUrl, tokens, {
      link: (link) => (this.link = link),
      message: (message) => this.receive(message),
      unauthorised: () => this.end(true),
    });
    this.push.start();
  }

  private async signedIn(session: Session): Promise<void> {
    this.begin(session);
    await this.updateComplete;
    // The form had the focus and is gone: the keyboard goes on where the calls are.
    this.querySelector("main")?.focus();
  }

  private end(bySystem: boolean): void {
    this.push?.stop();
    this.push = null;
    this.store.clear();
    this.session = null;
    this.sessionEnded = bySystem;
    this.desk = EMPTY;
    this.urgent = this.calm = "";
  }

  private keep(session: Session): void {
    this.session = session;
    this.store.save(session);
  }

  private async renew(): Promise<string> {
    if (!this.session) throw new Unauthorised();
    try {
      const session = await refresh(this.config.apiUrl, this.session.token);
      this.keep(session);
      return session.token;
    } catch (error) {
      if (error instanceof SignInError && error.problem === "credentials") throw new Unauthorised();
      throw error;
    }
  }

  private receive(message: Message): void {
    const before = this.desk;
    this.now = message.at;
    this.desk = reduce(before, message);
    this.announce(before);
  }

  /** Says to a screen reader what changed: a new ring, an end. */
  private announce(before: Desk): void {
    if (before.shown === this.desk.shown) return;
    const t = texts(this.language);
    const known = new Map(onScreen(before).map((card) => [card.call_id, card.state]));
    for (const card of onScreen(this.desk)) {
      if (known.get(card.call_id) === card.state) continue;
      if (card.state === "ringing") {
        const details = [kind(card, t), card.caller.category?.label, card.call.queue].filter(Boolean).join(", ");
        this.urgent = t.announceRinging(t.direction[card.call.direction], headline(card, t), details);
      }
      if (card.state === "closed") {
        this.calm = t.announceClosed(headline(card, t), t.closed[card.close_reason ?? "ended"]);
      }
    }
  }

  protected override updated(): void {
    const t = texts(this.language);
    document.documentElement.lang = this.language;
    showInTab(
      ringing(this.desk)
        .filter((card) => card.call.direction !== "outbound")
        .map((card) => t.calling(headline(card, t))),
      t.product,
      this.now,
    );
  }

  protected override render(): TemplateResult {
    const t = texts(this.language);
    return html`
      ${this.header(t)}
      ${this.session ? this.workplace(t) : this.signedOut()}
      <div class="visually-hidden" aria-live="assertive" aria-atomic="true">${this.urgent}</div>
      <div class="visually-hidden" aria-live="polite" aria-atomic="true">${this.calm}</div>
    `;
  }

  private header(t: Texts): TemplateResult {
    const agent = this.session?.agent;
    return html`
      <header class="top">
        <span class="brand"><img src="/favicon.svg" alt="" width="24" height="24" />${t.product}</span>
        ${agent
          ? html`
              <span class="agent">
                <strong>${agent.name}</strong>
                ${agent.extension ? html`<span class="muted">${t.extension(agent.extension)}</span>` : nothing}
              </span>
              <span class="link" data-link=${this.link}>${t.link[this.link]}</span>
            `
          : nothing}
        <span class="top-end">
          <span class="languages" role="group" aria-label=${t.language}>
            ${LANGUAGES.map(
              (language) => html`
                <button
                  type="button"
                  lang=${language}
                  title=${t.languages[language]}
                  aria-label=${t.languages[language]}
                  aria-pressed=${language === this.language}
                  @click=${() => this.choose(language)}
                >
                  ${language.toUpperCase()}
                </button>
              `,
            )}
          </span>
          ${agent ? html`<button type="button" @click=${() => this.end(false)}>${t.signOut}</button>` : nothing}
        </span>
      </header>
    `;
  }

  private choose(language: Language): void {
    this.chosen = language;
    localStorage.setItem(LANGUAGE_KEY, language);
  }

  private signedOut(): TemplateResult {
    return html`
      <main class="signed-out">
        <sign-in
          .language=${this.language}
          .apiUrl=${this.config.apiUrl}
          .expired=${this.sessionEnded}
          @signed-in=${(event: SignedInEvent) => this.signedIn(event.session)}
        ></sign-in>
      </main>
    `;
  }

  private workplace(t: Texts): TemplateResult {
    const cards = onScreen(this.desk);
    return html`
      ${this.banner(t)}
      <div class="workplace">
        <main tabindex="-1" aria-label=${t.desk} @card-painted=${(event: PaintedEvent) => this.painted(event.card)}>
          ${cards.length === 0
            ? this.waiting(t)
            : html`<div class="cards" data-count=${cards.length}>
                ${repeat(
                  cards,
                  (card) => card.call_id,
                  (card) =>
                    html`<call-card
                      .card=${card}
                      .language=${this.language}
                      .now=${this.now + this.desk.clockOffset}
                    ></call-card>`,
                )}
              </div>`}
        </main>
        <aside class="recent" aria-labelledby="recent-title">${this.recent(t)}</aside>
      </div>
      ${this.bar(t)}
    `;
  }

  private painted(card: Card): void {
    this.push?.shown(card, new Date());
  }

  private banner(t: Texts): TemplateResult {
    const { banner } = t;
    const content =
      this.link === "reconnecting"
        ? html`${icons.warning}<span><strong>${banner.reconnecting}</strong> ${banner.reconnectingHint}</span>`
        : this.link === "stopped"
          ? html`${icons.warning}<span><strong>${banner.stopped}</strong> ${banner.stoppedHint}</span>
              <button type="button" @click=${() => location.reload()}>${banner.reload}</button>`
          : nothing;
    // The region itself is always there: one that comes with its text is not read out.
    return html`<div class="banner" role="status" ?data-on=${content !== nothing}>${content}</div>`;
  }

  private waiting(t: Texts): TemplateResult {
    const [title, advice] =
      this.link === "connected"
        ? [t.waiting, t.waitingHint]
        : this.link === "connecting"
          ? [t.link.connecting, ""]
          : [t.waitingOffline, t.waitingOfflineHint];
    return html`
      <section class="waiting">
        <span class="waiting-icon">${icons.waiting}</span>
        <h1>${title}</h1>
        <p class="muted">${advice}</p>
        <p class="waiting-clock">${time(new Date(this.now), this.language)}</p>
      </section>
    `;
  }

  private recent(t: Texts): TemplateResult {
    const { recent } = this.desk;
    return html`
      <h2 id="recent-title">${t.recent}</h2>
      ${recent.length === 0
        ? html`<p class="muted">${t.recentNone}</p>`
        : html`<ul>
            ${recent.map((call) => html`<li>${this.recentCall(call, t)}</li>`)}
          </ul>`}
    `;
  }

  private recentCall({ card, reason, at }: RecentCall, t: Texts): TemplateResult {
    const who = headline(card, t);
    const shown = number(card);
    const { answered_at, ended_at } = card.call;
    const seconds = answered_at && ended_at ? (Date.parse(ended_at) - Date.parse(answered_at)) / 1000 : 0;
    const when = new Date(ended_at ?? at);
    return html`
      <span class="recent-who">${who}</span>
      <time class="recent-time" datetime=${when.toISOString()}>${time(when, this.language)}</time>
      ${shown && shown !== who ? html`<span class="recent-number muted">${shown}</span>` : nothing}
      <span class="recent-reason muted">
        ${reason ? t.closed[reason] : t.closedUnheard}${seconds >= 1 ? `, ${duration(seconds, this.language)}` : ""}
      </span>
    `;
  }

  /** The customer's name stays in sight for the whole conversation, wherever the page is scrolled to. */
  private bar(t: Texts): TemplateResult | typeof nothing {
    const talking = conversations(this.desk);
    if (talking.length === 0) return nothing;
    const now = this.now + this.desk.clockOffset;
    return html`
      <footer class="bar" aria-label=${t.currentCall}>
        ${talking.map((card) => {
          const who = headline(card, t);
          const shown = number(card);
          return html`
            <p data-state=${card.state}>
              ${card.state === "held" ? icons.held : icons.answered}
              <strong>${who}</strong>
              ${shown && shown !== who ? html`<span class="bar-number">${shown}</span>` : nothing}
              <span class="bar-state">${card.state === "held" ? t.state.held : t.state.answered}</span>
              <span class="bar-clock">${clock(now - since(card))}</span>
            </p>
          `;
        })}
      </footer>
    `;
  }
}
