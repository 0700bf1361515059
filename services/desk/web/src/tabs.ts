/** What an agent's tabs in this browser tell each other, past the server: who looks at a card, who acts from it. */
import { isObject } from "./contract.ts";

export interface TabMessage {
  /** `opened`: the agent looks at this call's card there; `acts`: says from it who is calling. */
  kind: "opened" | "acts";
  call_id: string;
}

export class Tabs {
  private readonly channel: BroadcastChannel;

  /** The tabs of one agent: a colleague's at the same machine hear nothing of it. */
  constructor(login: string, heard: (message: TabMessage) => void) {
    this.channel = new BroadcastChannel(`callcard.tabs:${login}`);
    this.channel.onmessage = ({ data }: MessageEvent<unknown>) => {
      const message = readTabMessage(data);
      if (message !== null) heard(message);
    };
  }

  say(kind: TabMessage["kind"], call_id: string): void {
    this.channel.postMessage({ kind, call_id } satisfies TabMessage);
  }

  close(): void {
    this.channel.close();
  }
}

/** A tab may still run yesterday's page: what is not understood is left out. */
export function readTabMessage(value: unknown): TabMessage | null {
  if (!isObject(value) || typeof value["call_id"] !== "string") return null;
  const { kind, call_id } = value;
  return kind === "opened" || kind === "acts" ? { kind, call_id } : null;
}
