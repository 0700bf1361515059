/** What left the screen: who, when, how it ended. */
import { html, nothing, type TemplateResult } from "lit";
import type { RecentCall } from "../desk-state.ts";
import { duration, time } from "../format.ts";
import type { Language, Texts } from "../i18n/index.ts";
import { headline, number } from "../who.ts";

export function recent(calls: readonly RecentCall[], language: Language, t: Texts): TemplateResult {
  return html`
    <aside class="recent" aria-labelledby="recent-title">
      <h2 id="recent-title">${t.recent}</h2>
      ${calls.length === 0
        ? html`<p class="muted">${t.recentNone}</p>`
        : html`<ul>
            ${calls.map((call) => html`<li>${one(call, language, t)}</li>`)}
          </ul>`}
    </aside>
  `;
}

function one({ card, reason, at }: RecentCall, language: Language, t: Texts): TemplateResult {
  const who = headline(card, t);
  const shown = number(card);
  const { answered_at, ended_at } = card.call;
  const seconds = answered_at && ended_at ? (Date.parse(ended_at) - Date.parse(answered_at)) / 1000 : 0;
  const when = new Date(ended_at ?? at);
  return html`
    <span class="recent-who"><bdi>${who}</bdi></span>
    <time class="recent-time" datetime=${when.toISOString()}>${time(when, language)}</time>
    ${shown && shown !== who ? html`<span class="recent-number muted">${shown}</span>` : nothing}
    <span class="recent-reason muted">
      ${reason ? t.closed[reason] : t.closedUnheard}${seconds >= 1 ? `, ${duration(seconds, language)}` : ""}
    </span>
  `;
}
