/** The head of the page: who is signed in, whether the link is up, the language. */
import { html, nothing, type TemplateResult } from "lit";
import type { Agent } from "../contract.ts";
import { LANGUAGES, type Language, type Texts } from "../i18n/index.ts";
import type { Link } from "../push.ts";
import type { RingSound } from "../ringer.ts";
import { icons } from "./icons.ts";

export interface Top {
  agent: Agent | null;
  link: Link;
  sound: RingSound;
  toggleSound(): void;
  language: Language;
  choose(language: Language): void;
  signOut(): void;
}

export function top({ agent, link, sound, toggleSound, language, choose, signOut }: Top, t: Texts): TemplateResult {
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
        ${agent
          ? html`<button type="button" class="sound" title=${t.sound.title} aria-label=${t.sound.title} aria-pressed=${sound !== "off"} @click=${toggleSound}>
              ${sound === "off" ? icons.silent : icons.bell}<span>${t.sound.label}</span>
            </button>`
          : nothing}
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
        ${agent ? html`<button type="button" title=${t.signOutHint} @click=${signOut}>${t.signOut}</button>` : nothing}
      </span>
    </header>
  `;
}

export interface Trouble {
  link: Link;
  /** Names of the telephone systems that are not seen. */
  pbxDown: readonly string[];
  sound: RingSound;
}

/** The worst of what is wrong. The region itself is always there: one that comes with its text is not read out. */
export function banner(trouble: Trouble, t: Texts): TemplateResult {
  const content = worst(trouble, t);
  return html`<div class="banner" role="status" ?data-on=${content !== nothing}>${content}</div>`;
}

function worst({ link, pbxDown, sound }: Trouble, t: Texts): TemplateResult | typeof nothing {
  const { banner } = t;
  if (link === "reconnecting") return said(banner.reconnecting, banner.reconnectingHint);
  if (link === "stopped") {
    return html`${said(banner.stopped, banner.stoppedHint)}
      <button type="button" @click=${() => location.reload()}>${banner.reload}</button>`;
  }
  if (link === "connected" && pbxDown.length > 0) return said(banner.pbxDown(pbxDown.join(", ")), banner.pbxDownHint);
  // A click on it is what the browser waits for; so is any other.
  if (sound === "blocked") return html`${said(banner.soundBlocked, banner.soundBlockedHint)}<button type="button">${banner.soundAllow}</button>`;
  return nothing;
}

function said(what: string, hint: string): TemplateResult {
  return html`${icons.warning}<span><strong>${what}</strong> ${hint}</span>`;
}
