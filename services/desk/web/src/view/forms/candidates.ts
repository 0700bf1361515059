import { html, nothing, type TemplateResult } from "lit";
import { customElement } from "lit/decorators.js";
import { pick } from "../../actions.ts";
import type { Candidate } from "../../contract.ts";
import { ranked } from "../../known.ts";
import { found } from "../../who.ts";
import { line, source } from "../text.ts";
import { CardForm } from "./form.ts";

// The keys 1 to 9.
const KEYS = 9;

/** Who it may be, the likeliest first, each with the reason; one click or one key picks. */
@customElement("candidate-list")
export class CandidateList extends CardForm {
  protected override render(): TemplateResult {
    const all = ranked(this.card.candidates);
    const keys = this.takesKeys ? Math.min(all.length, KEYS) : 0;
    return html`
      ${all.length === 0
        ? nothing
        : html`<ol class="candidates">
            ${all.map(
              (one, index) => html`<li>
                <button type="button" class="candidate" @click=${() => this.pick(one)} aria-disabled=${this.busy}>
                  ${index < keys ? html`<kbd aria-hidden="true">${index + 1}</kbd>` : nothing}
                  <strong><bdi>${one.name}</bdi></strong>
                  <span class="candidate-why">${line([one.why])}</span>
                  ${source(one.source, this.t)}
                </button>
              </li>`,
            )}
          </ol>`}
      ${keys > 1 ? html`<p class="keys-hint muted">${this.t.identify.keys(String(keys))}</p>` : nothing}
      ${this.outcome()}
    `;
  }

  /** Only where it is the question of the moment: a key that is hit by chance must not change who is talked to. */
  get takesKeys(): boolean {
    return this.card.match === "several" && this.card.state === "answered";
  }

  /** The key `1` … `9`. */
  key(number: number): void {
    const one = ranked(this.card.candidates)[number - 1];
    if (one && number <= KEYS) this.pick(one);
  }

  private pick(one: Candidate): void {
    void this.send("identify", pick(one), (card) => found(card, this.t));
  }
}
