/** What an agent can do from a card, and what may come of it: everything is one request of `card.actions`. */
import { isCard, isObject, type Candidate, type Card, type CardAction } from "./contract.ts";

export type ActionName = "identify" | "person" | "notes" | "customer" | "number";

/** Why an action came to nothing. `detail` is the server's own sentence, where it sent one. */
export type ActionProblem =
  | "unreachable"
  | "signed_out"
  | "forbidden"
  | "gone"
  | "changed"
  | "first"
  | "refused"
  | "too_many";

/** What holds of the caller, when somebody else was first: all null if it was taken back. `by`: a login. */
export interface SaidFirst {
  name: string | null;
  person: string | null;
  account: string | null;
  by: string | null;
}

export class ActionError extends Error {
  constructor(
    readonly problem: ActionProblem,
    readonly detail: string | null = null,
    /** With `first`. */
    readonly first: SaidFirst | null = null,
  ) {
    super(detail ?? problem);
  }
}

/** The action if this card has it: what is not there is not offered. */
export function actionOf(card: Card, name: ActionName): CardAction | null {
  return card.actions.find((action) => action.name === name) ?? null;
}

/** The body of `identify` for a candidate: by our id, else by its key in the system that knows it. */
export function pick(candidate: Candidate): Record<string, string> {
  return candidate.customer_id !== null
    ? { customer_id: candidate.customer_id }
    : { source: candidate.source, external_id: candidate.external_id };
}

/** Without the token for any server but the API's own. */
export function actionUrl(action: CardAction, apiUrl: string, page: string): string {
  const base = new URL(apiUrl || "/", page);
  const url = new URL(action.url, base);
  if (url.origin !== base.origin) throw new ActionError("refused", `${url.origin} is not the address of the API`);
  return url.href;
}

/** The card of an answer. Raises `ActionError`. */
export function readAnswer(status: number, body: unknown): Card {
  if (status >= 200 && status < 300 && isCard(body)) return body;
  const document = isObject(body) ? body : {};
  const detail = text(document["detail"]);
  const first = document["identity"];
  if (status === 409 && isObject(first)) {
    const { name, person, account, by } = first;
    throw new ActionError("first", detail, { name: text(name), person: text(person), account: text(account), by: text(by) });
  }
  throw new ActionError(problemOf(status), detail);
}

function text(value: unknown): string | null {
  return typeof value === "string" ? value : null;
}

function problemOf(status: number): ActionProblem {
  switch (status) {
    case 401:
      return "signed_out";
    case 403:
      return "forbidden";
    case 404:
    case 410:
      return "gone";
    case 409:
    case 412:
      return "changed";
    case 429:
      return "too_many";
    default:
      return status >= 500 ? "unreachable" : "refused";
  }
}

// A server that has not answered by then will not; the agent can try again.
const TIMEOUT_MS = 10_000;

/** Raises `ActionError`. */
export async function perform(url: string, action: CardAction, token: string, body: object): Promise<Card> {
  let response: Response;
  let answer: unknown;
  try {
    response = await fetch(url, {
      method: action.method,
      headers: {
        "content-type": "application/json",
        authorization: `Bearer ${token}`,
        // Of two tabs that act on the same card the first wins.
        ...(action.if_match ? { "if-match": action.if_match } : {}),
      },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    answer = await response.json().catch(() => null);
  } catch {
    throw new ActionError("unreachable");
  }
  return readAnswer(response.status, answer);
}
