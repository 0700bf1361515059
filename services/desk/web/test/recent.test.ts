import assert from "node:assert/strict";
import { test } from "node:test";
import { EMPTY, reduce } from "../src/desk-state.ts";
import { newest, pastCalls, RECENT_MAX, recentCall, RecentStore, type RecentCall } from "../src/recent.ts";
import { card, customer, iso, T0 } from "./card.ts";

const call = (call_id: string, at: number): RecentCall => ({
  ...recentCall(card(call_id, 1, "closed", "ended"), at),
});

class Memory {
  private readonly items = new Map<string, string>();
  getItem = (key: string): string | null => this.items.get(key) ?? null;
  setItem = (key: string, value: string): void => void this.items.set(key, value);
  removeItem = (key: string): void => void this.items.delete(key);
}
const storage = (): Storage => new Memory() as unknown as Storage;

test("of a card only what the list shows is kept", () => {
  const over = customer({ person: "Мария" }, { state: "closed", close_reason: "ended" });
  const times = { answered_at: iso(T0), ended_at: iso(T0 + 65_000) };
  assert.deepEqual(recentCall({ ...over, call: { ...over.call, ...times } }, T0), {
    call_id: "a",
    name: "Анна Петрова",
    number: "+79031234567",
    presentation: "allowed",
    reason: "ended",
    at: T0 + 65_000,
    seconds: 65,
  });
});

test("the newest first, each call once, as many as the list has", () => {
  const many = Array.from({ length: RECENT_MAX + 3 }, (_, n) => call(String(n), T0 + n));
  const list = newest([{ ...call("1", T0 + 1), name: "first said" }, ...many]);
  assert.equal(list.length, RECENT_MAX);
  assert.equal(list[0]?.call_id, String(RECENT_MAX + 2));
  assert.equal(newest([{ ...call("1", T0), name: "first said" }, call("1", T0)])[0]?.name, "first said");
});

test("what the record says comes below what this tab has seen", () => {
  const seen = reduce(EMPTY, { kind: "cards", at: T0, cards: [card("a", 2, "closed", "no_answer")] });
  const desk = reduce(seen, { kind: "past", at: T0, calls: [call("b", T0 - 1), call("a", T0 - 1)] });
  assert.deepEqual(desk.recent.map((one) => `${one.call_id} ${one.reason}`), ["a no_answer", "b ended"]);
});

test("the API's calls that are over, whatever else it says", () => {
  const over = { call_id: "main-1", ended_at: iso(T0), customer_number: "+7903", talk_seconds: 12, later: "?" };
  const body = { items: [over, { ...over, call_id: "main-2", ended_at: null }, { call_id: 3 }, null] };
  assert.deepEqual(
    pastCalls(body).map((one) => [one.call_id, one.number, one.seconds, one.at]),
    [["main-1", "+7903", 12, T0]],
  );
  assert.deepEqual(pastCalls({ detail: "no" }), []);
});

test("the list outlives a reload, for its agent alone, until the sign-out", () => {
  const browser = storage();
  new RecentStore(browser).save("101", [call("a", T0)]);
  assert.deepEqual(new RecentStore(browser).load("101"), [call("a", T0)]);
  assert.deepEqual(new RecentStore(browser).load("102"), []);
  new RecentStore(browser).clear();
  assert.deepEqual(new RecentStore(browser).load("101"), []);
  browser.setItem("callcard.recent", "{");
  assert.deepEqual(new RecentStore(browser).load("101"), []);
});
