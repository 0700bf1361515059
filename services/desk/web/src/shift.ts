/** What lives as long as a sign-in: the link to the gateway, the talk with the other tabs, the looks at the PBXs. */
import { Attention } from "./attention.ts";
import type { Config } from "./config.ts";
import type { Card } from "./contract.ts";
import { PbxWatch } from "./pbx.ts";
import { Push, type PushEvents, type TokenSource } from "./push.ts";
import { Tabs } from "./tabs.ts";

export interface ShiftEvents extends PushEvents {
  /** Names of the telephone systems that are not seen. */
  pbxDown(down: string[]): void;
  /** Another tab has said something that this one shows. */
  tabs(): void;
}

export class Shift {
  private readonly attention = new Attention();
  private readonly push: Push;
  private readonly tabs: Tabs;
  private readonly pbx: PbxWatch;

  constructor(config: Config, login: string, tokens: TokenSource, events: ShiftEvents) {
    this.push = new Push(config.pushUrl, config.pushToken, tokens, events);
    this.tabs = new Tabs(login, (message) => {
      this.attention.heard(message, Date.now());
      events.tabs();
    });
    this.pbx = new PbxWatch(config.apiUrl, tokens.current, (down) => events.pbxDown(down));
    this.push.start();
  }

  stop(): void {
    this.push.stop();
    this.tabs.close();
  }

  /** `calls`: those on the screen. */
  tick(at: number, calls: readonly string[]): void {
    this.attention.keep(calls);
    if (document.visibilityState === "visible") void this.pbx.look(at);
  }

  painted(card: Card): void {
    this.push.shown(card, new Date());
  }

  /** The agent looks at the card here. Said once in this browser. */
  opened(card: Card): void {
    if (!this.attention.open(card.call_id)) return;
    this.push.opened(card, new Date());
    this.tabs.say("opened", card.call_id);
  }

  openElsewhere(call: string): boolean {
    return this.attention.openElsewhere(call);
  }

  /** Who is calling is being said here. The other tabs know before the push comes. */
  acts(call: string): void {
    this.tabs.say("acts", call);
  }

  actsElsewhere(call: string): boolean {
    return this.attention.actsElsewhere(call, Date.now());
  }
}
