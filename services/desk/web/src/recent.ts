/** The calls of before: only what the list shows of them, so that little is left lying in the browser. */
import { isObject, type Card, type CloseReason, type Presentation } from "./contract.ts";

// What a glance takes in; the whole history is on the server.
export const RECENT_MAX = 8;

export interface RecentCall {
  readonly call_id: string;
  readonly name: string | null;
  readonly number: string | null;
  readonly presentation: Presentation;
  /** Null: how it ended was not heard here. */
  readonly reason: CloseReason | null;
  /** When it ended, ms. */
  readonly at: number;
  /** How long the conversation was; 0: there was none, or it is not known. */
  readonly seconds: number;
}

/** `at`: when it left the screen, ms. */
export function recentCall(card: Card, at: number): RecentCall {
  const { answered_at, ended_at, number, presentation } = card.call;
  return {
    call_id: card.call_id,
    name: card.caller.name ?? card.caller.person,
    number: card.caller.display_number ?? number,
    presentation,
    reason: card.state === "closed" ? card.close_reason : null,
    at: ended_at ? Date.parse(ended_at) : at,
    seconds: answered_at && ended_at ? (Date.parse(ended_at) - Date.parse(answered_at)) / 1000 : 0,
  };
}

/** The latest first, each call once, the first one said. */
export function newest(calls: readonly RecentCall[]): RecentCall[] {
  const once = new Map<string, RecentCall>();
  for (const call of calls) if (!once.has(call.call_id)) once.set(call.call_id, call);
  return [...once.values()].sort((a, b) => b.at - a.at).slice(0, RECENT_MAX);
}

/** Of the API's page of calls those that are over. They are known by number alone. */
export function pastCalls(body: unknown): RecentCall[] {
  if (!isObject(body) || !Array.isArray(body["items"])) return [];
  return body["items"].filter(isObject).flatMap((item) => {
    const at = Date.parse(String(item["ended_at"]));
    if (typeof item["call_id"] !== "string" || Number.isNaN(at)) return [];
    const number = typeof item["customer_number"] === "string" ? item["customer_number"] : null;
    const seconds = Number(item["talk_seconds"] ?? 0);
    return [{ call_id: item["call_id"], name: null, number, presentation: "withheld", reason: "ended", at, seconds }];
  });
}

const TIMEOUT_MS = 10_000;

/** The agent's last calls as the record has them; none if it cannot be read: a list is not worth an error. */
export async function fetchPastCalls(apiUrl: string, token: string): Promise<RecentCall[]> {
  try {
    const response = await fetch(`${apiUrl}/api/v1/calls?limit=${RECENT_MAX}`, {
      headers: { authorization: `Bearer ${token}` },
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    return response.ok ? pastCalls(await response.json()) : [];
  } catch {
    return [];
  }
}

/** Keeps the list over a reload of this tab, for its agent alone. */
export class RecentStore {
  private static readonly KEY = "callcard.recent";
  private kept: readonly RecentCall[] = [];

  constructor(private readonly storage: Storage) {}

  load(login: string): readonly RecentCall[] {
    this.kept = [];
    try {
      const value: unknown = JSON.parse(this.storage.getItem(RecentStore.KEY) ?? "null");
      if (isObject(value) && value["login"] === login && Array.isArray(value["calls"])) {
        this.kept = newest(value["calls"].filter(isRecentCall));
      }
    } catch {
      // Not ours, or forbidden: the list begins empty.
    }
    return this.kept;
  }

  save(login: string, calls: readonly RecentCall[]): void {
    if (calls === this.kept) return;
    this.kept = calls;
    try {
      this.storage.setItem(RecentStore.KEY, JSON.stringify({ login, calls }));
    } catch {
      // Full or forbidden: only a reload loses it.
    }
  }

  clear(): void {
    this.kept = [];
    this.storage.removeItem(RecentStore.KEY);
  }
}

function isRecentCall(value: unknown): value is RecentCall {
  return isObject(value) && typeof value["call_id"] === "string" && Number.isFinite(value["at"]);
}
