/** Which cards the agent has looked at, and where: in this tab or in another one of this browser. */
import type { TabMessage } from "./tabs.ts";

// As long as a request may take (actions.ts), and then its push.
export const ACT_MS = 15_000;

export class Attention {
  private readonly here = new Set<string>();
  private readonly elsewhere = new Set<string>();
  private readonly acts = new Map<string, number>();

  /** The agent looks at this card: true if nobody has said so yet in this browser. */
  open(call: string): boolean {
    const first = !this.here.has(call) && !this.elsewhere.has(call);
    this.here.add(call);
    return first;
  }

  /** `at`: ms. */
  heard(message: TabMessage, at: number): void {
    if (message.kind === "opened") this.elsewhere.add(message.call_id);
    else this.acts.set(message.call_id, at);
  }

  /** Looked at in another tab, and not here. */
  openElsewhere(call: string): boolean {
    return this.elsewhere.has(call) && !this.here.has(call);
  }

  /** Has another tab just said who is calling there? */
  actsElsewhere(call: string, at: number): boolean {
    return at - (this.acts.get(call) ?? -Infinity) < ACT_MS;
  }

  /** Only these calls are on the screen. */
  keep(calls: readonly string[]): void {
    for (const known of [this.here, this.elsewhere, this.acts]) {
      for (const call of known.keys()) if (!calls.includes(call)) known.delete(call);
    }
  }
}
