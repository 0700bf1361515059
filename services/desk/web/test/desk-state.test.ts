import assert from "node:assert/strict";
import { test } from "node:test";
import type { Card } from "../src/contract.ts";
import {
  CLOSING_MS,
  EMPTY,
  onScreen,
  reduce,
  ringSeconds,
  SEEN_MAX,
  conversations,
  type Desk,
  type Message,
} from "../src/desk-state.ts";
import { RECENT_MAX } from "../src/recent.ts";
import { card, iso, T0 } from "./card.ts";

const cards = (...list: Card[]): Message => ({ kind: "cards", at: T0, cards: list });
const tick = (after: number): Message => ({ kind: "tick", at: T0 + after });
const connected = (list: Card[], missed: Card[] = [], server = T0, complete = true): Message => ({
  kind: "connected",
  at: T0,
  snapshot: { offset: missed.length, cards: list, complete, server_time: iso(server) },
  missed,
});
const run = (...messages: Message[]): Desk => messages.reduce(reduce, EMPTY);
const states = (desk: Desk): string[] => onScreen(desk).map((one) => `${one.call_id} ${one.state}`);
const recents = (desk: Desk): string[] => desk.recent.map((one) => `${one.call_id} ${one.reason ?? "unheard"}`);

test("a ring is shown, its answer changes it", () => {
  assert.deepEqual(states(run(cards(card("a", 1)))), ["a ringing"]);
  assert.deepEqual(states(run(cards(card("a", 1)), cards(card("a", 2, "answered")))), ["a answered"]);
});

test("the last revision of a version may come again, with newer contents", () => {
  const named = (rev: number, name: string): Card => ({ ...card("a", rev), greeting: name });
  const greeting = (desk: Desk) => onScreen(desk)[0]?.greeting;
  assert.equal(greeting(run(cards(named(63, "one")), cards(named(63, "two")))), "two");
  assert.equal(greeting(run(cards(named(63, "one"), named(63, "two")))), "two");
  assert.equal(greeting(run(cards(named(62, "one")), cards(named(62, "two")))), "one");
});

test("the highest revision wins, whatever comes after it", () => {
  const desk = run(cards(card("a", 5, "answered")));
  assert.equal(reduce(desk, cards(card("a", 4))), desk);
  assert.equal(reduce(desk, cards(card("a", 5, "held"))), desk);
  assert.deepEqual(states(reduce(desk, cards(card("a", 6, "held")))), ["a held"]);
});

test("a closed card shows its reason for a while, then it is a recent call", () => {
  const desk = run(cards(card("a", 1)), cards(card("a", 2, "closed", "caller_gave_up")));
  assert.deepEqual(states(desk), ["a closed"]);
  assert.deepEqual(states(reduce(desk, tick(CLOSING_MS - 1))), ["a closed"]);
  const later = reduce(desk, tick(CLOSING_MS));
  assert.deepEqual(states(later), []);
  assert.deepEqual(recents(later), ["a caller_gave_up"]);
});

test("a second closing message does not keep the card longer", () => {
  const first = run(cards(card("a", 1)), cards(card("a", 2, "closed", "ended")));
  const again = reduce(first, { kind: "cards", at: T0 + CLOSING_MS - 1, cards: [card("a", 3, "closed", "ended")] });
  assert.deepEqual(states(reduce(again, tick(CLOSING_MS))), []);
});

test("a ring that is over never pops up", () => {
  const gone = run(cards(card("a", 1)), cards(card("a", 3, "closed", "no_answer")), tick(CLOSING_MS));
  assert.deepEqual(states(reduce(gone, cards(card("a", 2)))), []);
  // both came while the link was down: nobody has seen it ring
  const missed = run(connected([], [card("a", 1), card("a", 2, "closed", "no_answer")]));
  assert.deepEqual(states(missed), []);
  assert.deepEqual(recents(missed), ["a no_answer"]);
  assert.deepEqual(states(run(cards(card("b", 1), card("b", 2, "closed", "no_answer")))), []);
});

test("a call that rings again after it was closed here is shown again", () => {
  const desk = run(cards(card("a", 1)), cards(card("a", 2, "closed", "no_answer")), cards(card("a", 3)));
  assert.deepEqual(states(desk), ["a ringing"]);
  assert.deepEqual(states(reduce(desk, tick(CLOSING_MS))), ["a ringing"]);
});

test("a snapshot replaces everything", () => {
  const desk = run(cards(card("a", 1), card("b", 1)), connected([card("b", 2, "answered"), card("c", 1)]));
  assert.deepEqual(states(desk), ["c ringing", "b answered"]);
  assert.deepEqual(recents(desk), ["a unheard"]);
  // and the replay of what the snapshot has left out changes nothing
  assert.deepEqual(states(reduce(desk, cards(card("a", 1)))), ["c ringing", "b answered"]);
});

test("an older snapshot does not turn back what was heard since", () => {
  const desk = run(cards(card("a", 5, "answered")), connected([card("a", 4)]));
  assert.deepEqual(states(desk), ["a answered"]);
});

test("a missed close says its reason; a missed ring is shown only if the snapshot has it", () => {
  const desk = run(
    cards(card("a", 1, "answered")),
    connected([card("b", 7)], [card("a", 2, "closed", "transferred"), card("b", 7), card("c", 1)]),
  );
  assert.deepEqual(states(desk), ["b ringing", "a closed"]);
  assert.deepEqual(recents(desk), []); // of "c" nothing is known but that it is not here
});

