/** Spotter in the browser and in Node: `const model = await load(url); await model.classify(picture)`. */

export { BadPicture, BadPrior, BrokenModel, CannotRun, NoExplanation } from "./errors.js";
export { load } from "./load.js";
export type * from "./types.js";

// On pages of others there is `<spotter-classifier>`, too. The site's own have no use for it.
if (typeof customElements === "object" && !("spotterSite" in document.documentElement.dataset)) {
  void import("./element.js");
}
