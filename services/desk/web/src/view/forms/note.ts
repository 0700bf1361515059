import { html, type PropertyValues, type TemplateResult } from "lit";
import { customElement } from "lit/decorators.js";
import { noted } from "../../known.ts";
import { CardForm } from "./form.ts";

/** Writes a note about this call; Ctrl+Enter sends it. */
@customElement("note-form")
export class NoteForm extends CardForm {
  protected override willUpdate(changed: PropertyValues<this>): void {
    // No answer came, but the note did: the push has it, and a second one would be one too many.
    if (changed.has("card") && this.error?.problem === "unreachable" && noted(this.card, this.value("note"))) {
      this.error = null;
      this.clear();
    }
  }

  protected override render(): TemplateResult {
    const t = this.t.note;
    const id = `note-${this.card.call_id}`;
    return html`
      <form class="form" @submit=${this.submit} @input=${this.keep} @keydown=${this.keydown}>
        <label for=${id}>${t.label}</label>
        <textarea id=${id} name="note" rows="3" dir="auto" maxlength="10000" placeholder=${t.placeholder} required></textarea>
        <div class="form-row">
          <button class="act" type="submit" aria-disabled=${this.busy}>${t.submit}</button>
          <kbd>Ctrl+Enter</kbd>
        </div>
        ${this.outcome()}
      </form>
    `;
  }

  private readonly submit = (event: Event): void => {
    event.preventDefault();
    const text = this.value("note");
    if (text !== "") void this.send("notes", { text }, () => this.t.note.done, "note");
  };

  private readonly keydown = (event: KeyboardEvent): void => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    (event.currentTarget as HTMLFormElement).requestSubmit();
  };
}
