import { html, nothing, type PropertyValues, type TemplateResult } from "lit";
import { customElement, state } from "lit/decorators.js";
import { actionOf } from "../../actions.ts";
import { ACT_MS } from "../../attention.ts";
import type { Card } from "../../contract.ts";
import { number, plainHeadline } from "../../who.ts";
import { CardForm, type SaidFirstEvent } from "./form.ts";
import "./account.ts";
import "./candidates.ts";
import { CUSTOMER_FIELDS } from "./customer.ts";

/**
 * Who is it? Open where nobody knows, folded where somebody does. All parts are always in the page: what is typed in one
 * of them is not gone because a source answers late or a colleague knows the caller.
 */
@customElement("identify-caller")
export class IdentifyCaller extends CardForm {
  @state() private open = false;
  /** The customer who has been given this number here. */
  @state() private given: string | null = null;
  private lostAt = 0;
  /** The focus was in here before the last change of who it is. */
  private within = false;

  protected override willUpdate(changed: PropertyValues<this>): void {
    const before = changed.get("card");
    if (before === undefined || sameCaller(before, this.card)) return;
    // Who tried here as well is told already, and better; the push that comes after it does not take that away.
    const lost = this.error?.problem === "first";
    if (lost && Date.now() - this.lostAt > ACT_MS) this.error = null;
    else if (!lost && this.hands.actsElsewhere(this.card)) this.tell(this.chosenElsewhere(this.card));
    if (before.match === this.card.match) return;
    this.within = this.contains(document.activeElement);
    // Somebody knows now: fold, unless the agent is in the middle of it.
    this.open = this.within && this.card.match !== "several" && this.typed;
  }

  /** The keyboard does not get lost in a form that has folded under it. */
  protected override updated(): void {
    if (!this.within) return;
    this.within = false;
    // The parts of it are updated, and the browser has taken the focus away, in this turn of the event loop.
    setTimeout(() => {
      if (document.activeElement?.checkVisibility() === false || document.activeElement === document.body) {
        this.closest("article")?.querySelector("h2")?.focus();
      }
    });
  }

  protected override render(): TemplateResult {
    const { card, language, hands } = this;
    const t = this.t.identify;
    // When the call is over, only what is typed in here is still of interest.
    const over = card.state === "closed";
    const unknown = card.match === "none" || card.match === "withheld";
    const several = card.match === "several";
    const shown = this.typed || (!over && (unknown || this.open));
    const id = `identify-${card.call_id}`;
    return html`
      <section class="identify" data-match=${card.match} aria-label=${t.title} @said-first=${this.lost} @form-cleared=${this.settled}>
        <div ?hidden=${over || card.candidates.length === 0 || (!several && !shown)}>
          <candidate-list .card=${card} .language=${language} .hands=${hands}></candidate-list>
        </div>
        <div class="identify-actions" ?hidden=${over || unknown}>
          ${several ? nothing : this.remember()}
          ${!several && this.said
            ? html`<button type="button" @click=${() => this.send("identify", {}, () => t.undone)}>${t.undo}</button>`
            : html`<button type="button" class="quiet" aria-expanded=${shown} aria-controls=${id} @click=${() => (this.open = !shown)}>
                ${several ? t.notInList : t.wrong}
              </button>`}
        </div>
        ${this.outcome()}
        <div class="identify-forms" id=${id} ?hidden=${!shown}>
          <account-form .card=${card} .language=${language} .hands=${hands}></account-form>
          ${(actionOf(card, "customer") && card.match !== "one") || this.typedIn(...CUSTOMER_FIELDS)
            ? html`<customer-form .card=${card} .language=${language} .hands=${hands}></customer-form>`
            : nothing}
        </div>
      </section>
    `;
  }

  private chosenElsewhere(card: Card): () => string {
    return () => {
      if (!sameCaller(card, this.card)) return "";
      const t = this.t.identify;
      return card.match === "one" ? t.elsewhere(plainHeadline(card, this.t)) : t.undoneElsewhere;
    };
  }

  private readonly lost = (event: SaidFirstEvent): void => {
    event.preventDefault();
    this.lostAt = Date.now();
    this.error = event.error;
  };

  /** Something was said or thrown away here: what was told before is over. */
  private readonly settled = (): void => {
    this.tell(null);
    this.requestUpdate();
  };

  private get typed(): boolean {
    return this.typedIn("account", ...CUSTOMER_FIELDS);
  }

  private typedIn(...fields: readonly string[]): boolean {
    return fields.some((field) => this.hands.drafts.get(this.card.call_id, field) !== "");
  }

  /** Somebody said in this call who it is: that can be taken back. */
  private get said(): boolean {
    const by = this.card.caller.matched_by;
    return by === "agent" || by === "account";
  }

  private remember(): TemplateResult | typeof nothing {
    const shown = number(this.card);
    const { name } = this.card.caller;
    if (!actionOf(this.card, "number") || shown === null || !this.said || name === this.given) return nothing;
    const t = this.t.identify;
    const remembered = (): string => {
      this.given = name;
      return t.remembered;
    };
    return html`<button type="button" @click=${() => this.send("number", {}, remembered)}>
      ${t.remember(shown)}
    </button>`;
  }
}

function sameCaller(before: Card, after: Card): boolean {
  const [a, b] = [before.caller, after.caller];
  return before.match === after.match && a.customer_id === b.customer_id && a.external_id === b.external_id && a.name === b.name;
}
