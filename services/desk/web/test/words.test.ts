import assert from "node:assert/strict";
import { test } from "node:test";
import { readConfig, ways, webSocketUrl } from "../src/config.ts";
import { asCard, asSnapshot } from "../src/contract.ts";
import { clock, duration, moment, money, recently, safeUrl } from "../src/format.ts";
import { chooseLanguage, texts } from "../src/i18n/index.ts";
import { tabTitle } from "../src/tab.ts";

const plain = (text: string): string => text.replace(/[\u00a0\u202f]/g, " ");

test("a clock that runs", () => {
  assert.equal(clock(7_999), "0:07");
  assert.equal(clock(760_000), "12:40");
  assert.equal(clock(3_729_000), "1:02:09");
  assert.equal(clock(-5_000), "0:00");
});

test("how long something took", () => {
  assert.equal(plain(duration(35, "ru")), "35 с");
  assert.equal(plain(duration(254, "ru")), "4 мин");
  assert.equal(plain(duration(254, "en")), "4 min");
});

test("a call of another day says of which", () => {
  const now = new Date(2026, 10, 21, 0, 30);
  assert.equal(recently(new Date(2026, 10, 21, 0, 5), now, "ru"), "00:05");
  assert.equal(recently(new Date(2026, 10, 20, 23, 59), now, "ru"), "вчера, 23:59");
  assert.match(recently(new Date(2026, 10, 13, 17, 16), now, "en"), /^Nov 13, 5:16/);
});

test("a moment is as exact as its distance asks for", () => {
  const now = new Date(2026, 10, 21, 12, 0);
  assert.equal(moment(new Date(2026, 10, 21, 9, 5).toISOString(), now, "ru"), "сегодня, 09:05");
  assert.match(moment(new Date(2026, 10, 20, 23, 59).toISOString(), now, "en"), /^yesterday, 11:59/);
  assert.match(moment(new Date(2026, 2, 12, 16, 40).toISOString(), now, "ru"), /^12 мар\..*16:40$/);
  assert.match(plain(moment(new Date(2024, 2, 12).toISOString(), now, "ru")), /^12 мар\. 2024/);
  assert.equal(moment("soon", now, "en"), "soon");
});

test("money with its currency, anything else as it came", () => {
  assert.equal(plain(money("1990.00 RUB", "ru")), "1 990,00 ₽");
  assert.equal(money("по запросу", "ru"), "по запросу");
});

test("only the web may be followed from data", () => {
  assert.equal(safeUrl("https://help.example/1"), "https://help.example/1");
  assert.equal(safeUrl("javascript:alert(1)"), null);
  assert.equal(safeUrl(" data:text/html,x"), null);
  assert.equal(safeUrl(null), null);
});

test("the language: chosen, agent's, browser's, server's", () => {
  assert.equal(chooseLanguage("en", "ru"), "en");
  assert.equal(chooseLanguage(null, "ru", "en-US"), "ru");
  assert.equal(chooseLanguage(null, undefined, "de-DE", "en-GB", "ru"), "en");
  assert.equal(chooseLanguage(null, undefined, "de-DE", "ru"), "ru");
});

test("every sentence exists in Russian and differs from the English one", () => {
  const same: string[] = [];
  const walk = (en: unknown, ru: unknown, path: string): void => {
    if (typeof en === "string" && en !== "" && en === ru) same.push(path);
    if (typeof en !== "object" || en === null) return;
    for (const [key, value] of Object.entries(en)) walk(value, (ru as Record<string, unknown>)[key], `${path}.${key}`);
  };
  walk(texts("en"), texts("ru"), "texts");
  assert.deepEqual(same, ["texts.product", "texts.languages.ru", "texts.languages.en"]);
});

test("where the WebSocket is", () => {
  const page = "https://desk.example/";
  assert.equal(webSocketUrl("", page), "wss://desk.example/connection/websocket");
  assert.equal(webSocketUrl("", "http://127.0.0.1:8080/"), "ws://127.0.0.1:8080/connection/websocket");
  assert.equal(webSocketUrl("https://push.example", page), "wss://push.example/connection/websocket");
  assert.equal(webSocketUrl("wss://push.example/own/path", page), "wss://push.example/own/path");
  assert.equal(readConfig({ api_url: "https://api.example/" }, page).apiUrl, "https://api.example");
  assert.deepEqual(readConfig("?", page).language, null);
});

test("the title keeps the name and only its mark changes", () => {
  assert.equal(tabTitle([], "Callcard", 0, false), "Callcard");
  assert.equal(tabTitle(["Ringing: Anna"], "Callcard", 0, false), "● Ringing: Anna");
  assert.equal(tabTitle(["Ringing: Anna"], "Callcard", 1_000, false), "○ Ringing: Anna");
  assert.equal(tabTitle(["Ringing: Anna"], "Callcard", 1_000, true), "● Ringing: Anna");
});

test("what is no card is left out", () => {
  assert.equal(asCard({ type: "card", card: { call_id: "a" } }), null);
  assert.equal(asCard({ type: "line", line: {} }), null);
  assert.equal(asSnapshot({ type: "card" }), null);
  assert.deepEqual(asSnapshot({ type: "desk", offset: 3, cards: [null, { rev: 2 }], server_time: "x" }), {
    offset: 3,
    cards: [],
    complete: true,
    server_time: "x",
  });
});

test("HTTP streaming where WebSockets are broken, at the same host", () => {
  assert.deepEqual(ways("wss://push.example/connection/websocket"), {
    transports: [
      { transport: "websocket", endpoint: "wss://push.example/connection/websocket" },
      { transport: "http_stream", endpoint: "https://push.example/connection/http_stream" },
    ],
    emulationEndpoint: "https://push.example/emulation",
  });
  assert.equal(ways("ws://push.example/somewhere/else").transports.length, 1);
});
