/** What the card knows, put in order for the eye: pure functions of it. */
import type { Candidate, Card, Note, SourceStatus } from "./contract.ts";

/** The likeliest first. */
export function ranked(candidates: readonly Candidate[]): Candidate[] {
  return [...candidates].sort((a, b) => b.score - a.score);
}

// Fields whose source stands beside their value.
const SAID_ELSEWHERE = new Set(["manager"]);

/** Which source said which fields of the caller: `[source, fields]`, what says most first. */
export function origins(card: Card): [string, string[]][] {
  const bySource = new Map<string, string[]>();
  for (const [field, source] of Object.entries(card.caller.origins)) {
    if (!SAID_ELSEWHERE.has(field) && !field.includes(".")) bySource.set(source, [...(bySource.get(source) ?? []), field]);
  }
  return [...bySource].sort(([, a], [, b]) => b.length - a.length);
}

/** Other names than the one the card greets with; one name that several say is one. */
export function otherNames(card: Card): { name: string; source: string }[] {
  const seen = new Set([card.caller.name]);
  return card.caller.names.filter(({ name }) => !seen.has(name) && seen.add(name));
}

/** A free field or a preference with who says it: both are shown alike. */
export function details(card: Card): { name: string; value: string; source: string | null }[] {
  const { attributes, origins: said, preferences } = card.caller;
  const preferred = Object.entries(preferences).map(([name, value]) => ({
    name,
    value,
    source: said[`preferences.${name}`] ?? said["preferences"] ?? null,
  }));
  return [...attributes, ...preferred];
}

/** Those that may leave something out. */
export function incomplete(card: Card): { name: string; status: Exclude<SourceStatus, "ok">; ms: number }[] {
  return card.sources.flatMap(({ name, status, ms }) => (status === "ok" ? [] : [{ name, status, ms }]));
}

/** Did a note arrive after all, though its answer did not? It is not written twice then. */
export function noted(card: Card, text: string): boolean {
  return card.notes.some((note) => note.call_id === card.call_id && note.text.trim() === text.trim());
}

/** The newest, and those that wait behind a click. */
export function folded(notes: readonly Note[], shown: number): [Note[], Note[]] {
  // One more line costs no more than the line that says that there is one more.
  const cut = notes.length === shown + 1 ? notes.length : shown;
  return [notes.slice(0, cut), notes.slice(cut)];
}
