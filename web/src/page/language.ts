/** The page's texts, and what is written otherwise from language to language. */

/** A language of the page: its texts by their keys, what the model's makers say, and how often it is wrong. */
export interface Language {
  tag: string;
  name: string;
  texts: Record<string, string>;
  about_html: string;
  error: string;
}

/** Where a comma stands before the tenths. */
const COMMA = new Set(["de", "es", "fr"]);

/** Load a language of a site's folder. */
export async function loadLanguage(base: URL, tag: string): Promise<Language> {
  const answer = await fetch(new URL(`languages/${tag}.json`, base));
  if (!answer.ok) throw new Error(`languages/${tag}.json: ${answer.status}`);
  return { ...((await answer.json()) as Language), tag };
}

/** A sentence, with values put in as they are. */
export function tell(language: Language, key: string, values: Record<string, string | number> = {}): string {
  const text = language.texts[key];
  if (text === undefined) throw new Error(`There is no text ${key}.`);
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
}

/** A number as the language writes it: "12,3" in German. */
export function asWritten(number: string, language: Pick<Language, "tag">): string {
  return COMMA.has(language.tag) ? number.replace(".", ",") : number;
}

/** Labels as people list them: of more than `most`, some, and the last. */
export function joinLabels(labels: readonly string[], language: Language, last: "and" | "or" = "and", most = 12): string {
  const comma = tell(language, "comma");
  const end = labels.at(-1);
  if (end === undefined || labels.length < 2) return labels.join(comma);
  const skipped = labels.length > most ? `${comma}…` : "";
  return labels.slice(0, -1).slice(0, most - 1).join(comma) + skipped + tell(language, last) + end;
}

/** The first of some wishes ("de-AT", null) that is there; otherwise English. */
export function pickLanguage(wishes: readonly (string | null | undefined)[], there: readonly string[]): string {
  const bases = wishes.map((wish) => wish?.toLowerCase().split("-")[0] ?? "");
  return bases.find((base) => there.includes(base)) ?? "en";
}

/** Put the texts into elements that name their keys in `data-text` (content) and `data-label` (for screen readers). */
export function fillTexts(root: ParentNode, language: Language): void {
  for (const element of root.querySelectorAll<HTMLElement>("[data-text]")) {
    element.textContent = tell(language, element.dataset.text ?? "");
  }
  for (const element of root.querySelectorAll<HTMLElement>("[data-label]")) {
    element.setAttribute("aria-label", tell(language, element.dataset.label ?? ""));
  }
}
