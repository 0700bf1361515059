/**
 * Which one of an agent's tabs in this browser leads: the one that holds a lock of the browser's. The next one has it as
 * soon as that tab closes, crashes or resigns. Where the browser has no such locks (a page without https), all lead.
 */

export class Lead {
  leads = false;
  private standing: AbortController | null = null;

  /** `locks`: the browser's, undefined where there are none. */
  constructor(
    private readonly name: string,
    private readonly locks: LockManager | undefined,
    private readonly changed: () => void,
  ) {}

  /** Lead, or wait for the lead. */
  stand(): void {
    if (this.standing !== null) return;
    const standing = new AbortController();
    this.standing = standing;
    if (this.locks === undefined) return this.set(true);
    const held = (): Promise<void> => {
      if (!standing.signal.aborted) this.set(true);
      return new Promise((release) => {
        if (standing.signal.aborted) release();
        else standing.signal.addEventListener("abort", () => release());
      });
    };
    this.locks.request(this.name, { signal: standing.signal }, held).catch(() => {
      // Forbidden (a frame without storage): better two tabs sound than none.
      if (!standing.signal.aborted) this.set(true);
    });
  }

  resign(): void {
    this.standing?.abort();
    this.standing = null;
    this.set(false);
  }

  private set(leads: boolean): void {
    if (this.leads === leads) return;
    this.leads = leads;
    this.changed();
  }
}
