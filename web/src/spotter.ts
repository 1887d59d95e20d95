/** Spotter in the browser and in Node: `const model = await load(url); await model.classify(picture)`. */

export { BadPicture, BadPrior, BrokenModel, CannotRun, NoExplanation } from "./errors.js";
export { load } from "./load.js";
export type * from "./types.js";

// On a page there is `<spotter-classifier>`, too.
if (typeof customElements === "object") void import("./element.js");
