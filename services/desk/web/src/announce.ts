/** What a screen reader is told when the desk changes: a new ring at once; an end, another caller in its turn. */
import { onScreen, type Desk } from "./desk-state.ts";
import type { Texts } from "./i18n/index.ts";
import { kind, plainHeadline, speaker } from "./who.ts";
import { isolated } from "./format.ts";

/** `urgent`, `calm`: null if there is nothing new to say. */
export function announcements(before: Desk, after: Desk, t: Texts): { urgent: string | null; calm: string | null } {
  let urgent: string | null = null;
  let calm: string | null = null;
  if (before.shown === after.shown) return { urgent, calm };
  const known = new Map(onScreen(before).map((card) => [card.call_id, card]));
  for (const card of onScreen(after)) {
    const was = known.get(card.call_id);
    const name = plainHeadline(card, t);
    const { category, black_listed, do_not_call } = card.caller;
    const warnings = [black_listed && t.blackListed, do_not_call && t.doNotCall];
    if (was?.state !== card.state) {
      if (card.state === "ringing") {
        const details = [...warnings, kind(card, t), category?.label, card.call.queue].filter(Boolean).join(", ");
        urgent = t.announceRinging(t.direction[card.call.direction], name, details);
      }
      if (card.state === "closed") {
        calm = t.announceClosed(name, card.close_reason ? t.closed[card.close_reason] : t.closedUnheard);
      }
    } else if (was.match !== card.match || plainHeadline(was, t) !== name || speaker(was) !== speaker(card)) {
      const person = speaker(card);
      const details = [...warnings, kind(card, t), person && t.speaks(isolated(person)), category?.label];
      calm = t.announceCaller(name, details.filter(Boolean).join(", "));
    }
  }
  return { urgent, calm };
}
