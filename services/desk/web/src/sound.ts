/** The ring through the browser's audio, and whether the browser lets this page sound at all. */
import { chime, PERIOD_S, SAMPLE_RATE } from "./chime.ts";

// What a browser takes for the person's wish. The end of a click and not its beginning: what it allows takes a banner off
// the page, and the button under the pointer must not move away in the middle of the click.
const GESTURES = ["pointerup", "keydown"] as const;

export class Sound {
  /** Has the browser let this page sound? Once it has, it goes on doing so as long as the page lives. */
  allowed = false;
  private context: AudioContext | null = null;
  private samples: AudioBuffer | null = null;
  private bell: AudioBufferSourceNode | null = null;
  private readonly playing = new Set<AudioBufferSourceNode>();

  constructor(private readonly changed: () => void) {}

  /** Asks the browser now, and again at each click and key until it agrees. */
  prepare(): void {
    if (this.context !== null) return;
    try {
      this.context = new AudioContext();
    } catch {
      return; // a browser without audio: never allowed, and the page says so
    }
    this.context.onstatechange = this.listen;
    for (const gesture of GESTURES) addEventListener(gesture, this.ask, { capture: true, passive: true });
    this.ask();
    this.listen();
  }

  /** Rings until `silence`, for so many seconds at most: a tab in the background has no timers to rely on. */
  ring(seconds: number): void {
    if (this.bell === null && seconds > 0) this.bell = this.play(seconds);
  }

  silence(): void {
    this.bell?.stop();
    this.bell = null;
  }

  /** One ring, to hear how it sounds. */
  once(): void {
    this.play(PERIOD_S);
  }

  private play(seconds: number): AudioBufferSourceNode | null {
    const { context } = this;
    if (context === null) return null;
    const source = context.createBufferSource();
    source.buffer = this.samples ??= make(context);
    source.loop = true;
    source.connect(context.destination);
    source.onended = () => {
      source.disconnect();
      if (this.bell === source) this.bell = null;
      this.playing.delete(source);
      this.rest();
    };
    source.start();
    source.stop(context.currentTime + seconds);
    this.playing.add(source);
    this.ask();
    return source;
  }

  private readonly ask = (): void => {
    this.context?.resume().catch(() => undefined); // refused: the next gesture asks again
  };

  private readonly listen = (): void => {
    if (this.context?.state !== "running") return;
    if (!this.allowed) {
      this.allowed = true;
      for (const gesture of GESTURES) removeEventListener(gesture, this.ask, { capture: true });
      this.changed();
    }
    this.rest();
  };

  /** Audio that runs for a whole shift costs power, and keeps the machine and its loudspeakers from sleeping. */
  private rest(): void {
    if (this.allowed && this.playing.size === 0) this.context?.suspend().catch(() => undefined);
  }
}

function make(context: AudioContext): AudioBuffer {
  const buffer = context.createBuffer(1, SAMPLE_RATE * PERIOD_S, SAMPLE_RATE);
  buffer.copyToChannel(chime(), 0);
  return buffer;
}
