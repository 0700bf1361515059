import assert from "node:assert/strict";
import { test } from "node:test";
import { ActionError, actionOf, actionUrl, pick, readAnswer, type ActionProblem } from "../src/actions.ts";
import { card } from "./card.ts";

const NOTES = { name: "notes", method: "POST", url: "/api/v1/cards/main-1/notes", if_match: null };

test("only what the card offers", () => {
  const one = { ...card("a", 1), actions: [NOTES] };
  assert.equal(actionOf(one, "notes"), NOTES);
  assert.equal(actionOf(one, "customer"), null);
});

test("an action goes to the API, wherever that is, and to nobody else", () => {
  const page = "https://desk.example/";
  assert.equal(actionUrl(NOTES, "", page), "https://desk.example/api/v1/cards/main-1/notes");
  assert.equal(actionUrl(NOTES, "https://api.example", page), "https://api.example/api/v1/cards/main-1/notes");
  const foreign = { ...NOTES, url: "https://evil.example/take" };
  assert.throws(() => actionUrl(foreign, "", page), ActionError);
  assert.throws(() => actionUrl({ ...NOTES, url: "//evil.example/take" }, "", page), ActionError);
});

test("a candidate is picked by our id, or by its key where only another system knows it", () => {
  const one = { customer_id: "7", source: "crm", external_id: "r-1", name: "", why: "", score: 1 };
  assert.deepEqual(pick(one), { customer_id: "7" });
  assert.deepEqual(pick({ ...one, customer_id: null }), { source: "crm", external_id: "r-1" });
});

test("an answer is the new card, or says why there is none", () => {
  const answer = card("a", 2);
  assert.equal(readAnswer(200, answer), answer);
  const problems: [number, unknown, ActionProblem][] = [
    [200, { hello: "proxy" }, "refused"],
    [401, null, "signed_out"],
    [403, null, "forbidden"],
    [404, null, "gone"],
    [409, null, "changed"],
    [422, { detail: "too long" }, "refused"],
    [429, null, "too_many"],
    [502, "<html>", "unreachable"],
  ];
  for (const [status, body, problem] of problems) {
    assert.throws(
      () => readAnswer(status, body),
      (error: unknown) => error instanceof ActionError && error.problem === problem,
      `${status}`,
    );
  }
  const first = { name: "Анна", account: null, by: "101", if_match: '"7"' };
  assert.throws(
    () => readAnswer(409, { detail: "You have said …", identity: first }),
    { problem: "first", first: { name: "Анна", person: null, account: null, by: "101" } },
  );
  assert.throws(() => readAnswer(422, { detail: "too long" }), /too long/);
});
