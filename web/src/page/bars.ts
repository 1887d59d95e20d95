/** The probabilities as bars. */

import type { Answer } from "../types.js";
import { make } from "./dom.js";
import { tell, type Language } from "./language.js";
import { percent } from "./numbers.js";

const MOST = 5;

/** Show a bar for each of the most probable labels; pale, and with a word of warning, where it is not sure. */
export function showBars(place: HTMLElement, answer: Answer, language: Language): void {
  const ranked = Object.entries(answer.probabilities)
    .sort((one, other) => other[1] - one[1])
    .slice(0, MOST);
  const list = make("ol", { class: answer.familiar ? "known" : "strange" }, ...ranked.map(([label, share]) => bar(label, share)));
  if (answer.familiar) place.replaceChildren(list);
  else place.replaceChildren(make("p", {}, tell(language, "bars_unsure")), list);
}

/** Room for as many bars, so that nothing moves when they come. */
export function showEmptyBars(place: HTMLElement, count: number): void {
  const empty = Array.from({ length: Math.min(count, MOST) }, () => make("li", {}, make("span", { class: "name" }, "\u00a0"), make("i")));
  place.replaceChildren(make("ol", { class: "known empty", "aria-hidden": "true" }, ...empty));
}

function bar(label: string, share: number): HTMLElement {
  const meter = make("meter", { max: 1, value: share.toFixed(4), "aria-label": label });
  meter.style.setProperty("--share", `${(100 * share).toFixed(1)}%`);
  return make("li", {}, make("span", { class: "name" }, label), make("span", { class: "share" }, percent(share)), meter);
}
