/** The page's texts, and what is written otherwise from language to language. */

import { hashOf } from "../files.js";
import { hasHashes } from "../runs_here.js";
import { promisedHash } from "../script_problem.js";

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

/** Load a language of a site's folder: the one that `site.json` names, if that is there. */
export async function loadLanguage(base: URL, tag: string): Promise<Language> {
  const path = `languages/${tag}.json`;
  const wanted = promisedHash(base, path);
  let content = await read(base, path, "default");
  // The browser's cache may have that of an earlier version, which lacks some of the texts.
  if (!(await isOf(content, await wanted))) content = await read(base, path, "reload");
  if (!(await isOf(content, await wanted))) throw new Error(`${path} is not the one that site.json names.`);
  return { ...(JSON.parse(new TextDecoder().decode(content)) as Language), tag };
}

async function read(base: URL, path: string, cache: RequestCache): Promise<Uint8Array<ArrayBuffer>> {
  const answer = await fetch(new URL(path, base), { cache });
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return new Uint8Array(await answer.arrayBuffer());
}

/** A page without https cannot tell. It says so, and needs words for it. */
async function isOf(content: Uint8Array<ArrayBuffer>, wanted: string | undefined): Promise<boolean> {
  return wanted === undefined || !hasHashes() || (await hashOf(content)) === wanted;
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

/** The language of an element on a page of another site: that of the page around it, or else the visitor's. */
export function languageAt(element: Element): string {
  return pickLanguage([inheritedLanguage(element), navigator.language], ["en", "de", "es", "fr", "zh"]);
}

/** From the element itself, or what is around it; a shadow tree inherits from its host. */
function inheritedLanguage(element: Element): string | null | undefined {
  const named = element.closest("[lang]");
  if (named) return named.getAttribute("lang");
  const root = element.getRootNode();
  return root instanceof ShadowRoot ? inheritedLanguage(root.host) : undefined;
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
