/** Signing in, and keeping the token over a reload of this tab. */
import { isAgent, isObject, type Agent } from "./contract.ts";

export interface Session {
  token: string;
  expiresAt: string;
  agent: Agent;
}

/** Why a sign-in ended by itself: it got too old, the agent signed out elsewhere, may not work here any more. */
export type SignInEnd = "expired" | "signed_out" | "switched_off";

/** Why a sign-in failed. `detail` is the server's own sentence, where it sent one. */
export type SignInProblem = "credentials" | "too_many" | "unreachable" | "other";

export class SignInError extends Error {
  constructor(
    readonly problem: SignInProblem,
    readonly detail: string | null = null,
  ) {
    super(detail ?? problem);
  }
}

// A server that has not answered by then will not; the agent can try again.
const TIMEOUT_MS = 10_000;

/** Raises `SignInError`. */
export async function signIn(apiUrl: string, login: string, password: string): Promise<Session> {
  return post(`${apiUrl}/api/v1/auth/sign-in`, {
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ login, password }),
  });
}

/** A new token for one that is still good. Raises `SignInError`; `credentials` means: sign in again. */
export async function refresh(apiUrl: string, token: string): Promise<Session> {
  return post(`${apiUrl}/api/v1/auth/refresh`, { headers: { authorization: `Bearer ${token}` } });
}

/** Ends the sign-in in every tab. Nobody waits for it: this tab is signed out whatever the server says. */
export function signOut(apiUrl: string, token: string): void {
  const headers = { authorization: `Bearer ${token}` };
  // keepalive: it goes out even if the tab closes now.
  void fetch(`${apiUrl}/api/v1/auth/sign-out`, { method: "POST", headers, keepalive: true }).catch(() => undefined);
}

async function post(url: string, init: RequestInit): Promise<Session> {
  let response: Response;
  let body: unknown;
  try {
    response = await fetch(url, { ...init, method: "POST", signal: AbortSignal.timeout(TIMEOUT_MS) });
    body = await response.json().catch(() => null);
  } catch {
    throw new SignInError("unreachable");
  }
  if (response.ok) {
    const session = asSession(body);
    if (session) return session;
    throw new SignInError("other");
  }
  const detail = isObject(body) && typeof body["detail"] === "string" ? body["detail"] : null;
  if (response.status === 401) throw new SignInError("credentials", detail);
  if (response.status === 429) throw new SignInError("too_many", detail);
  if (response.status >= 500) throw new SignInError("unreachable", detail);
  throw new SignInError("other", detail);
}

function asSession(body: unknown): Session | null {
  if (!isObject(body) || typeof body["token"] !== "string" || !isAgent(body["agent"])) return null;
  return { token: body["token"], expiresAt: String(body["expires_at"]), agent: body["agent"] };
}

/** Keeps the session for this tab only: a colleague at the same machine opens a tab of their own. */
export class SessionStore {
  private static readonly KEY = "callcard.session";

  constructor(private readonly storage: Storage) {}

  load(now: number): Session | null {
    try {
      const value: unknown = JSON.parse(this.storage.getItem(SessionStore.KEY) ?? "null");
      if (!isObject(value)) return null;
      const session = asSession({ ...value, expires_at: value["expiresAt"] });
      return session && !(Date.parse(session.expiresAt) <= now) ? session : null;
    } catch {
      return null;
    }
  }

  save(session: Session): void {
    this.storage.setItem(SessionStore.KEY, JSON.stringify(session));
  }

  clear(): void {
    this.storage.removeItem(SessionStore.KEY);
  }
}
