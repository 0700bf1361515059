/** What to say: the greeting while it rings, then also the script; and what to ask who is not known. */
import { html, nothing, type TemplateResult } from "lit";
import type { Card } from "../contract.ts";
import type { Texts } from "../i18n/index.ts";
import { hint } from "../who.ts";

export function advice(card: Card, t: Texts): TemplateResult | typeof nothing {
  const ask = hint(card, t);
  const script = card.state === "ringing" ? null : card.script;
  if (!ask && !card.greeting && !script) return nothing;
  return html`
    <div class="advice">
      ${card.greeting
        ? html`<p class="greeting" dir="auto"><span class="label">${t.greeting}</span>${card.greeting}</p>`
        : nothing}
      ${ask ? html`<p class="hint">${ask}</p>` : nothing}
      ${script ? html`<p class="script" dir="auto"><span class="label">${t.script}</span>${script}</p>` : nothing}
    </div>
  `;
}
