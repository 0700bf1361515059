import { html, nothing, type TemplateResult } from "lit";
import { customElement } from "lit/decorators.js";
import { line, source } from "../text.ts";
import { CardForm } from "./form.ts";

/** "How may I call you?": one of the people behind the customer, or a name as it is said. */
@customElement("person-form")
export class PersonForm extends CardForm {
  protected override render(): TemplateResult {
    const t = this.t.person;
    const { people, person } = this.card.caller;
    const id = `person-${this.card.call_id}`;
    return html`
      <form class="form" @submit=${this.submit} @input=${this.keep} aria-label=${t.title}>
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

  private readonly submit = (event: Event): void => {
    event.preventDefault();
    const name = this.value("person");
    if (name !== "") this.say(name, "person");
  };

  private say(name: string, ...sent: string[]): void {
    void this.send("person", { name }, () => this.t.person.done(name), ...sent);
  }
}
