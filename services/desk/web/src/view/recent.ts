/** What left the screen: who, when, how it ended. */
import { html, nothing, type TemplateResult } from "lit";
import { duration, recently } from "../format.ts";
import type { Language, Texts } from "../i18n/index.ts";
import type { RecentCall } from "../recent.ts";
import { missingNumber } from "../who.ts";

export function recent(calls: readonly RecentCall[], now: Date, language: Language, t: Texts): TemplateResult {
  return html`
    <aside class="recent" aria-labelledby="recent-title">
      <h2 id="recent-title">${t.recent}</h2>
      ${calls.length === 0
        ? html`<p class="muted">${t.recentNone}</p>`
        : html`<ul>
            ${calls.map((call) => html`<li>${one(call, now, language, t)}</li>`)}
          </ul>`}
    </aside>
  `;
}

function one(call: RecentCall, now: Date, language: Language, t: Texts): TemplateResult {
  const who = call.name ?? call.number ?? missingNumber(call.presentation, t);
  const when = new Date(call.at);
  return html`
    <span class="recent-who"><bdi>${who}</bdi></span>
    <time class="recent-time" datetime=${when.toISOString()}>${recently(when, now, language)}</time>
    ${call.number && call.number !== who ? html`<span class="recent-number muted">${call.number}</span>` : nothing}
    <span class="recent-reason muted">
      ${call.reason ? t.closed[call.reason] : t.closedUnheard}${call.seconds >= 1
        ? `, ${duration(call.seconds, language)}`
        : ""}
    </span>
  `;
}
