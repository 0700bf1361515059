/** What all forms of a card have in common: what is typed stays, sending says what came of it, one thing at a time. */
import { html, LitElement, nothing, type TemplateResult } from "lit";
import { property, state } from "lit/decorators.js";
import { ActionError, type ActionName, type SaidFirst } from "../../actions.ts";
import type { Card } from "../../contract.ts";
import type { Drafts } from "../../drafts.ts";
import { isolated } from "../../format.ts";
import { texts, type Language, type Texts } from "../../i18n/index.ts";

/** What the desk does for the parts of a card. */
export interface Hands {
  readonly drafts: Drafts;
  /** Sends it and shows the card that comes back. Raises `ActionError`. */
  act(card: Card, name: ActionName, body: object): Promise<Card>;
  /** Is who is calling being said in another tab just now? */
  actsElsewhere(card: Card): boolean;
}

/**
 * Somebody else had said who is calling: the form that lost may not be there any more to say so. Who says it in its place
 * prevents the default.
 */
export class SaidFirstEvent extends Event {
  constructor(readonly error: ActionError) {
    super("said-first", { bubbles: true, cancelable: true });
  }
}

export abstract class CardForm extends LitElement {
  @property({ attribute: false }) card!: Card;
  @property({ attribute: false }) language!: Language;
  @property({ attribute: false }) hands!: Hands;
  @state() protected busy = false;
  @state() protected error: ActionError | null = null;
  /** What to say of what worked; asked anew for each language. */
  @state() private done: (() => string) | null = null;

  // One style sheet for the page, and the parts are within reach of the browser's own tools (find, translate).
  protected override createRenderRoot(): HTMLElement {
    return this;
  }

  protected get t(): Texts {
    return texts(this.language);
  }

  /** Its fields get what was typed before; after that their contents are the agent's alone, no render touches them. */
  protected override firstUpdated(): void {
    for (const field of this.fields()) field.value = this.hands.drafts.get(this.card.call_id, field.name);
  }

  /** For `@input` of the form: what is typed is kept at once. */
  protected readonly keep = (event: Event): void => {
    const field = event.target as HTMLInputElement | HTMLTextAreaElement;
    if (!isText(field)) return;
    this.hands.drafts.set(this.card.call_id, field.name, field.value);
    this.done = null;
  };

  protected value(name: string): string {
    return this.fields().find((field) => field.name === name)?.value.trim() ?? "";
  }

  /** The fields are empty again, and nothing of them is kept. What is around the form hears `form-cleared`. */
  protected clear(fields = this.fields()): void {
    for (const field of fields) field.value = "";
    this.hands.drafts.clear(this.card.call_id, ...fields.map((field) => field.name));
    this.dispatchEvent(new Event("form-cleared", { bubbles: true }));
  }

  /**
   * `done`: what to say when it worked. `sent`: the fields that it takes along; what was typed in them meanwhile stays.
   * The agent's focus stays where it is, or goes to the name if its form is gone.
   */
  protected async send(name: ActionName, body: object, done: (card: Card) => string, ...sent: string[]): Promise<void> {
    if (this.busy) return;
    const before = this.fields().map((field) => [field, field.value] as const);
    this.busy = true;
    this.error = null;
    this.done = null;
    const article = this.closest("article");
    try {
      const card = await this.hands.act(this.card, name, body);
      this.done = () => done(card);
      this.clear(before.flatMap(([field, text]) => (sent.includes(field.name) && field.value === text ? [field] : [])));
    } catch (error) {
      const problem = error instanceof ActionError ? error : new ActionError("refused", String(error));
      const taken = problem.problem === "first" && !this.dispatchEvent(new SaidFirstEvent(problem));
      if (!taken) this.error = problem;
    } finally {
      this.busy = false;
      // All parts of the card are updated in this turn of the event loop.
      await new Promise((later) => setTimeout(later));
      const focused = document.activeElement;
      if (!focused || focused === document.body || !focused.checkVisibility()) article?.querySelector("h2")?.focus();
    }
  }

  /** The line under a form; always there, since a live region that comes with its text is not read out. */
  protected outcome(): TemplateResult {
    const said = this.busy ? this.t.sending : this.error ? this.sentence(this.error) : (this.done?.() ?? nothing);
    return html`<p class="form-outcome" role="status" data-tone=${this.error ? "error" : "done"}>${said}</p>`;
  }

  /** Ours in the agent's language; what the server says of a refusal is added. A form may know better. */
  protected sentence(error: ActionError): string {
    if (error.first) return this.somebodyWas(error.first);
    const ours = this.t.problems[error.problem];
    return error.problem === "refused" && error.detail ? `${ours} ${error.detail}` : ours;
  }

  private somebodyWas({ name, person, account, by }: SaidFirst): string {
    const t = this.t.first;
    const what = name ?? person ?? account;
    if (what === null) return t.undone;
    return by === this.card.agent ? t.mine(isolated(what)) : t.colleagues(isolated(what));
  }

  /** What to say of something that is not of this form's doing; null: nothing. */
  protected tell(sentence: (() => string) | null): void {
    this.error = null;
    this.done = sentence;
  }

  private fields(): (HTMLInputElement | HTMLTextAreaElement)[] {
    return [...this.querySelectorAll<HTMLInputElement | HTMLTextAreaElement>("input, textarea")].filter(isText);
  }
}

function isText(field: HTMLInputElement | HTMLTextAreaElement): boolean {
  return field.type === "text" || field.type === "textarea";
}
