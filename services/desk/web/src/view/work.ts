/** What the agent writes while talking: who speaks, notes. Only what the card offers. */
import { html, nothing, type TemplateResult } from "lit";
import { actionOf } from "../actions.ts";
import type { Card } from "../contract.ts";
import type { Language, Texts } from "../i18n/index.ts";
import type { Hands } from "./forms/form.ts";
import { notes } from "./notes.ts";
import "./forms/note.ts";
import "./forms/person.ts";

/** A caller whom nobody knows is asked for the name in the form of a new customer: once is enough. */
function asksForPerson(card: Card): boolean {
  if (actionOf(card, "person") === null) return false;
  return card.match === "one" || (card.match !== "several" && actionOf(card, "customer") === null);
}

export function work(card: Card, hands: Hands, language: Language, now: Date, t: Texts): TemplateResult {
  const canNote = actionOf(card, "notes") !== null;
  return html`
    <div class="work">
      ${card.state === "closed"
        ? html`<div class="form-warning unsent">
            <p>${t.note.unsent}</p>
            <button type="button" @click=${() => hands.drafts.drop(card.call_id)}>${t.note.discard}</button>
          </div>`
        : nothing}
      ${asksForPerson(card)
        ? html`<person-form .card=${card} .language=${language} .hands=${hands}></person-form>`
        : nothing}
      ${canNote || card.notes.length > 0
        ? html`<section class="notes-section">
            <h3>${t.notes}</h3>
            ${canNote ? html`<note-form .card=${card} .language=${language} .hands=${hands}></note-form>` : nothing}
            ${notes(card, language, now, t)}
          </section>`
        : nothing}
    </div>
  `;
}
