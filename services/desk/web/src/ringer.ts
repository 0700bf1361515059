/**
 * The ring of the desk: of all tabs of an agent in this browser exactly one sounds, and that one may. Only a tab that
 * the browser lets sound stands for the lead; so the one that was clicked in takes it, and a tab nobody touched does not.
 */
import { Lead } from "./lead.ts";
import { Sound } from "./sound.ts";

/** `blocked`: on, but the browser wants a click on the page first. */
export type RingSound = "on" | "off" | "blocked";

// Kept by the browser, for all its tabs: it is the machine that stands in a quiet or a loud room.
const KEY = "callcard.sound";

export class Ringer {
  private readonly sound = new Sound(() => this.update());
  private lead: Lead | null = null;
  private frozen = false;
  private seconds = 0;

  /** `changed`: called whenever `state` may be another. */
  constructor(
    private readonly storage: Storage,
    private readonly locks: LockManager | undefined,
    private readonly changed: () => void,
  ) {}

  get state(): RingSound {
    if (this.storage.getItem(KEY) === "off") return "off";
    return this.sound.allowed ? "on" : "blocked";
  }

  /** The agent is signed in. */
  begin(login: string): void {
    this.lead = new Lead(`callcard.sound:${login}`, this.locks, () => this.update());
    addEventListener("storage", this.stored);
    // A frozen page runs no script: another tab sounds for it meanwhile.
    document.addEventListener("freeze", this.freeze);
    document.addEventListener("resume", this.thaw);
    addEventListener("pagehide", this.freeze);
    addEventListener("pageshow", this.thaw);
    this.update();
  }

  end(): void {
    this.seconds = 0;
    this.lead?.resign();
    this.lead = null;
    removeEventListener("storage", this.stored);
    document.removeEventListener("freeze", this.freeze);
    document.removeEventListener("resume", this.thaw);
    removeEventListener("pagehide", this.freeze);
    removeEventListener("pageshow", this.thaw);
    this.sound.silence();
  }

  /** For how many seconds at most the phone may go on ringing; 0: it does not ring. */
  ring(seconds: number): void {
    this.seconds = seconds;
    if (seconds > 0 && this.lead?.leads) this.sound.ring(seconds);
    else if (seconds <= 0) this.sound.silence();
  }

  /** Who switches it on hears how it sounds. */
  toggle(): void {
    const on = this.state === "off";
    this.storage.setItem(KEY, on ? "on" : "off");
    this.update();
    if (on) this.sound.once();
  }

  private update(): void {
    const on = this.lead !== null && this.state !== "off";
    if (on) this.sound.prepare();
    if (on && this.sound.allowed && !this.frozen) this.lead?.stand();
    else this.lead?.resign();
    if (this.lead?.leads) this.ring(this.seconds);
    else this.sound.silence();
    this.changed();
  }

  private readonly stored = (event: StorageEvent): void => {
    if (event.key === KEY) this.update();
  };

  private readonly freeze = (): void => {
    this.frozen = true;
    this.update();
  };

  private readonly thaw = (): void => {
    this.frozen = false;
    this.update();
  };
}
