import type { TransportEndpoint } from "centrifuge";
import { isObject } from "./contract.ts";
import { isLanguage, type Language } from "./i18n/index.ts";
import type { TokenPlace } from "./push-token.ts";

/** What the server tells the page about where things are. */
export interface Config {
  /** Base address of the API, without a slash at the end; empty: where the page came from. */
  apiUrl: string;
  /** The push gateway's WebSocket. */
  pushUrl: string;
  /** Where it wants the token. */
  pushToken: TokenPlace;
  language: Language | null;
  version: string;
}

export const WEBSOCKET_PATH = "/connection/websocket";
const STREAM_PATH = "/connection/http_stream";

/** Reads `config.json`. Rejects if the server does not answer. */
export async function loadConfig(page: Location): Promise<Config> {
  const response = await fetch("/config.json", { cache: "no-store" });
  if (!response.ok) throw new Error(`config.json: ${response.status}`);
  return readConfig(await response.json(), page.href);
}

export function readConfig(value: unknown, page: string): Config {
  const fields = isObject(value) ? value : {};
  return {
    apiUrl: text(fields["api_url"]).replace(/\/+$/, ""),
    pushUrl: webSocketUrl(text(fields["push_url"]), page),
    pushToken: fields["push_token"] === "data" ? "data" : "token",
    language: isLanguage(fields["language"]) ? fields["language"] : null,
    version: text(fields["version"]),
  };
}

/** `https://push.example` -> `wss://push.example/connection/websocket`; empty: the page's own host. */
export function webSocketUrl(configured: string, page: string): string {
  const url = new URL(configured || "/", page);
  url.protocol = url.protocol === "https:" || url.protocol === "wss:" ? "wss:" : "ws:";
  if (url.pathname === "/") url.pathname = WEBSOCKET_PATH;
  return url.href;
}

/** Ways to the gateway, the first that works is taken: some networks break WebSockets, and let HTTP through. */
export function ways(pushUrl: string): { transports: TransportEndpoint[]; emulationEndpoint: string } {
  const stream = new URL(pushUrl);
  stream.protocol = stream.protocol === "wss:" ? "https:" : "http:";
  const emulationEndpoint = new URL("/emulation", stream).href;
  const transports: TransportEndpoint[] = [{ transport: "websocket", endpoint: pushUrl }];
  // Behind an address of somebody's own making nobody knows where the other one is.
  if (stream.pathname === WEBSOCKET_PATH) {
    stream.pathname = STREAM_PATH;
    transports.push({ transport: "http_stream", endpoint: stream.href });
  }
  return { transports, emulationEndpoint };
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}
