/** The token of the push link where it goes in `data`: Centrifugo hands on what is there, and keeps a `token` to itself. */
import type { TokenSource } from "./push.ts";

/** `token`: our own gateway's way, which is the SDK's. `data`: Centrifugo's, with the card API behind it. */
export type TokenPlace = "token" | "data";

// An attempt that failed may have failed for its token, or because nobody is there. A thousand tabs that wait for a server
// must not ask the API for new tokens at each attempt, every few seconds.
const RENEW_MS = 30_000;
// Close codes after which the server wants another token: its connection expired, rights changed, token ended, password
// changed.
const OVER_CODES = [3005, 4000, 4001, 4002];

export class DataToken {
  private good = true;
  private renewedAt = -Infinity;

  constructor(
    private readonly tokens: TokenSource,
    private readonly now: () => number = Date.now,
  ) {}

  /** The token for an attempt: the one that served last, else, now and then, a new one. Rejects as `TokenSource.renew`. */
  async next(): Promise<string> {
    const renew = !this.good && this.now() - this.renewedAt >= RENEW_MS;
    this.good = false;
    if (!renew) return this.tokens.current();
    this.renewedAt = this.now();
    return this.tokens.renew();
  }

  /** The server took it. */
  taken(): void {
    this.good = true;
  }

  /** The link was lost with this close code. */
  lost(code: number): void {
    if (!OVER_CODES.includes(code)) return;
    this.good = false;
    this.renewedAt = -Infinity;
  }
}
