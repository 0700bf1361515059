/**
 * What the desk shows, as a pure function: state + message -> state. No clock, no network, no page.
 *
 * The rules: for a call the highest `rev` wins and everything older is ignored, also after the card is gone (the last
 * rev that a version of a call can have may come again, with newer contents); closing
 * is a state with a reason that stays readable for a while; a ring that is over is never shown; `expires_at` drops a
 * card whatever was heard; a snapshot replaces everything. A card in which something is typed and not sent is closed as
 * any other, but stays until it is sent or thrown away.
 */
import type { Card, DeskSnapshot } from "./contract.ts";
import { newest, RECENT_MAX, recentCall, type RecentCall } from "./recent.ts";

// Long enough to look up from the keyboard and read one sentence, short enough not to pile up.
export const CLOSING_MS = 6_000;
// More calls than the gateway keeps in a channel's history, so no replay is older than our memory of it.
export const SEEN_MAX = 500;
// Below this the difference between the clocks is mostly the way of the message, and both are kept by NTP.
export const CLOCK_TOLERANCE_MS = 500;

// shared/revision.py: a rev is version × 32 + enrichment, and the last enrichment may come again.
const REVS_A_VERSION = 32;

/** Does a card with `rev` take the place of the one with `known`? */
function replaces(rev: number, known: number): boolean {
  return rev > known || (rev === known && rev % REVS_A_VERSION === REVS_A_VERSION - 1);
}

/** A card on the screen. `leavesAt` (local ms) is set once it is closed. */
export interface Shown {
  readonly card: Card;
  readonly leavesAt: number | null;
}

export interface Desk {
  /** In the order in which the calls came. */
  readonly shown: readonly Shown[];
  /** The latest first. */
  readonly recent: readonly RecentCall[];
  /** The highest revision heard of a call, also of calls that are gone. */
  readonly seen: ReadonlyMap<string, number>;
  /** Calls whose card does not leave the screen, because something is typed in it. */
  readonly kept: ReadonlySet<string>;
  /** Server clock minus the browser's, ms. */
  readonly clockOffset: number;
}

/** `at` is the browser's clock, ms. */
export type Message =
  /** A connection is up: the desk as it is now, and what had been published before it and was missed here. */
  | { kind: "connected"; at: number; snapshot: DeskSnapshot; missed: readonly Card[] }
  | { kind: "cards"; at: number; cards: readonly Card[] }
  | { kind: "kept"; at: number; calls: readonly string[] }
  /** Calls of before this page, from what was kept or from the record. */
  | { kind: "past"; at: number; calls: readonly RecentCall[] }
  | { kind: "tick"; at: number };

export const EMPTY: Desk = { shown: [], recent: [], seen: new Map(), kept: new Set(), clockOffset: 0 };

export function reduce(desk: Desk, message: Message): Desk {
  switch (message.kind) {
    case "connected":
      return connected(desk, message.at, message.snapshot, message.missed);
    case "cards":
      return leave(latest(message.cards).reduce((d, card) => apply(d, card, message.at), desk), message.at);
    case "kept":
      return keep(desk, message.at, new Set(message.calls));
    case "past":
      return { ...desk, recent: newest([...desk.recent, ...message.calls]) };
    case "tick":
      return leave(desk, message.at);
  }
}

/** The snapshot says what is open; of what was missed only an end matters, for the reason it gives. */
function connected(desk: Desk, at: number, snapshot: DeskSnapshot, missed: readonly Card[]): Desk {
  const offset = Date.parse(snapshot.server_time) - at;
  const clockOffset = Math.abs(offset) < CLOCK_TOLERANCE_MS || Number.isNaN(offset) ? 0 : offset;
  const ended = latest(missed).filter((card) => card.state === "closed");
  const next = latest([...snapshot.cards, ...ended]).reduce((d, card) => apply(d, card, at), { ...desk, clockOffset });
  const open = new Set(snapshot.cards.map((card) => card.call_id));
  return leave(next, at, ({ card, leavesAt }) => snapshot.complete && leavesAt === null && !open.has(card.call_id));
}

/** One card a call, the highest revision, in the order of the calls' first appearance. */
function latest(cards: readonly Card[]): Card[] {
  const byCall = new Map<string, Card>();
  for (const card of cards) {
    const known = byCall.get(card.call_id);
    if (known === undefined || replaces(card.rev, known.rev)) byCall.set(card.call_id, card);
  }
  return [...byCall.values()];
}

