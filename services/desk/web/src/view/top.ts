/** The head of the page: who is signed in, whether the link is up, the language. */
import { html, nothing, type TemplateResult } from "lit";
import type { Agent } from "../contract.ts";
import { LANGUAGES, type Language, type Texts } from "../i18n/index.ts";
import type { Link } from "../push.ts";
import { icons } from "./icons.ts";

export interface Top {
  agent: Agent | null;
  link: Link;
  language: Language;
  choose(language: Language): void;
  signOut(): void;
}

export function top({ agent, link, language, choose, signOut }: Top, t: Texts): TemplateResult {
  return html`
    <header class="top">
      <span class="brand"><img src="/favicon.svg" alt="" width="24" height="24" />${t.product}</span>
      ${agent
        ? html`
            <span class="agent">
              <strong>${agent.name}</strong>
              ${agent.extension ? html`<span class="muted">${t.extension(agent.extension)}</span>` : nothing}
            </span>
            <span class="link" data-link=${link}>${t.link[link]}</span>
          `
        : nothing}
      <span class="top-end">
        <span class="languages" role="group" aria-label=${t.language}>
          ${LANGUAGES.map(
            (one) => html`
              <button
                type="button"
                lang=${one}
                title=${t.languages[one]}
                aria-label=${t.languages[one]}
                aria-pressed=${one === language}
                @click=${() => choose(one)}
              >
                ${one.toUpperCase()}
              </button>
            `,
          )}
        </span>
        ${agent ? html`<button type="button" @click=${signOut}>${t.signOut}</button>` : nothing}
      </span>
    </header>
  `;
}

/** What is wrong with the link. The region itself is always there: one that comes with its text is not read out. */
export function banner(link: Link, t: Texts): TemplateResult {
  const { banner } = t;
  const content =
    link === "reconnecting"
      ? html`${icons.warning}<span><strong>${banner.reconnecting}</strong> ${banner.reconnectingHint}</span>`
      : link === "stopped"
        ? html`${icons.warning}<span><strong>${banner.stopped}</strong> ${banner.stoppedHint}</span>
            <button type="button" @click=${() => location.reload()}>${banner.reload}</button>`
        : nothing;
  return html`<div class="banner" role="status" ?data-on=${content !== nothing}>${content}</div>`;
}
