import assert from "node:assert/strict";
import { test } from "node:test";
import { announcements } from "../src/announce.ts";
import type { Card, Note } from "../src/contract.ts";
import { EMPTY, reduce } from "../src/desk-state.ts";
import { isolated, took } from "../src/format.ts";
import { texts } from "../src/i18n/index.ts";
import { details, folded, incomplete, noted, origins, otherNames, ranked } from "../src/known.ts";
import { headline, kind, speaker } from "../src/who.ts";
import { card, customer, NOBODY, T0 } from "./card.ts";

const ru = texts("ru");
const note = (id: string, text = "", call_id: string | null = null): Note => ({ id, text, author: "101", at: "", call_id });

test("the likeliest candidate is first", () => {
  const one = (name: string, score: number) => ({ customer_id: name, source: "", external_id: "", name, why: "", score });
  assert.deepEqual(ranked([one("b", 1), one("a", 3), one("c", 1)]).map((c) => c.name), ["a", "b", "c"]);
});

test("who said what: a source once, with all its fields", () => {
  const said = { name: "crm", category: "1c", tags: "crm", manager: "1c", "preferences.language": "crm" };
  assert.deepEqual(origins(customer({ origins: said })), [
    ["crm", ["name", "tags"]],
    ["1c", ["category"]],
  ]);
});

test("other names are each said once, and never the one of the headline", () => {
  const names = ["Анна Петрова", "А. Петрова", "А. Петрова"].map((name, n) => ({ name, source: `s${n}` }));
  assert.deepEqual(otherNames(customer({ names })), [{ name: "А. Петрова", source: "s1" }]);
});

test("free fields and preferences with who says them", () => {
  const caller = customer({
    attributes: [{ name: "тариф", value: "300", source: "crm" }],
    preferences: { язык: "ru", время: "после 18" },
    origins: { "preferences.язык": "1c" },
  });
  assert.deepEqual(
    details(caller).map(({ name, source }) => [name, source]),
    [
      ["тариф", "crm"],
      ["язык", "1c"],
      ["время", null],
    ],
  );
});

test("sources that are late or failed", () => {
  const sources = (["ok", "late", "failed"] as const).map((status) => ({ name: status, status, ms: 1000 }));
  assert.deepEqual(incomplete(customer({}, { sources })).map((one) => one.name), ["late", "failed"]);
  assert.equal(took(1000, "ru").replace(/\s/, " "), "1 с");
  assert.equal(took(1012, "en").replace(/\s/, " "), "1 sec");
  assert.equal(took(250, "en").replace(/\s/, " "), "250 ms");
});

test("a note that arrived without its answer is known by its text, in this call", () => {
  const one = customer({}, { notes: [note("1", "обещали перезвонить ", "a"), note("2", "старая", "b")] });
  assert.deepEqual([noted(one, "обещали перезвонить"), noted(one, "старая"), noted(one, "")], [true, false, false]);
});

test("many notes are folded, but not to hide a single one", () => {
  const many = (count: number) => Array.from({ length: count }, (_, n) => note(String(n)));
  assert.deepEqual(folded(many(40), 3).map((part) => part.length), [3, 37]);
  assert.deepEqual(folded(many(4), 3).map((part) => part.length), [4, 0]);
  assert.deepEqual(folded(many(2), 3).map((part) => part.length), [2, 0]);
});

test("the customer is the headline, who speaks stands beside; a stranger who gave a name is called by it", () => {
  assert.equal(speaker(customer({ person: "Мария" })), "Мария");
  assert.equal(speaker(customer({ person: "Анна Петрова" })), null);
  const stranger: Card = { ...card("a", 1), caller: { ...NOBODY, person: "Мария" } };
  assert.deepEqual([headline(stranger, ru), speaker(stranger)], ["Мария", null]);
  assert.equal(kind(customer({ matched_by: "account" }), ru), "найден по номеру договора");
  assert.equal(kind(customer({ matched_by: "number" }), ru), null);
  const other = { customer_id: "2", source: "", external_id: "", name: "", why: "", score: 0 };
  assert.equal(kind(customer({ matched_by: "number" }, { candidates: [other] }), ru), "возможны и другие: 1");
  assert.equal(kind(customer({ matched_by: "agent" }, { candidates: [other] }), ru), "указан в этом звонке");
});

test("a name from right to left does not turn the sentence around", () => {
  assert.equal(isolated("Анна"), "Анна");
  assert.equal(isolated("שלום"), "\u2068שלום\u2069");
});

test("a screen reader hears of warnings in a ring, and calmly of another caller", () => {
  const show = (...list: Card[]) =>
    list.reduce((desk, one) => reduce(desk, { kind: "cards", at: T0, cards: [one] }), EMPTY);
  const listed = { reason: null, until: null, by: "102", at: "" };
  const rings: Card = { ...customer({ black_listed: listed }), state: "ringing" };
  assert.deepEqual(announcements(EMPTY, show(rings), ru), {
    urgent: "Входящий звонок. Анна Петрова. Чёрный список",
    calm: null,
  });
  const before = card("a", 1, "answered");
  const found = { ...customer({ matched_by: "account" }), rev: 2 };
  assert.equal(
    announcements(show(before), show(before, found), ru).calm,
    "Клиент: Анна Петрова. найден по номеру договора",
  );
  const patched = { ...found, rev: 3, tickets: [] };
  assert.deepEqual(announcements(show(found), show(found, patched), ru), { urgent: null, calm: null });
});
