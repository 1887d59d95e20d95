/**
 * Runs in the head, before anything is drawn: the language, the colours, and what a page in a frame shows. It says, too,
 * where the page's own script does not come.
 */

import { pickLanguage } from "./language.js";
import { sayUnloaded } from "./unloaded.js";

const KEY = "spotter-language";
/** So long the page's script may take. Where it comes later, it takes the sentence back. */
const PATIENCE_MS = 20_000;
const root = document.documentElement;
const asked = new URLSearchParams(location.search);

/** A browser may keep nothing for a page in a frame of another site. */
function remembered(): string | null {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null;
  }
}

const there = (root.dataset.languages ?? "en").split(" ");
const chosen = [asked.get("lang"), remembered()].filter((tag) => tag !== null && there.includes(tag));
root.lang = pickLanguage([...chosen, navigator.language], there);
// The words that stand in the page are English.
if (root.lang !== "en") root.classList.add("foreign");
const isEmbedded = asked.get("embed") === "1";
root.classList.toggle("embed", isEmbedded);
// Whoever wrote the page around a frame chose its colours; what this visitor's system prefers may not fit them.
const theme = asked.get("__theme") ?? asked.get("theme") ?? (isEmbedded ? "light" : "");
if (theme === "light" || theme === "dark") root.dataset.theme = theme;

const settled = new AbortController();
const late = setTimeout(fail, PATIENCE_MS);

function fail(): void {
  settle();
  // The script may be missed before there is a place to say so. "DOMContentLoaded" would wait for the script itself.
  if (document.readyState !== "loading") sayUnloaded(document, root.lang);
  else document.addEventListener("readystatechange", () => {
      sayUnloaded(document, root.lang);
    }, { once: true });
}

function settle(): void {
  clearTimeout(late);
  settled.abort();
}

const ofScript = ({ target }: Event): boolean => target instanceof HTMLScriptElement && target.type === "module";
// Neither event bubbles. One is of a file that does not come, or of a script that cannot be read or breaks.
const options = { capture: true, signal: settled.signal };
addEventListener("error", (event) => {
  if (event.target === window || ofScript(event)) fail();
}, options);
// On its way to an element, this one begins at the document and not at the window.
document.addEventListener("load", (event) => {
  if (ofScript(event)) settle();
}, options);
