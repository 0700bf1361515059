import type { CallerProfile, Card, CardState, CloseReason } from "../src/contract.ts";

export const T0 = Date.UTC(2026, 10, 21, 12, 0, 0);
export const iso = (ms: number): string => new Date(ms).toISOString();

export const NOBODY: CallerProfile = {
  customer_id: null,
  source: null,
  external_id: null,
  kind: null,
  matched_by: null,
  name: null,
  person: null,
  display_number: null,
  names: [],
  people: [],
  accounts: [],
  category: null,
  manager: null,
  tags: [],
  preferences: {},
  attributes: [],
  origins: {},
  do_not_call: null,
  black_listed: null,
};

/** A card of a caller nobody knows. */
export function card(call_id: string, rev: number, state: CardState = "ringing", reason: CloseReason | null = null): Card {
  return {
    call_id,
    rev,
    state,
    close_reason: reason,
    agent: "agent101",
    call: {
      pbx: "main",
      direction: "inbound",
      number: "+79031234567",
      presentation: "allowed",
      did: null,
      queue: null,
      digits: [],
      started_at: iso(T0),
      ringing_at: iso(T0),
      answered_at: null,
      ended_at: null,
    },
    match: "none",
    caller: NOBODY,
    candidates: [],
    greeting: null,
    script: null,
    history: [],
    tickets: [],
    orders: [],
    notes: [],
    callbacks: [],
    links: [],
    sources: [],
    actions: [],
    expires_at: iso(T0 + 120_000),
  };
}

/** A card of a customer: `changes` replace fields of the caller. */
export function customer(changes: Partial<CallerProfile>, rest: Partial<Card> = {}): Card {
  return { ...card("a", 1, "answered"), match: "one", ...rest, caller: { ...NOBODY, name: "Анна Петрова", ...changes } };
}
