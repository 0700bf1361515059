/** Everything known of the customer, a section a kind, each row with who says it. */
import { html, nothing, type TemplateResult } from "lit";
import type { Card, PastCall } from "../contract.ts";
import { count, date, duration, moment, money } from "../format.ts";
import type { Language, Texts } from "../i18n/index.ts";
import { details, otherNames } from "../known.ts";
import { line, linked, source, type Text } from "./text.ts";

export function known(card: Card, language: Language, now: Date, t: Texts): TemplateResult {
  return html`
    ${section(t.callbacks, card.callbacks, (callback) =>
      row(callback.reason ?? callback.id, [
        callback.due_at && t.due(moment(callback.due_at, now, language)),
        t.attempts(count(callback.attempts, language)),
      ]),
    )}
    ${section(t.tickets, card.tickets, (ticket) =>
      row(
        linked(ticket.subject, ticket.url),
        [ticket.number, ticket.status, ticket.opened_at && t.since(date(ticket.opened_at, now, language))],
        source(ticket.source, t),
      ),
    )}
    ${section(t.orders, card.orders, (order) =>
      row(
        linked(order.title, order.url),
        [
          order.number,
          order.status,
          order.amount && money(order.amount, language),
          order.ordered_at && date(order.ordered_at, now, language),
        ],
        source(order.source, t),
      ),
    )}
    ${section(t.accounts, card.caller.accounts, (account) =>
      row(account.number, [account.product, account.status], source(account.source, t)),
    )}
    ${section(t.history, card.history, (past) =>
      row(moment(past.at, now, language), [
        outcome(past, language, t),
        past.agent && t.withAgent(past.agent),
        past.queue,
      ]),
    )}
    ${section(t.details, details(card), (one) =>
      row(html`<span class="muted">${one.name}</span> ${one.value}`, [], one.source === null ? nothing : source(one.source, t)),
    )}
    ${section(t.otherNames, otherNames(card), (one) => row(one.name, [], source(one.source, t)))}
  `;
}

function outcome(past: PastCall, language: Language, t: Texts): string {
  const direction = past.direction === "inbound" ? "" : `${t.direction[past.direction].toLowerCase()}, `;
  const talked = past.talk_seconds ? ` ${duration(past.talk_seconds, language)}` : "";
  return direction + (past.end_reason === null ? t.pastOpen : t.past[past.end_reason]) + talked;
}

function section<T>(title: string, items: readonly T[], item: (one: T) => TemplateResult): TemplateResult | typeof nothing {
  if (items.length === 0) return nothing;
  return html`<section><h3>${title}</h3><ul>${items.map(item)}</ul></section>`;
}

function row(main: TemplateResult | string, more: readonly Text[], from: TemplateResult | typeof nothing = nothing): TemplateResult {
  return html`
    <li>
      <span class="row-main"><bdi>${main}</bdi></span> ${from} ${more.length === 0
        ? nothing
        : html`<span class="row-more muted">${line(more)}</span>`}
    </li>
  `;
}
