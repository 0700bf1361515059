/** What is typed and not yet sent: kept a call and a field, over a push, an end of the call, a reload of the tab. */
import { isObject } from "./contract.ts";

// More calls than an agent leaves unfinished; a text can be long, and the browser's store ends at some 5 MB.
export const DRAFTS_MAX = 50;

const KEY = "callcard.drafts";

type Fields = Record<string, string>;

export class Drafts {
  private login = "";
  private readonly calls = new Map<string, Fields>();
  /** Called with the calls that have drafts, whenever those change. */
  onCalls: (calls: readonly string[]) => void = () => undefined;

  constructor(private readonly storage: Storage) {}

  /** Those of this agent in this tab; another's are gone. */
  open(login: string): void {
    this.calls.clear();
    const stored = this.read();
    if (stored?.login === login) for (const [call, fields] of stored.calls) this.calls.set(call, fields);
    this.login = login;
    this.changed(true);
  }

  has(call: string): boolean {
    return this.calls.has(call);
  }

  get any(): boolean {
    return this.calls.size > 0;
  }

  get(call: string, field: string): string {
    return this.calls.get(call)?.[field] ?? "";
  }

  /** An empty text is none. */
  set(call: string, field: string, text: string): void {
    const before = this.calls.has(call);
    const fields: Fields = { ...this.calls.get(call), [field]: text };
    if (text.trim() === "") delete fields[field];
    this.calls.delete(call); // so that the call written to last is last in the map
    if (Object.keys(fields).length > 0) this.calls.set(call, fields);
    for (const oldest of this.calls.keys()) {
      if (this.calls.size <= DRAFTS_MAX) break;
      this.calls.delete(oldest);
    }
    this.changed(before !== this.calls.has(call));
  }

  clear(call: string, ...fields: string[]): void {
    for (const field of fields) this.set(call, field, "");
  }

  /** All of a call. */
  drop(call: string): void {
    if (this.calls.delete(call)) this.changed(true);
  }

  forget(): void {
    this.calls.clear();
    this.changed(true);
  }

  private changed(calls: boolean): void {
    try {
      if (this.calls.size === 0) this.storage.removeItem(KEY);
      else this.storage.setItem(KEY, JSON.stringify({ login: this.login, calls: [...this.calls] }));
    } catch {
      // The store is full or forbidden: what is typed is still on the page, only a reload would lose it.
    }
    if (calls) this.onCalls([...this.calls.keys()]);
  }

  private read(): { login: string; calls: [string, Fields][] } | null {
    try {
      const value: unknown = JSON.parse(this.storage.getItem(KEY) ?? "null");
      if (!isObject(value) || typeof value["login"] !== "string" || !Array.isArray(value["calls"])) return null;
      const calls = value["calls"].filter(
        (one): one is [string, Fields] => Array.isArray(one) && typeof one[0] === "string" && isFields(one[1]),
      );
      return { login: value["login"], calls };
    } catch {
      return null;
    }
  }
}

function isFields(value: unknown): value is Fields {
  return isObject(value) && Object.values(value).every((text) => typeof text === "string");
}
