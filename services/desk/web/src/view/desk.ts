/** The page: holds the state, gives it to the parts. */
import { html, LitElement, type TemplateResult } from "lit";
import { customElement, property, state } from "lit/decorators.js";
import { ActionError, actionOf, actionUrl, perform, type ActionName } from "../actions.ts";
import { announcements } from "../announce.ts";
import type { Config } from "../config.ts";
import type { Card } from "../contract.ts";
import { conversations, EMPTY, onScreen, reduce, ringing, ringSeconds, type Desk, type Message } from "../desk-state.ts";
import { Drafts } from "../drafts.ts";
import { chooseLanguage, texts, type Language, type Texts } from "../i18n/index.ts";
import { Unauthorised, type Link } from "../push.ts";
import { fetchPastCalls, RecentStore } from "../recent.ts";
import { Ringer } from "../ringer.ts";
import { refresh, SessionStore, SignInError, signOut, type Session, type SignInEnd } from "../session.ts";
import { Shift } from "../shift.ts";
import { showInTab } from "../tab.ts";
import { plainHeadline } from "../who.ts";
import type { PaintedEvent } from "./card.ts";
import type { CandidateList } from "./forms/candidates.ts";
import type { Hands } from "./forms/form.ts";
import type { SignedInEvent } from "./sign-in.ts";
import { banner, top } from "./top.ts";
import { workplace } from "./workplace.ts";
import "./card.ts";
import "./sign-in.ts";

// What one tab says of the caller changes the question in the others.
const SAYS_WHO: readonly ActionName[] = ["identify", "customer"];
const LANGUAGE_KEY = "callcard.language";
// The clocks on the page show seconds.
const TICK_MS = 1_000;

@customElement("callcard-desk")
export class CallcardDesk extends LitElement {
  @property({ attribute: false }) config!: Config;
  @state() private session: Session | null = null;
  /** Why the last sign-in is over, if it was not the agent in this tab. */
  @state() private ended: SignInEnd | null = null;
  @state() private desk: Desk = EMPTY;
  @state() private link: Link = "connecting";
  @state() private pbxDown: readonly string[] = [];
  @state() private now = Date.now();
  @state() private chosen: string | null = localStorage.getItem(LANGUAGE_KEY);
  /** For screen readers: what rings, at once; what changed, when they are done with their sentence. */
  @state() private urgent = "";
  @state() private calm = "";

  private readonly store = new SessionStore(sessionStorage);
  private readonly drafts = new Drafts(sessionStorage);
  private readonly recents = new RecentStore(sessionStorage);
  private readonly ringer = new Ringer(localStorage, navigator.locks, () => this.requestUpdate());
  private readonly hands: Hands = {
    drafts: this.drafts,
    act: (card, name, body) => this.act(card, name, body),
    actsElsewhere: (card) => this.shift?.actsElsewhere(card.call_id) ?? false,
  };
  private shift: Shift | null = null;
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
    this.shift?.stop();
    this.ringer.end();
    super.disconnectedCallback();
  }

  private get language(): Language {
    const wishes = [this.chosen, this.session?.agent.language, ...navigator.languages, this.config.language];
    return chooseLanguage(...wishes);
  }

  private begin(session: Session): void {
    const { login } = session.agent;
    this.keep(session);
    this.ended = null;
    this.desk = { ...EMPTY, recent: this.recents.load(login) };
    this.pbxDown = [];
    this.drafts.open(login);
    this.link = "connecting";
    const tokens = {
      current: () => this.session?.token ?? "",
      renew: () => this.renew(),
    };
    this.shift = new Shift(this.config, login, tokens, {
      link: (link) => (this.link = link),
      message: (message) => this.receive(message),
      ended: (why) => this.end(why),
      pbxDown: (down) => (this.pbxDown = down),
      tabs: () => this.requestUpdate(),
    });
    this.ringer.begin(login);
    if (this.desk.recent.length === 0) void this.remember();
  }

  /** A tab that has no list of its own yet gets it from the record. */
  private async remember(): Promise<void> {
    const { shift } = this;
    const calls = await fetchPastCalls(this.config.apiUrl, this.session?.token ?? "");
    if (shift === this.shift && calls.length > 0) this.receive({ kind: "past", at: Date.now(), calls });
  }

  private async signedIn(session: Session): Promise<void> {
    this.begin(session);
    await this.updateComplete;
    // The form had the focus and is gone: the keyboard goes on where the calls are.
    this.toCalls();
  }

  private toCalls(): void {
    this.querySelector("main")?.focus({ preventScroll: true });
  }

  /**
   * What is typed outlives a sign-in that got too old; an agent who signs out, here or elsewhere, leaves nothing of a
   * customer behind but what they typed in another tab.
   */
  private end(why: SignInEnd | null): void {
    this.shift?.stop();
    this.shift = null;
    this.ringer.end();
    this.store.clear();
    if (why === null) this.drafts.forget();
    if (why !== "expired") this.recents.clear();
    this.session = null;
    this.ended = why;
    this.desk = EMPTY;
    this.urgent = this.calm = "";
  }

  private signOut(): void {
    if (this.drafts.any && !confirm(texts(this.language).signOutUnsent)) return;
    const token = this.session?.token;
    this.end(null);
    if (token !== undefined) signOut(this.config.apiUrl, token);
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
    if (SAYS_WHO.includes(name)) this.shift?.acts(card.call_id);
    try {
      const answer = await perform(url, action, this.session.token, body);
      this.receive({ kind: "cards", at: Date.now(), cards: [answer] });
      return answer;
    } catch (error) {
      if (error instanceof ActionError && error.problem === "signed_out") this.end("expired");
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
    if (this.session === null) return;
    this.recents.save(this.session.agent.login, this.desk.recent);
    this.shift?.tick(message.at, this.desk.shown.map(({ card }) => card.call_id));
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
    this.ringer.ring(ringSeconds(this.desk, this.now));
    // A conversation opens its card by itself: who sits before this tab looks at it.
    if (document.hasFocus()) for (const card of conversations(this.desk)) this.shift?.opened(card);
    // A card that another takes the place of is moved in the page, and what is moved loses the focus.
    if (this.focused instanceof HTMLElement && this.focused !== document.activeElement && this.contains(this.focused)) {
      this.focused.focus({ preventScroll: true });
    }
    // What had the focus is gone, a banner's button: the keyboard goes on where the calls are.
    if (this.focused?.isConnected === false && document.activeElement === document.body) this.toCalls();
    this.focused = null;
  }

  protected override render(): TemplateResult {
    const t = texts(this.language);
    const head = {
      agent: this.session?.agent ?? null,
      link: this.link,
      sound: this.ringer.state,
      toggleSound: () => this.ringer.toggle(),
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
          .ended=${this.ended}
          @signed-in=${(event: SignedInEvent) => this.signedIn(event.session)}
        ></sign-in>
      </main>
    `;
  }

  private workplace(t: Texts): TemplateResult {
    const { desk, link, now, language, hands, pbxDown } = this;
    const place = {
      ...{ desk, link, now, language, hands },
      openElsewhere: (call: string) => this.shift?.openElsewhere(call) ?? false,
      painted: (event: PaintedEvent) => this.shift?.painted(event.card),
      touched: this.touched,
    };
    return html`${banner({ link, pbxDown, sound: this.ringer.state }, t)} ${workplace(place, t)}`;
  }

  private readonly touched = (event: Event): void => {
    const call = (event.target as Element).closest<HTMLElement>("article")?.dataset["call"];
    const card = onScreen(this.desk).find((one) => one.call_id === call);
    if (card && card.state !== "closed") this.shift?.opened(card);
  };
}
