import assert from "node:assert/strict";
import { test } from "node:test";
import { Drafts, DRAFTS_MAX } from "../src/drafts.ts";

function memory(): Storage & { contents: Map<string, string> } {
  const contents = new Map<string, string>();
  return {
    contents,
    getItem: (key: string) => contents.get(key) ?? null,
    setItem: (key: string, value: string) => void contents.set(key, value),
    removeItem: (key: string) => void contents.delete(key),
  } as Storage & { contents: Map<string, string> };
}

test("what is typed is there after a reload, for the same agent only", () => {
  const storage = memory();
  const drafts = new Drafts(storage);
  drafts.open("101");
  drafts.set("a", "note", "обещали перезв");
  const reloaded = new Drafts(storage);
  reloaded.open("101");
  assert.equal(reloaded.get("a", "note"), "обещали перезв");
  reloaded.open("102");
  assert.equal(reloaded.get("a", "note"), "");
  assert.equal(storage.contents.size, 0);
});

test("it says which calls have something typed, and only when that changes", () => {
  const drafts = new Drafts(memory());
  const said: (readonly string[])[] = [];
  drafts.open("101");
  drafts.onCalls = (calls) => said.push(calls);
  drafts.set("a", "note", "x");
  drafts.set("a", "note", "xy");
  drafts.set("a", "account", "4");
  drafts.clear("a", "note");
  drafts.set("a", "account", "  ");
  drafts.set("b", "note", "z");
  drafts.drop("b");
  drafts.drop("b");
  assert.deepEqual(said, [["a"], [], ["b"], []]);
});

test("a store that is full, forbidden or broken costs nothing but the reload", () => {
  const storage = memory();
  storage.setItem("callcard.drafts", "{");
  const full: Storage = {
    ...storage,
    setItem: () => {
      throw new Error("QuotaExceededError");
    },
  };
  const drafts = new Drafts(full);
  drafts.open("101");
  drafts.set("a", "note", "x");
  assert.equal(drafts.get("a", "note"), "x");
  for (const broken of ["[]", '{"login":"101","calls":[["a",5],[1],null,["b",{"note":"y"}]]}']) {
    storage.setItem("callcard.drafts", broken);
    const again = new Drafts(storage);
    again.open("101");
    assert.equal(again.has("a"), false);
  }
});

test("memory stays bounded: the call that was written to longest ago goes first", () => {
  const drafts = new Drafts(memory());
  for (let n = 0; n < DRAFTS_MAX; n += 1) drafts.set(`c${n}`, "note", "x");
  drafts.set("c0", "note", "xy");
  drafts.set("new", "note", "x");
  assert.deepEqual([drafts.has("c0"), drafts.has("c1"), drafts.has("new")], [true, false, true]);
});
