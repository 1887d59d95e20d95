/** Words on the page, as elements. */

import type { Words } from "./answer.js";
import { make } from "./dom.js";

/** Show words where the answer is; nothing changes where the same words stand there already. */
export function showWords(place: HTMLElement, words: Words, action?: HTMLElement): void {
  const element = make("div", { class: words.kind }, make("h2", {}, ...unbroken(words.heading)));
  if (words.more) element.append(make("p", {}, words.more));
  if (action) element.append(action);
  // A screen reader would read it out again.
  if (!action && place.firstElementChild?.isEqualNode(element)) return;
  place.replaceChildren(element);
}

/** A number and its sign stay on one line. */
function unbroken(heading: string): (Node | string)[] {
  return heading
    .split(/([0-9]+ %)/)
    .map((piece, index) => (index % 2 ? make("span", { class: "whole" }, piece) : piece));
}
