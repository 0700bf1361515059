import { html, type TemplateResult } from "lit";
import { customElement, state } from "lit/decorators.js";
import type { ActionError } from "../../actions.ts";
import { found } from "../../who.ts";
import { CardForm } from "./form.ts";

/** Finds the customer by the contract number that the caller says. */
@customElement("account-form")
export class AccountForm extends CardForm {
  @state() private asked = "";

  protected override render(): TemplateResult {
    const t = this.t.identify;
    const id = `account-${this.card.call_id}`;
    return html`
      <form class="form" @submit=${this.submit} @input=${this.keep}>
        <label for=${id}>${t.account}</label>
        <div class="form-row">
          <input id=${id} name="account" dir="auto" maxlength="200" autocomplete="off" spellcheck="false" required />
          <button class="act" type="submit" aria-disabled=${this.busy}>${t.submit}</button>
        </div>
        ${this.outcome()}
      </form>
    `;
  }

  protected override sentence(error: ActionError): string {
    return error.problem === "gone" ? this.t.identify.noAccount(this.asked) : super.sentence(error);
  }

  private readonly submit = (event: Event): void => {
    event.preventDefault();
    const account = this.value("account");
    if (account === "") return;
    this.asked = account;
    void this.send("identify", { account }, (card) => found(card, this.t), "account");
  };
}
