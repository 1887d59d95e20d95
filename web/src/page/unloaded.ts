/** What is said where nothing but the markup is here: neither the page's words nor its script. */

// Of these, a script gets what is named here alone.
import * as de from "../../../spotter/serve/locales/de.json";
import * as en from "../../../spotter/serve/locales/en.json";
import * as es from "../../../spotter/serve/locales/es.json";
import * as fr from "../../../spotter/serve/locales/fr.json";
import * as zh from "../../../spotter/serve/locales/zh.json";
import { make } from "./dom.js";

const ENGLISH: Unloaded = [en.web_no_model, en.web_unloaded];
const WORDS: Record<string, Unloaded> = {
  de: [de.web_no_model, de.web_unloaded],
  es: [es.web_no_model, es.web_unloaded],
  fr: [fr.web_no_model, fr.web_unloaded],
  zh: [zh.web_no_model, zh.web_unloaded],
};

type Unloaded = [heading: string, text: string];

/** The sentence, in a language. */
export function unloadedText(tag: string): string {
  return (WORDS[tag] ?? ENGLISH)[1];
}

/**
 * Say it where the page that teaches says why it cannot, or else where answers stand. What does not work without the
 * words is hidden until they come: it would be in English, and nobody would hear its buttons.
 */
export function sayUnloaded(root: ParentNode, tag: string): void {
  const [heading, text] = WORDS[tag] ?? ENGLISH;
  setUnloaded(root, true);
  const words = make("p", { lang: tag }, text);
  const elsewhere = root.querySelector<HTMLElement>("#elsewhere");
  if (elsewhere) {
    elsewhere.replaceChildren(words);
    elsewhere.hidden = false;
  } else {
    root.querySelector("#answer")?.replaceChildren(make("div", { class: "unsure", lang: tag }, make("h2", {}, heading), words));
  }
}

/** Hide what does not work without words and script, or show it again. */
export function setUnloaded(root: ParentNode, isUnloaded: boolean): void {
  const box = root instanceof Document ? root.documentElement : root;
  if (box instanceof Element) box.classList.toggle("unloaded", isUnloaded);
}
