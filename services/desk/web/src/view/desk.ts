/** The page: holds the state, gives it to the parts. */
import { html, LitElement, type TemplateResult } from "lit";
import { customElement, property, state } from "lit/decorators.js";
import { repeat } from "lit/directives/repeat.js";
import { ActionError, actionOf, actionUrl, perform, type ActionName } from "../actions.ts";
import { announcements } from "../announce.ts";
import type { Config } from "../config.ts";
import type { Card } from "../contract.ts";
import { conversations, EMPTY, onScreen, reduce, ringing, type Desk, type Message } from "../desk-state.ts";
import { Drafts } from "../drafts.ts";
import { time } from "../format.ts";
import { chooseLanguage, texts, type Language, type Texts } from "../i18n/index.ts";
import { Push, Unauthorised, type Link } from "../push.ts";
import { refresh, SessionStore, SignInError, type Session } from "../session.ts";
import { showInTab } from "../tab.ts";
import { plainHeadline } from "../who.ts";
import { bar } from "./bar.ts";
import type { PaintedEvent } from "./card.ts";
import type { CandidateList } from "./forms/candidates.ts";
import type { Hands } from "./forms/form.ts";
import { icons } from "./icons.ts";
import { recent } from "./recent.ts";
import type { SignedInEvent } from "./sign-in.ts";
import { banner, top } from "./top.ts";
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
  /** For screen readers: what rings, at once; what changed, when they are done with their sentence. */
  @state() private urgent = "";
  @state() private calm = "";

  private readonly store = new SessionStore(sessionStorage);
  private readonly drafts = new Drafts(sessionStorage);
  private readonly hands: Hands = { drafts: this.drafts, act: (card, name, body) => this.act(card, name, body) };
  private push: Push | null = null;
  private timer: ReturnType<typeof setInterval> | undefined;
  private focused: Element | null = null;

  // One style sheet for the page; the sign-in form must be in the page itself for password managers.
  protected override createRenderRoot(): HTMLElement {
    return this;
  }

  override connectedCallback(): void {
    super.connectedCallback();
    this.timer = setInterval(() => this.receive({ kind: "tick", at: Date.now() }), TICK_MS);
    this.drafts.onCalls = (calls) => this.receive({ kind: "kept", at: Date.now(), calls });
    addEventListener("keydown", this.keydown);
    addEventListener("beforeunload", this.beforeUnload);
    const session = this.store.load(Date.now());
    if (session) this.begin(session);
  }

  override disconnectedCallback(): void {
    clearInterval(this.timer);
    removeEventListener("keydown", this.keydown);
    removeEventListener("beforeunload", this.beforeUnload);
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
    this.drafts.open(session.agent.login);
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

  /** What is typed outlives a sign-in that ended by itself; an agent who signs out leaves nothing behind. */
  private end(bySystem: boolean): void {
    this.push?.stop();
    this.push = null;
    this.store.clear();
    if (!bySystem) this.drafts.forget();
    this.session = null;
    this.sessionEnded = bySystem;
    this.desk = EMPTY;
    this.urgent = this.calm = "";
  }

  private signOut(): void {
    if (!this.drafts.any || confirm(texts(this.language).signOutUnsent)) this.end(false);
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

  /** Raises `ActionError`. The answer and the push carry the same card; whichever comes first is shown. */
  private async act(card: Card, name: ActionName, body: object): Promise<Card> {
    const action = actionOf(card, name);
    if (action === null || this.session === null) throw new ActionError("gone");
    const url = actionUrl(action, this.config.apiUrl, location.href);
    try {
      const answer = await perform(url, action, this.session.token, body);
      this.receive({ kind: "cards", at: Date.now(), cards: [answer] });
      return answer;
    } catch (error) {
      if (error instanceof ActionError && error.problem === "signed_out") this.end(true);
      throw error;
    }
  }

  private receive(message: Message): void {
    const before = this.desk;
    this.now = message.at;
    this.desk = reduce(before, message);
    const { urgent, calm } = announcements(before, this.desk, texts(this.language));
    if (urgent !== null) this.urgent = urgent;
    if (calm !== null) this.calm = calm;
  }

  /** The keys 1 to 9 pick one of several customers, while nobody types. */
  private readonly keydown = (event: KeyboardEvent): void => {
    const target = event.target as Element;
    if (!/^[1-9]$/.test(event.key) || event.ctrlKey || event.altKey || event.metaKey || event.repeat) return;
    if (target.closest("input, textarea, select, [contenteditable]")) return;
    const lists = [...this.querySelectorAll<CandidateList>("candidate-list")].filter((list) => list.takesKeys);
    // Two such conversations at once: nobody can tell which one is meant.
    if (lists.length === 1) lists[0]?.key(Number(event.key));
  };

  /** A call that is over does not come back after a reload, and what was typed about it would be gone. */
  private readonly beforeUnload = (event: BeforeUnloadEvent): void => {
    if (onScreen(this.desk).some((card) => card.state === "closed" && this.desk.kept.has(card.call_id))) {
      event.preventDefault();
    }
  };

  protected override willUpdate(): void {
    this.focused = document.activeElement;
  }

  protected override updated(): void {
    const t = texts(this.language);
    document.documentElement.lang = this.language;
    showInTab(
      ringing(this.desk)
        .filter((card) => card.call.direction !== "outbound")
        .map((card) => t.calling(plainHeadline(card, t))),
      t.product,
      this.now,
    );
    // A card that another takes the place of is moved in the page, and what is moved loses the focus.
    if (this.focused instanceof HTMLElement && this.focused !== document.activeElement && this.contains(this.focused)) {
      this.focused.focus({ preventScroll: true });
    }
    this.focused = null;
  }

  protected override render(): TemplateResult {
    const t = texts(this.language);
    const head = {
      agent: this.session?.agent ?? null,
      link: this.link,
      language: this.language,
      choose: (language: Language) => this.choose(language),
      signOut: () => this.signOut(),
    };
    return html`
      ${top(head, t)}
      ${this.session ? this.workplace(t) : this.signedOut()}
      <div class="visually-hidden" aria-live="assertive" aria-atomic="true">${this.urgent}</div>
      <div class="visually-hidden" aria-live="polite" aria-atomic="true">${this.calm}</div>
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
      ${banner(this.link, t)}
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
                      .hands=${this.hands}
                      .kept=${this.desk.kept.has(card.call_id)}
                    ></call-card>`,
                )}
              </div>`}
        </main>
        ${recent(this.desk.recent, this.language, t)}
      </div>
      ${bar(conversations(this.desk), this.now + this.desk.clockOffset, t)}
    `;
  }

  private painted(card: Card): void {
    this.push?.shown(card, new Date());
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
}
