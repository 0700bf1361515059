import assert from "node:assert/strict";
import { test } from "node:test";
import { ACT_MS, Attention } from "../src/attention.ts";
import { chime, PERIOD_S, SAMPLE_RATE } from "../src/chime.ts";
import { Lead } from "../src/lead.ts";
import { unseen } from "../src/pbx.ts";
import { readTabMessage } from "../src/tabs.ts";

/** The browser's locks: one holder a name, the others wait in order; who aborts waits no more. */
class Locks {
  private readonly queues = new Map<string, Promise<unknown>>();
  request = (name: string, { signal }: { signal: AbortSignal }, held: () => Promise<void>): Promise<void> => {
    const turn = (this.queues.get(name) ?? Promise.resolve()).then(() => (signal.aborted ? undefined : held()));
    this.queues.set(name, turn);
    return turn as Promise<void>;
  };
}
const turn = (): Promise<void> => new Promise((done) => setImmediate(done));
const tabs = (locks: LockManager | undefined, ...names: string[]): Lead[] =>
  names.map((name) => new Lead(name, locks, () => undefined));
const leading = (all: Lead[]): boolean[] => all.map((lead) => lead.leads);

test("one of an agent's tabs leads, the next one when it resigns, and the first again after it", async () => {
  const all = tabs(new Locks() as unknown as LockManager, "101", "101", "102");
  const [first, second] = all as [Lead, Lead];
  for (const tab of all) tab.stand();
  first.stand(); // again: no second candidacy
  await turn();
  assert.deepEqual(leading(all), [true, false, true]);
  first.resign();
  assert.equal(first.leads, false);
  await turn();
  assert.deepEqual(leading(all), [false, true, true]);
  first.stand();
  second.resign();
  await turn();
  assert.deepEqual(leading(all), [true, false, true]);
});

test("who resigns before its turn never leads", async () => {
  const all = tabs(new Locks() as unknown as LockManager, "101", "101", "101");
  for (const tab of all) tab.stand();
  await turn();
  all[1]?.resign();
  all[0]?.resign();
  await turn();
  assert.deepEqual(leading(all), [false, false, true]);
});

test("without the browser's locks, or where they are forbidden, everyone leads", async () => {
  const forbidden = { request: () => Promise.reject(new DOMException("no", "SecurityError")) };
  for (const locks of [undefined, forbidden as unknown as LockManager]) {
    const all = tabs(locks, "101", "101");
    for (const tab of all) tab.stand();
    await turn();
    assert.deepEqual(leading(all), [true, true]);
    all[0]?.resign();
    assert.deepEqual(leading(all), [false, true]);
  }
});

test("a card that was opened is said once in a browser", () => {
  const tab = new Attention();
  assert.equal(tab.open("a"), true);
  assert.equal(tab.open("a"), false);
  tab.heard({ kind: "opened", call_id: "b" }, 0);
  assert.deepEqual([tab.openElsewhere("a"), tab.openElsewhere("b")], [false, true]);
  assert.equal(tab.open("b"), false);
  assert.equal(tab.openElsewhere("b"), false);
  tab.keep([]);
  assert.equal(tab.open("a"), true); // the same call comes back after a transfer: another look
});

test("who acts elsewhere is remembered as long as its push may take", () => {
  const tab = new Attention();
  tab.heard({ kind: "acts", call_id: "a" }, 1_000);
  assert.deepEqual([tab.actsElsewhere("a", 1_000), tab.actsElsewhere("b", 1_000)], [true, false]);
  assert.equal(tab.actsElsewhere("a", 1_000 + ACT_MS), false);
});

test("what another version of the page says is left out", () => {
  assert.deepEqual(readTabMessage({ kind: "acts", call_id: "a", more: 1 }), { kind: "acts", call_id: "a" });
  for (const strange of [null, "acts", { kind: "acts" }, { kind: "dances", call_id: "a" }]) {
    assert.equal(readTabMessage(strange), null);
  }
});

test("the ring is heard, not too loud, and its loop has no seam", () => {
  const samples = chime();
  assert.equal(samples.length, SAMPLE_RATE * PERIOD_S);
  const peak = Math.max(...samples.map(Math.abs));
  assert.ok(peak > 0.29 && peak < 0.301, `peak ${peak}`);
  assert.deepEqual([samples[0], samples.at(-1)], [0, 0]);
  const steps = samples.slice(1).map((sample, n) => Math.abs(sample - (samples[n] ?? 0)));
  assert.ok(Math.max(...steps) < 0.15, "no clicks");
});

test("a PBX is not seen while its link is not up, and when nobody speaks of it any more", () => {
  const body = { items: [{ pbx: "main", link: "up" }, { pbx: "north", link: "lost" }] };
  const first = unseen(body, new Set());
  assert.deepEqual(first?.down, ["north"]);
  assert.deepEqual(unseen({ items: [{ pbx: "north", link: "up" }] }, first?.known ?? new Set())?.down, ["main"]);
  assert.equal(unseen({ detail: "Redis is away" }, new Set()), null);
  assert.deepEqual(unseen({ items: [] }, new Set())?.down, []);
});
