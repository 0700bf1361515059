/** Pieces of text from a company's data: of any length, in any script, never markup. */
import { html, nothing, type TemplateResult } from "lit";
import { safeUrl } from "../format.ts";
import type { Texts } from "../i18n/index.ts";

export type Text = TemplateResult | string | null | false | undefined | "";

/** Beside each other with a dot between; each turns only itself around, if it is written from right to left. */
export function line(parts: readonly Text[]): TemplateResult | typeof nothing {
  const said = parts.filter(Boolean);
  if (said.length === 0) return nothing;
  return html`${said.map((part, index) => html`${index > 0 ? " · " : nothing}<bdi>${part}</bdi>`)}`;
}

export function linked(label: string, url: string | null): TemplateResult | string {
  const address = safeUrl(url);
  return address === null
    ? label
    : html`<a href=${address} target="_blank" rel="noopener noreferrer">${label}</a>`;
}

/** Who says so, in small print. */
export function source(name: string, t: Texts): TemplateResult {
  return html`<small class="source"><span class="visually-hidden">${t.from} </span><bdi>${sourceName(name, t)}</bdi></small>`;
}

// What an agent has added says which one.
const AGENT = "agent:";

export function sourceName(name: string, t: Texts): string {
  if (name.startsWith(AGENT)) return t.withAgent(name.slice(AGENT.length));
  return Object.hasOwn(t.sourceNames, name) ? (t.sourceNames[name] ?? name) : name;
}
