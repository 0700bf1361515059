/** Sources that may leave something out, in quiet lines; the place is always there, so that nothing jumps. */
import { html, nothing, type TemplateResult } from "lit";
import type { Card } from "../contract.ts";
import { took } from "../format.ts";
import type { Language, Texts } from "../i18n/index.ts";
import { incomplete, origins } from "../known.ts";
import { icons } from "./icons.ts";
import { line, sourceName } from "./text.ts";

export function sources(card: Card, language: Language, t: Texts): TemplateResult {
  const problems = card.state === "closed" ? [] : incomplete(card);
  const said = card.state === "ringing" || card.state === "closed" ? [] : origins(card);
  return html`
    <div class="sources">
      ${problems.map(({ name, status, ms }) => {
        const who = sourceName(name, t);
        return html`<p class="source-problem" data-status=${status}>
          ${status === "late" ? icons.clock : icons.warning}<span>${line([status === "late" ? t.late(who, took(ms, language)) : t.failed(who)])}</span>
        </p>`;
      })}
      ${said.length === 0 ? nothing : html`<p>${line(said.map(([name, fields]) => whoSaid(name, fields, t)))}</p>`}
    </div>
  `;
}

/** `name, category: crm` */
function whoSaid(name: string, fields: readonly string[], t: Texts): string | null {
  const known = fields.flatMap((field) => (Object.hasOwn(t.fields, field) ? [t.fields[field]] : []));
  return known.length === 0 ? null : `${known.join(", ")}: ${sourceName(name, t)}`;
}