function apply(desk: Desk, card: Card, at: number): Desk {
  if (!replaces(card.rev, desk.seen.get(card.call_id) ?? -Infinity)) return desk;
  const seen = remember(desk.seen, card);
  const index = desk.shown.findIndex((shown) => shown.card.call_id === card.call_id);
  const closed = card.state === "closed";
  if (index < 0) {
    // Nobody saw it ring, so there is nothing to close: it is only a line in the list.
    if (closed) return { ...desk, seen, recent: addRecent(desk.recent, card, at) };
    return { ...desk, seen, shown: [...desk.shown, { card, leavesAt: null }] };
  }
  const before = desk.shown[index];
  const leavesAt = closed ? (before?.leavesAt ?? at + CLOSING_MS) : null;
  return { ...desk, seen, shown: desk.shown.with(index, { card, leavesAt }) };
}

/** What is sent or thrown away leaves as if its call had just ended: what came of it can be read. */
function keep(desk: Desk, at: number, kept: ReadonlySet<string>): Desk {
  const released = (shown: Shown): boolean =>
    shown.leavesAt !== null && desk.kept.has(shown.card.call_id) && !kept.has(shown.card.call_id);
  const shown = desk.shown.map((one) => (released(one) ? { ...one, leavesAt: at + CLOSING_MS } : one));
  return leave({ ...desk, kept, shown }, at);
}

/** Takes off the screen what has been closed for long enough, has expired, or is `gone`. */
function leave(desk: Desk, at: number, gone: (shown: Shown) => boolean = () => false): Desk {
  const over = desk.shown.filter(
    (shown) =>
      gone(shown) || (shown.leavesAt === null ? expired(shown.card, at + desk.clockOffset) : shown.leavesAt <= at),
  );
  const leaving = over.filter((shown) => !desk.kept.has(shown.card.call_id));
  const staying = over.filter((shown) => desk.kept.has(shown.card.call_id) && shown.leavesAt === null);
  if (leaving.length === 0 && staying.length === 0) return desk;
  return {
    ...desk,
    shown: desk.shown
      .filter((shown) => !leaving.includes(shown))
      .map((shown) => (staying.includes(shown) ? { card: unheard(shown.card), leavesAt: at } : shown)),
    recent: leaving.reduce((recent, { card }) => addRecent(recent, card, at), desk.recent),
  };
}

function expired(card: Card, serverNow: number): boolean {
  return Date.parse(card.expires_at) <= serverNow;
}

/** It is over, and how it ended was not heard here. */
function unheard(card: Card): Card {
  return { ...card, state: "closed", close_reason: null };
}

/** What left the screen is on top, also when its end came late. */
function addRecent(recent: readonly RecentCall[], card: Card, at: number): readonly RecentCall[] {
  return [recentCall(card, at), ...recent.filter((call) => call.call_id !== card.call_id)].slice(0, RECENT_MAX);
}

function remember(seen: ReadonlyMap<string, number>, card: Card): Map<string, number> {
  const next = new Map(seen);
  next.delete(card.call_id); // so that the call heard of last is last in the map
  next.set(card.call_id, card.rev);
  for (const oldest of next.keys()) {
    if (next.size <= SEEN_MAX) break;
    next.delete(oldest);
  }
  return next;
}

const RANK = { ringing: 0, closed: 1, answered: 2, held: 3 } as const;

/**
 * What is on the screen, from top to bottom: what rings, what just ended (small, soon gone, and its reason must be
 * seen), the conversation, what is on hold.
 */
export function onScreen(desk: Desk): Card[] {
  return desk.shown.map((shown) => shown.card).sort((a, b) => RANK[a.state] - RANK[b.state]);
}

/** The calls the agent talks to or holds: the bar at the bottom. */
export function conversations(desk: Desk): Card[] {
  return onScreen(desk).filter((card) => card.state === "answered" || card.state === "held");
}

export function ringing(desk: Desk): Card[] {
  return onScreen(desk).filter((card) => card.state === "ringing");
}

/**
 * For how many seconds at most the desk may sound for what rings; 0: it is silent. Who talks hears a second call in the
 * phone, and a chime over the voice of a customer helps nobody.
 */
export function ringSeconds(desk: Desk, now: number): number {
  if (conversations(desk).some((card) => card.state === "answered")) return 0;
  const calls = ringing(desk).filter((card) => card.call.direction !== "outbound");
  return Math.max(0, ...calls.map((card) => (Date.parse(card.expires_at) - now - desk.clockOffset) / 1000));
}