test("a call that was closed and rings again while the link is down rings on", () => {
  const missed = [card("a", 2, "closed", "no_answer"), card("a", 3)];
  assert.deepEqual(states(run(cards(card("a", 1)), connected([card("a", 3)], missed))), ["a ringing"]);
});

test("a server that has lost its memory takes no card away", () => {
  const desk = run(cards(card("a", 1, "answered")), connected([card("b", 1)], [], T0, false));
  assert.deepEqual(states(desk), ["b ringing", "a answered"]);
});

test("a card that is closing survives a reconnect, but not for ever", () => {
  const desk = run(cards(card("a", 1)), cards(card("a", 2, "closed", "ended")), connected([]));
  assert.deepEqual(states(desk), ["a closed"]);
  assert.deepEqual(states(reduce(desk, tick(CLOSING_MS))), []);
});

test("expires_at drops a card, on the server's clock", () => {
  assert.deepEqual(states(run(cards(card("a", 1)), tick(119_999))), ["a ringing"]);
  const gone = run(cards(card("a", 1)), tick(120_000));
  assert.deepEqual(states(gone), []);
  assert.deepEqual(recents(gone), ["a unheard"]);
  // the browser is ten minutes behind, so by the server's clock the card is already too old
  assert.deepEqual(states(run(connected([card("a", 1)], [], T0 + 600_000))), []);
});

const kept = (after: number, ...calls: string[]): Message => ({ kind: "kept", at: T0 + after, calls });

test("a card in which something is typed stays when its call is over, and leaves when it is sent", () => {
  const over = run(cards(card("a", 1, "answered")), kept(0, "a"), cards(card("a", 2, "closed", "ended")));
  const later = reduce(over, tick(CLOSING_MS * 100));
  assert.deepEqual(states(later), ["a closed"]);
  assert.deepEqual(recents(later), []);
  assert.equal(reduce(later, tick(CLOSING_MS * 101)), later);
  const sent = reduce(later, kept(CLOSING_MS * 101));
  assert.deepEqual(states(sent), ["a closed"]);
  assert.deepEqual(recents(reduce(sent, tick(CLOSING_MS * 102))), ["a ended"]);
});

test("a kept card whose end nobody heard is closed all the same", () => {
  const talking = run(cards(card("a", 1, "answered")), kept(0, "a"));
  for (const gone of [connected([]), tick(120_000)]) {
    const desk = reduce(talking, gone);
    assert.deepEqual(states(desk), ["a closed"]);
    assert.equal(onScreen(desk)[0]?.close_reason, null);
    assert.deepEqual(conversations(desk), []);
  }
});

test("keeping a card that rings or talks changes nothing on the screen", () => {
  const desk = run(cards(card("a", 1)), kept(0, "a"), kept(1));
  assert.deepEqual(states(desk), ["a ringing"]);
});

test("clocks that are nearly the same count as the same", () => {
  assert.equal(run(connected([], [], T0 - 80)).clockOffset, 0);
  assert.equal(run(connected([], [], T0 + 600_000)).clockOffset, 600_000);
});

test("what rings is on top, then what just ended, then the conversation", () => {
  const desk = run(
    cards(card("over", 1), card("held", 1, "held"), card("talk", 1, "answered")),
    cards(card("over", 2, "closed", "ended"), card("ring", 1)),
  );
  assert.deepEqual(states(desk), ["ring ringing", "over closed", "talk answered", "held held"]);
  assert.deepEqual(conversations(desk).map((one) => one.call_id), ["talk", "held"]);
});

test("memory stays bounded", () => {
  let desk = EMPTY;
  for (let n = 0; n < SEEN_MAX + 50; n += 1) {
    desk = [cards(card(`c${n}`, 1)), cards(card(`c${n}`, 2, "closed", "ended")), tick(CLOSING_MS)].reduce(reduce, desk);
  }
  assert.equal(desk.recent.length, RECENT_MAX);
  assert.equal(desk.seen.size, SEEN_MAX);
  assert.equal(desk.recent[0]?.call_id, `c${SEEN_MAX + 49}`);
});

test("any order and any repetition of the same cards gives the same screen", () => {
  const story = [card("a", 1), card("b", 1), card("a", 2, "answered"), card("b", 2, "closed", "answered_elsewhere"), card("a", 3, "held")];
  const open = (desk: Desk): string[] => states(desk).filter((line) => !line.endsWith("closed"));
  const expected = open(run(...story.map((one) => cards(one))));
  for (const order of permutations(story)) {
    assert.deepEqual(open(run(...order.map((one) => cards(one)))), expected);
    assert.deepEqual(open(run(...[...order, ...story].map((one) => cards(one)))), expected);
  }
});

function permutations<T>(items: T[]): T[][] {
  if (items.length < 2) return [items];
  return items.flatMap((item, index) =>
    permutations([...items.slice(0, index), ...items.slice(index + 1)]).map((rest) => [item, ...rest]),
  );
}

test("the desk sounds for what rings, as long as it may ring, and not while the agent talks", () => {
  const ringing = run(cards(card("a", 1)));
  assert.equal(ringSeconds(ringing, T0), 120);
  assert.equal(ringSeconds(ringing, T0 + 130_000), 0);
  const dialled = card("b", 1);
  assert.equal(ringSeconds(run(cards({ ...dialled, call: { ...dialled.call, direction: "outbound" } })), T0), 0);
  assert.equal(ringSeconds(run(cards(card("a", 1), card("b", 1, "answered"))), T0), 0);
  assert.equal(ringSeconds(run(cards(card("a", 1), card("b", 1, "held"))), T0), 120);
  assert.equal(ringSeconds(reduce(ringing, cards(card("a", 2, "closed", "no_answer"))), T0), 0);
});
