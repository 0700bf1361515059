/** The link to the push gateway: centrifuge-js, and what it says in our words. */
import { Centrifuge, UnauthorizedError } from "centrifuge";
import { ways } from "./config.ts";
import { asCard, asSnapshot, type Card } from "./contract.ts";
import type { Message } from "./desk-state.ts";
import { DataToken, type TokenPlace } from "./push-token.ts";
import type { SignInEnd } from "./session.ts";

/**
 * `connecting`: the first try; `reconnecting`: it was lost or did not come about, and the SDK tries again by itself;
 * `stopped`: the server said that trying again is no use.
 */
export type Link = "connecting" | "connected" | "reconnecting" | "stopped";

export interface PushEvents {
  link(link: Link): void;
  message(message: Message): void;
  /** The sign-in is over: the token is no good any more and no new one was to be had, or the server said so. */
  ended(why: SignInEnd): void;
}

export interface TokenSource {
  current(): string;
  /** Rejects with `Unauthorised` if signing in again is the only way. */
  renew(): Promise<string>;
}

export class Unauthorised extends Error {}

// A phone rings for 15-20 s: the desk must be back within one ring, also after a long outage.
const RECONNECT_MAX_MS = 5_000;
const RECONNECT_MIN_MS = 300;
// The SDK's own "unauthorized", the gateway's error of that name, and its close code "invalid token".
const NO_TOKEN_CODES = [1, 101, 3500];
// shared/push_control.py. Of its other codes, 4000 to 4002, the SDK makes a new connection, for which the gateway wants
// a new token; whether there is one to be had the API says.
const ENDS: Record<number, SignInEnd> = { 4500: "signed_out", 4501: "switched_off" };

export class Push {
  private readonly client: Centrifuge;
  private snapshot: unknown = null;
  private pending: { card: Card; offset: number }[] = [];
  private scheduled = false;
  private wasUp = false;

  constructor(url: string, place: TokenPlace, tokens: TokenSource, private readonly events: PushEvents) {
    const inData = new DataToken(tokens);
    const { transports, emulationEndpoint } = ways(url);
    this.client = new Centrifuge(transports, {
      emulationEndpoint,
      ...(place === "data"
        ? { getData: async () => ({ token: await orUnauthorised(inData.next()) }) }
        : { token: tokens.current(), getToken: () => orUnauthorised(tokens.renew()) }),
      minReconnectDelay: RECONNECT_MIN_MS,
      maxReconnectDelay: RECONNECT_MAX_MS,
      name: "callcard-desk",
    });
    this.client.on("connecting", (context) => {
      inData.lost(context.code);
      events.link(this.wasUp ? "reconnecting" : "connecting");
    });
    this.client.on("connected", (context) => {
      inData.taken();
      this.wasUp = true;
      this.snapshot = context.data;
      this.schedule();
      events.link("connected");
    });
    this.client.on("publication", (context) => {
      const card = asCard(context.data);
      if (card === null) return;
      this.pending.push({ card, offset: context.offset ?? Infinity });
      this.schedule();
    });
    this.client.on("disconnected", (context) => {
      events.link("stopped");
      const why = ENDS[context.code] ?? (NO_TOKEN_CODES.includes(context.code) ? "expired" : null);
      if (why !== null) events.ended(why);
    });
    // An attempt failed and the SDK makes another: from now on it is no first try any more.
    this.client.on("error", () => {
      if (this.client.state === "connecting") events.link("reconnecting");
    });
  }

  start(): void {
    this.client.connect();
  }

  stop(): void {
    this.client.removeAllListeners();
    this.client.disconnect();
  }

  /** The receipt behind the ring-to-screen figure, `at` by this tab's clock. Nobody waits for it. */
  shown(card: Card, at: Date): void {
    this.receipt("card.shown", card, at);
  }

  /** The agent looks at it. */
  opened(card: Card, at: Date): void {
    this.receipt("card.opened", card, at);
  }

  private receipt(what: string, card: Card, at: Date): void {
    this.client.rpc(what, { call_id: card.call_id, rev: card.rev, at: at.toISOString() }).catch(() => undefined);
  }

  /**
   * The SDK hands over the connect reply and the missed publications one by one, but in one go. They are told together:
   * a ring and its end that both came while the link was down must not flash up.
   */
  private schedule(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    queueMicrotask(() => {
      this.scheduled = false;
      const at = Date.now();
      const snapshot = asSnapshot(this.snapshot);
      const before = snapshot?.offset ?? -Infinity;
      const missed = this.pending.filter((one) => one.offset <= before).map((one) => one.card);
      const cards = this.pending.filter((one) => one.offset > before).map((one) => one.card);
      this.snapshot = null;
      this.pending = [];
      if (snapshot) this.events.message({ kind: "connected", at, snapshot, missed });
      if (cards.length > 0) this.events.message({ kind: "cards", at, cards });
    });
  }
}

/** Says in the SDK's words that there is no token to be had: then it does not try again. */
async function orUnauthorised(token: Promise<string>): Promise<string> {
  try {
    return await token;
  } catch (error) {
    throw error instanceof Unauthorised ? new UnauthorizedError("sign in again") : error;
  }
}
