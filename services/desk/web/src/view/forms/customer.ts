import { html, nothing, type TemplateResult } from "lit";
import { customElement, state } from "lit/decorators.js";
import { actionOf } from "../../actions.ts";
import { plainHeadline } from "../../who.ts";
import { CardForm } from "./form.ts";

type Kind = "person" | "company";

export const CUSTOMER_FIELDS = ["customer-name", "customer-account"] as const;

/** Makes a customer of a caller whom nobody knows. Who is found while it is being filled in is said, and nothing lost. */
@customElement("customer-form")
export class CustomerForm extends CardForm {
  @state() private kind: Kind = "person";

  protected override render(): TemplateResult {
    const t = this.t.customer;
    const id = `customer-${this.card.call_id}`;
    const found = this.card.match === "one" || actionOf(this.card, "customer") === null;
    return html`
      <form class="form" @submit=${this.submit} @input=${this.keep} aria-labelledby=${`${id}-title`}>
        <h3 id=${`${id}-title`}>${t.title}</h3>
        ${found ? html`<p class="form-warning">${t.found(plainHeadline(this.card, this.t))}</p>` : nothing}
        <div class="segments" role="radiogroup" aria-label=${t.kind}>${this.segment("person")}${this.segment("company")}</div>
        <label for=${`${id}-name`}>${this.kind === "company" ? t.nameCompany : t.name}</label>
        <input id=${`${id}-name`} name="customer-name" dir="auto" maxlength="300" autocomplete="off" required />
        <label for=${`${id}-account`}>${t.account}</label>
        <input id=${`${id}-account`} name="customer-account" dir="auto" maxlength="200" autocomplete="off" spellcheck="false" />
        <div class="form-row">
          ${found
            ? html`<button type="button" @click=${() => this.clear()}>${t.discard}</button>`
            : html`<button class="act" type="submit" aria-disabled=${this.busy}>${t.submit}</button>`}
        </div>
        ${this.outcome()}
      </form>
    `;
  }

  private segment(kind: Kind): TemplateResult {
    return html`
      <label class="segment">
        <input type="radio" name="kind" value=${kind} .checked=${this.kind === kind} @change=${() => (this.kind = kind)} />
        ${this.t.customer[kind]}
      </label>
    `;
  }

  private readonly submit = (event: Event): void => {
    event.preventDefault();
    const name = this.value("customer-name");
    if (name === "" || this.card.match === "one") return;
    const account = this.value("customer-account");
    const body = { kind: this.kind, name, accounts: account === "" ? [] : [{ number: account }] };
    void this.send("customer", body, () => this.t.customer.done(name), ...CUSTOMER_FIELDS);
  };
}
