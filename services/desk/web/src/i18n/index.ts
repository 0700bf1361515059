import { en } from "./en.ts";
import { ru } from "./ru.ts";

export const LANGUAGES = ["ru", "en"] as const;
export type Language = (typeof LANGUAGES)[number];

/** Every sentence of the page. English is the pattern; the compiler finds what another language lacks. */
export type Texts = typeof en;

const TEXTS: Record<Language, Texts> = { ru, en };

export function texts(language: Language): Texts {
  return TEXTS[language];
}

export function isLanguage(value: unknown): value is Language {
  return LANGUAGES.some((language) => language === value);
}

/** The first that is known: what the person chose, the agent's setting, the browser's wishes, the server's default. */
export function chooseLanguage(...wishes: readonly (string | null | undefined)[]): Language {
  for (const wish of wishes) {
    const language = wish?.slice(0, 2).toLowerCase();
    if (isLanguage(language)) return language;
  }
  return "en";
}
