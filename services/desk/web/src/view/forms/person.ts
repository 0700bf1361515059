import { html, nothing, type TemplateResult } from "lit";
import { customElement, state } from "lit/decorators.js";
import { line, source } from "../text.ts";
import { CardForm } from "./form.ts";

/** "How may I call you?": one of the people behind the customer, or a name as it is said. */
@customElement("person-form")
export class PersonForm extends CardForm {
  @state() private open = false;

  protected override render(): TemplateResult {
    const t = this.t.person;
    const { kind, people, person } = this.card.caller;
    const id = `person-${this.card.call_id}`;
    const typed = this.hands.drafts.get(this.card.call_id, "person") !== "";
    // A person mostly speaks for themselves: then it is one line to pass over.
    const folded = kind === "person" && people.length === 0 && person === null && !this.open && !typed;
    return html`
      <button type="button" class="quiet" ?hidden=${!folded} @click=${this.unfold}>${t.other}</button>
      <form class="form" ?hidden=${folded} @submit=${this.submit} @input=${this.keep} aria-label=${t.title}>
        <label for=${id}>${t.title}</label>
        ${people.length === 0
          ? nothing
          : html`<ul class="people">
              ${people.map(
                (one) => html`<li>
                  <button type="button" aria-pressed=${one.name === person} @click=${() => this.say(one.name)}>
                    <bdi>${one.name}</bdi>
                    <span class="muted">${line([one.role])}</span>
                    ${source(one.source, this.t)}
                  </button>
                </li>`,
              )}
            </ul>`}
        <div class="form-row">
          <input id=${id} name="person" dir="auto" maxlength="300" autocomplete="off" placeholder=${t.name} required />
          <button type="submit" aria-disabled=${this.busy}>${t.submit}</button>
        </div>
        ${this.outcome()}
      </form>
    `;
  }

  private readonly unfold = async (): Promise<void> => {
    this.open = true;
    await this.updateComplete;
    this.querySelector("input")?.focus();
  };

  private readonly submit = (event: Event): void => {
    event.preventDefault();
    const name = this.value("person");
    if (name !== "") this.say(name, "person");
  };

  private say(name: string, ...sent: string[]): void {
    void this.send("person", { name }, () => this.t.person.done(name), ...sent);
  }
}
