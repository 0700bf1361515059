/** What the page hears: the wire form of `shared/contracts/card.py` and `push.py`. A test compares them. */

export type CardState = "ringing" | "answered" | "held" | "closed";
export type CloseReason =
  | "answered_elsewhere"
  | "no_answer"
  | "caller_gave_up"
  | "rejected"
  | "transferred"
  | "ended";
export type MatchKind = "one" | "several" | "none" | "withheld" | "colleague";
export type Direction = "inbound" | "outbound" | "internal";
export type Presentation = "allowed" | "withheld" | "unavailable";
export type SourceStatus = "ok" | "late" | "failed";
export type MatchedBy = "number" | "account" | "agent";
export type DoNotCallReason = "hung_up" | "asked" | "wrong_number" | "foreign_number";
export type CallEndReason =
  | "completed"
  | "abandoned"
  | "no_answer"
  | "busy"
  | "rejected"
  | "failed"
  | "closed"
  | "unknown";

/** ISO 8601, UTC, milliseconds. */
export type Timestamp = string;

export interface CallSummary {
  pbx: string;
  direction: Direction;
  number: string | null;
  presentation: Presentation;
  did: string | null;
  queue: string | null;
  digits: string[];
  started_at: Timestamp;
  ringing_at: Timestamp | null;
  answered_at: Timestamp | null;
  ended_at: Timestamp | null;
}

export interface Named {
  name: string;
  source: string;
}

export interface Person {
  name: string;
  role: string | null;
  source: string;
}

export interface Account {
  number: string;
  status: string | null;
  product: string | null;
  source: string;
}

export interface Category {
  code: string;
  label: string;
  colour: string | null;
}

export interface Ticket {
  number: string;
  subject: string;
  status: string;
  opened_at: Timestamp | null;
  url: string | null;
  source: string;
}

export interface Order {
  number: string;
  title: string;
  status: string | null;
  amount: string | null;
  ordered_at: Timestamp | null;
  url: string | null;
  source: string;
}

export interface PastCall {
  call_id: string;
  at: Timestamp;
  direction: Direction;
  end_reason: CallEndReason | null;
  agent: string | null;
  queue: string | null;
  talk_seconds: number | null;
}

export interface Note {
  id: string;
  text: string;
  author: string;
  at: Timestamp;
  call_id: string | null;
}

export interface DoNotCall {
  reason: DoNotCallReason;
  comment: string | null;
  by: string;
  at: Timestamp;
}

export interface BlackListed {
  reason: string | null;
  until: Timestamp | null;
  by: string;
  at: Timestamp;
}

export interface Attribute {
  name: string;
  value: string;
  source: string;
}

export interface Callback {
  id: string;
  due_at: Timestamp | null;
  attempts: number;
  reason: string | null;
}

export interface Link {
  label: string;
  url: string;
}

export interface CallerProfile {
  customer_id: string | null;
  source: string | null;
  external_id: string | null;
  kind: string | null;
  matched_by: MatchedBy | null;
  name: string | null;
  person: string | null;
  display_number: string | null;
  names: Named[];
  people: Person[];
  accounts: Account[];
  category: Category | null;
  manager: string | null;
  tags: string[];
  preferences: Record<string, string>;
  attributes: Attribute[];
  origins: Record<string, string>;
  do_not_call: DoNotCall | null;
  black_listed: BlackListed | null;
}

export interface Candidate {
  customer_id: string | null;
  source: string;
  external_id: string;
  name: string;
  why: string;
  score: number;
}

export interface Source {
  name: string;
  status: SourceStatus;
  ms: number;
}

export interface CardAction {
  name: string;
  method: string;
  url: string;
  if_match: string | null;
}

export interface Card {
  call_id: string;
  rev: number;
  state: CardState;
  close_reason: CloseReason | null;
  agent: string;
  call: CallSummary;
  match: MatchKind;
  caller: CallerProfile;
  candidates: Candidate[];
  greeting: string | null;
  script: string | null;
  history: PastCall[];
  tickets: Ticket[];
  orders: Order[];
  notes: Note[];
  callbacks: Callback[];
  links: Link[];
  sources: Source[];
  actions: CardAction[];
  expires_at: Timestamp;
}

/** Who is signed in, as the API says it. */
export interface Agent {
  login: string;
  name: string;
  extension: string | null;
  role: string;
  language: string | null;
}

/** The desk as it is now: what the connect reply carries. */
export interface DeskSnapshot {
  /** A publication up to this offset tells what was missed; it never puts a card on the screen. */
  offset: number;
  cards: Card[];
  /** False: the server has lost its memory for a moment, so a card that is not here may still be open. */
  complete: boolean;
  server_time: Timestamp;
}

const STATES: readonly string[] = ["ringing", "answered", "held", "closed"] satisfies CardState[];

/** Is it a card this page can show? One that is not is left out, so that it cannot hide the others. */
export function isCard(value: unknown): value is Card {
  if (!isObject(value) || !isObject(value["call"]) || !isObject(value["caller"])) return false;
  return (
    typeof value["call_id"] === "string" &&
    Number.isFinite(value["rev"]) &&
    STATES.includes(String(value["state"])) &&
    !Number.isNaN(Date.parse(String(value["expires_at"]))) &&
    LISTS.every((name) => Array.isArray(value[name]))
  );
}

const LISTS = [
  "candidates",
  "history",
  "tickets",
  "orders",
  "notes",
  "callbacks",
  "links",
  "sources",
  "actions",
] satisfies (keyof Card)[];

/** The snapshot in a connect reply, or null if the reply carries something else. */
export function asSnapshot(value: unknown): DeskSnapshot | null {
  if (!isObject(value) || value["type"] !== "desk" || !Array.isArray(value["cards"])) return null;
  return {
    offset: Number(value["offset"] ?? 0),
    cards: value["cards"].filter(isCard),
    complete: value["complete"] !== false,
    server_time: String(value["server_time"]),
  };
}

/** The card in a publication, or null: other types belong to later pages. */
export function asCard(value: unknown): Card | null {
  return isObject(value) && value["type"] === "card" && isCard(value["card"]) ? value["card"] : null;
}

export function isAgent(value: unknown): value is Agent {
  return isObject(value) && typeof value["login"] === "string" && typeof value["name"] === "string";
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
