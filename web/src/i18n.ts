/** The interface's language. Both dictionaries have the same keys, which the compiler checks. */

import { en } from "./strings.en";
import { zh } from "./strings.zh";
import type { Language } from "./state";

export type Key = keyof typeof en;
const DICTIONARIES: Record<Language, Record<Key, string>> = { en, zh };
let current: Language = "en";

export function useLanguage(language: Language): void {
  current = language;
}

/** The text for a key, with {0}, {1}, … replaced. */
export function t(key: Key, ...args: (string | number | bigint)[]): string {
  return DICTIONARIES[current][key].replace(/\{(\d)\}/g, (whole, index: string) => String(args[Number(index)] ?? whole));
}

/** The same with elements in the places, for text that holds formulas. */
export function withElements(key: Key, ...elements: Node[]): (Node | string)[] {
  return DICTIONARIES[current][key].split(/\{(\d)\}/).map((part, i) => (i % 2 === 0 ? part : (elements[Number(part)] ?? "")));
}
