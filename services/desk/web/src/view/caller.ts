/** Who it is: the name, the number, who speaks, what kind of customer. */
import { html, nothing, type TemplateResult } from "lit";
import type { Card } from "../contract.ts";
import type { Texts } from "../i18n/index.ts";
import { headline, kind, number, speaker } from "../who.ts";
import { line } from "./text.ts";

export function caller(card: Card, titleId: string, t: Texts): TemplateResult {
  const name = headline(card, t);
  return html`
    <header class="who">
      <div class="who-names">
        <h2 id=${titleId} tabindex="-1" title=${name}><bdi>${name}</bdi></h2>
        ${speaks(card, t)}${numberLine(card, t)}
      </div>
      ${badges(card)}
    </header>
  `;
}

function speaks(card: Card, t: Texts): TemplateResult | typeof nothing {
  const person = speaker(card);
  return person === null ? nothing : html`<p class="speaks"><bdi>${t.speaks(person)}</bdi></p>`;
}

function numberLine(card: Card, t: Texts): TemplateResult {
  const shown = number(card);
  // Where the number is the headline, it is not said twice.
  const parts = [shown === headline(card, t) ? null : shown, kind(card, t)].filter(
    (part) => part !== null && part !== headline(card, t),
  );
  return html`<p class="number">${line(parts)}</p>`;
}

function badges(card: Card): TemplateResult | typeof nothing {
  const { category, tags } = card.caller;
  if (!category && tags.length === 0) return nothing;
  return html`
    <ul class="badges">
      ${category
        ? html`<li class="badge badge-category" .style=${badgeColour(category.colour)}><bdi>${category.label}</bdi></li>`
        : nothing}
      ${tags.map((tag) => html`<li class="badge"><bdi>${tag}</bdi></li>`)}
    </ul>
  `;
}

/**
 * The colour of a category comes from the company's data; one the browser does not know is left out. Set as the
 * property `style`, since the content security policy refuses the attribute.
 */
function badgeColour(colour: string | null): string {
  return colour !== null && CSS.supports("color", colour) ? `--badge: ${colour}` : "";
}
