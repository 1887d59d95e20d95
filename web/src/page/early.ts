/** Runs in the head, before anything is drawn: the language, the colours, and what a page in a frame shows. */

import { pickLanguage } from "./language.js";

const KEY = "spotter-language";
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
