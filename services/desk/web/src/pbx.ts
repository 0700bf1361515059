/** Are the telephone systems seen? Without their events no new card can come, though this page's own link is up. */
import { isObject } from "./contract.ts";

// A supervisor hears of it at once; the agent soon enough to believe the phone more than the screen.
export const LOOK_EVERY_MS = 15_000;
const TIMEOUT_MS = 10_000;

/** Names of those that are not seen: their link is not up, or nobody follows them any more who did (`known`). */
export function unseen(body: unknown, known: ReadonlySet<string>): { down: string[]; known: Set<string> } | null {
  if (!isObject(body) || !Array.isArray(body["items"])) return null;
  const links = new Map<string, unknown>();
  for (const one of body["items"]) {
    if (isObject(one) && typeof one["pbx"] === "string") links.set(one["pbx"], one["link"]);
  }
  const all = new Set([...known, ...links.keys()]);
  return { down: [...all].filter((pbx) => links.get(pbx) !== "up").sort(), known: all };
}

export class PbxWatch {
  private known: ReadonlySet<string> = new Set();
  private lookedAt = -Infinity;

  constructor(
    private readonly apiUrl: string,
    private readonly token: () => string,
    private readonly told: (down: string[]) => void,
  ) {}

  /** Looks, if it is time to. `at`: ms. What cannot be read changes nothing: the link's own banner is there for that. */
  async look(at: number): Promise<void> {
    if (at - this.lookedAt < LOOK_EVERY_MS) return;
    this.lookedAt = at;
    try {
      const headers = { authorization: `Bearer ${this.token()}` };
      const signal = AbortSignal.timeout(TIMEOUT_MS);
      const response = await fetch(`${this.apiUrl}/api/v1/pbx`, { headers, signal });
      const said = response.ok ? unseen(await response.json(), this.known) : null;
      if (said === null) return;
      this.known = said.known;
      this.told(said.down);
    } catch {
      // Offline: see above.
    }
  }
}
