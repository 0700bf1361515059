/** How a caller is called on the screen: one place, so that card, bar, title and list agree. */
import type { Card, Presentation } from "./contract.ts";
import { isolated } from "./format.ts";
import type { Texts } from "./i18n/index.ts";

/** The headline: the name to greet with, or what is known instead of it. */
export function headline(card: Card, t: Texts): string {
  return card.caller.name ?? card.caller.person ?? number(card) ?? noNumber(card, t);
}

/** The same for where there is no markup: a title, a sentence for a screen reader. */
export function plainHeadline(card: Card, t: Texts): string {
  return isolated(headline(card, t));
}

/** Who speaks for the customer, if it is somebody else. */
export function speaker(card: Card): string | null {
  const { name, person } = card.caller;
  return name !== null && person !== name ? person : null;
}

/** The number as people read it, or null if there is none to show. */
export function number(card: Card): string | null {
  return card.caller.display_number ?? card.call.number;
}

/** Who it is now, in one sentence: what a search or a pick has led to. */
export function found(card: Card, t: Texts): string {
  return card.match === "one" ? t.identify.done(plainHeadline(card, t)) : (kind(card, t) ?? plainHeadline(card, t));
}

/** Why there is no name, if there is none; else how sure it is. */
export function kind(card: Card, t: Texts): string | null {
  switch (card.match) {
    case "one":
      return certainty(card, t);
    case "several":
      return t.severalCustomers(String(card.candidates.length));
    case "none":
      return number(card) === null ? noNumber(card, t) : t.unknownNumber;
    case "withheld":
      return noNumber(card, t);
    case "colleague":
      return t.colleague;
  }
}

/** Whom the agent named is who it is; otherwise others with the same number may be. */
function certainty(card: Card, t: Texts): string | null {
  const by = card.caller.matched_by;
  const others = by === "agent" || card.candidates.length === 0 ? null : t.others(String(card.candidates.length));
  return [by && t.matchedBy[by], others].filter(Boolean).join(", ") || null;
}

/** What to do about a caller who was not found. */
export function hint(card: Card, t: Texts): string | null {
  switch (card.match) {
    case "several":
      return t.severalHint;
    case "none":
    case "withheld":
      if (number(card) !== null) return t.unknownHint;
      return card.call.presentation === "unavailable" ? t.unavailableHint : t.withheldHint;
    case "one":
    case "colleague":
      return null;
  }
}

function noNumber(card: Card, t: Texts): string {
  return missingNumber(card.call.presentation, t);
}

/** What stands in the place of a number that is not there. */
export function missingNumber(presentation: Presentation, t: Texts): string {
  return presentation === "unavailable" ? t.unavailableNumber : t.withheldNumber;
}

/** When the phone began to ring here, when the conversation began, or when it was over. */
export function since(card: Card): number {
  const { ringing_at, answered_at, started_at } = card.call;
  const at = card.state === "ringing" ? (ringing_at ?? started_at) : (answered_at ?? ringing_at ?? started_at);
  return Date.parse(at);
}
