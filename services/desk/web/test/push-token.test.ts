import assert from "node:assert/strict";
import { test } from "node:test";
import { DataToken } from "../src/push-token.ts";

function tokens() {
  let number = 1;
  return {
    current: () => `token ${number}`,
    renew: () => Promise.resolve(`token ${++number}`),
  };
}

test("a token that served serves again; one that did not is renewed once in a while", async () => {
  let now = 0;
  const token = new DataToken(tokens(), () => now);
  assert.equal(await token.next(), "token 1");
  token.taken();
  token.lost(0); // the Wi-Fi
  assert.equal(await token.next(), "token 1");
  assert.equal(await token.next(), "token 2");
  assert.equal(await token.next(), "token 2"); // nobody is there
  now = 30_000;
  assert.equal(await token.next(), "token 3");
});

test("when the server wants another token it gets one at once", async () => {
  const token = new DataToken(tokens(), () => 0);
  for (const [code, next] of [
    [3005, "token 2"],
    [4000, "token 3"],
    [4001, "token 4"],
    [3001, "token 4"],
  ] as const) {
    token.taken();
    token.lost(code);
    assert.equal(await token.next(), next);
  }
});
