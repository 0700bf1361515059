/** Dates, durations, money and addresses as people read them. */
import type { Language } from "./i18n/index.ts";

/** `0:07`, `12:40`, `1:02:09`: a clock that runs. Never negative: two clocks may differ. */
export function clock(milliseconds: number): string {
  const total = Math.max(0, Math.floor(milliseconds / 1000));
  const seconds = String(total % 60).padStart(2, "0");
  const minutes = Math.floor(total / 60) % 60;
  const hours = Math.floor(total / 3600);
  return hours > 0 ? `${hours}:${String(minutes).padStart(2, "0")}:${seconds}` : `${minutes}:${seconds}`;
}

/** `4 min` / `35 sec`: how long something took. */
export function duration(seconds: number, language: Language): string {
  const [value, unit] = seconds < 60 ? [Math.round(seconds), "second"] : [Math.round(seconds / 60), "minute"];
  return new Intl.NumberFormat(language, { style: "unit", unit, unitDisplay: "short" }).format(value);
}

export function count(value: number, language: Language): string {
  return new Intl.NumberFormat(language).format(value);
}

/** `14:20` */
export function time(at: Date, language: Language): string {
  return new Intl.DateTimeFormat(language, { timeStyle: "short" }).format(at);
}

/** `today, 14:20`, `yesterday, 09:05`, `12 Mar, 16:40`, `12 Mar 2024`: as exact as the distance asks for. */
export function moment(iso: string, now: Date, language: Language): string {
  const at = new Date(iso);
  if (Number.isNaN(at.getTime())) return iso;
  const days = dayNumber(at) - dayNumber(now);
  if (days === 0 || days === -1 || days === 1) {
    const day = new Intl.RelativeTimeFormat(language, { numeric: "auto" }).format(days, "day");
    return `${day}, ${time(at, language)}`;
  }
  const day = date(iso, now, language);
  return at.getFullYear() === now.getFullYear() ? `${day}, ${time(at, language)}` : day;
}

/** `14:20` of today; of another day as `moment` says it. */
export function recently(at: Date, now: Date, language: Language): string {
  return dayNumber(at) === dayNumber(now) ? time(at, language) : moment(at.toISOString(), now, language);
}

/** `12 Mar`, and the year if it is another one. */
export function date(iso: string, now: Date, language: Language): string {
  const at = new Date(iso);
  if (Number.isNaN(at.getTime())) return iso;
  const year = at.getFullYear() === now.getFullYear() ? {} : ({ year: "numeric" } as const);
  return new Intl.DateTimeFormat(language, { day: "numeric", month: "short", ...year }).format(at);
}

/** Days since 1970 on the calendar of the person who looks. */
function dayNumber(at: Date): number {
  return Math.round(Date.UTC(at.getFullYear(), at.getMonth(), at.getDate()) / 86_400_000);
}

/** `1990.00 RUB` -> `1 990,00 ₽`; anything else as it came. */
export function money(amount: string, language: Language): string {
  const match = /^(-?\d+(?:\.\d+)?) ([A-Z]{3})$/.exec(amount);
  if (!match?.[1] || !match[2]) return amount;
  return new Intl.NumberFormat(language, { style: "currency", currency: match[2] }).format(Number(match[1]));
}

/** The address if a browser may follow it from data: the web only, never `javascript:`. */
export function safeUrl(url: string | null): string | null {
  return url !== null && /^https?:\/\//i.test(url) ? url : null;
}

// Hebrew, Arabic and their neighbours.
const RIGHT_TO_LEFT = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]/;
const [FIRST_STRONG_ISOLATE, POP_ISOLATE] = ["\u2068", "\u2069"];

/** Text that cannot turn around what stands beside it, where there is no `<bdi>`. */
export function isolated(text: string): string {
  return RIGHT_TO_LEFT.test(text) ? FIRST_STRONG_ISOLATE + text + POP_ISOLATE : text;
}

/** `1 s`, `250 ms`: how long a machine took. */
export function took(milliseconds: number, language: Language): string {
  const [value, unit] = milliseconds < 950 ? [Math.round(milliseconds), "millisecond"] : [milliseconds / 1000, "second"];
  const format = { style: "unit", unit, unitDisplay: "short", maximumFractionDigits: 1 } as const;
  return new Intl.NumberFormat(language, format).format(value);
}
