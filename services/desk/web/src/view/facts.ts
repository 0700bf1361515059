/** The call itself and who cares for the customer, in one row. */
import { html, nothing, type TemplateResult } from "lit";
import type { Card } from "../contract.ts";
import { clock, safeUrl } from "../format.ts";
import type { Texts } from "../i18n/index.ts";
import { line, linked, source } from "./text.ts";

export function facts(card: Card, t: Texts): TemplateResult {
  const { call, caller } = card;
  const waited = call.ringing_at ? Date.parse(call.ringing_at) - Date.parse(call.started_at) : null;
  const manager = caller.origins["manager"];
  const known: [string, string | null, string?][] = [
    [t.line, call.did],
    [t.queue, call.queue],
    // Below a second it is no waiting, it is the way of the call.
    [t.waited, waited !== null && waited >= 1000 && call.direction === "inbound" ? clock(waited) : null],
    [t.digits, call.digits.join(" · ") || null],
    manager === undefined ? [t.manager, caller.manager] : [t.manager, caller.manager, manager],
  ];
  return html`<dl class="facts">
    ${known.map(([name, value, from]) =>
      value === null
        ? nothing
        : html`<div>
            <dt>${name}</dt>
            <dd>${line([value])}${from && card.state !== "ringing" ? html` ${source(from, t)}` : nothing}</dd>
          </div>`,
    )}
    ${links(card, t)}
  </dl>`;
}

function links(card: Card, t: Texts): TemplateResult | typeof nothing {
  const safe = card.links.filter((link) => safeUrl(link.url) !== null);
  if (safe.length === 0) return nothing;
  return html`<div>
    <dt>${t.links}</dt>
    <dd>${line(safe.map((link) => linked(link.label, link.url)))}</dd>
  </div>`;
}
