/** What must be seen before anything is said: the black list, do not call. In words and with a picture. */
import { html, nothing, type TemplateResult } from "lit";
import type { Card } from "../contract.ts";
import { moment } from "../format.ts";
import type { Language, Texts } from "../i18n/index.ts";
import { icons } from "./icons.ts";
import { line } from "./text.ts";

export function warnings(card: Card, language: Language, now: Date, t: Texts): TemplateResult | typeof nothing {
  const { black_listed: black, do_not_call: silent } = card.caller;
  if (!black && !silent) return nothing;
  return html`
    <ul class="warnings">
      ${black
        ? html`<li data-kind="black-list">
            ${icons.forbidden}
            <p><strong>${t.blackListed}</strong> ${line([
              black.reason,
              black.until && t.until(moment(black.until, now, language)),
              t.by(black.by),
            ])}</p>
          </li>`
        : nothing}
      ${silent
        ? html`<li>
            ${icons.warning}
            <p><strong>${t.doNotCall}</strong> ${line([
              t.doNotCallReasons[silent.reason],
              silent.comment,
              t.by(silent.by),
              moment(silent.at, now, language),
            ])}</p>
          </li>`
        : nothing}
    </ul>
  `;
}
