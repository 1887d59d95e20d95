/** Spotter in the browser and in Node: `const model = await load(url); await model.classify(picture)`. */

import { languageAt } from "./page/language.js";
import { unloadedText } from "./page/unloaded.js";

export { BadPicture, BadPrior, BrokenModel, CannotRun, NoExplanation } from "./errors.js";
export { load } from "./load.js";
export type * from "./types.js";

// On pages of others there is `<spotter-classifier>`, too. The site's own have no use for it.
if (typeof customElements === "object" && !("spotterSite" in document.documentElement.dataset)) {
  import("./element.js").catch((error: unknown) => {
    console.warn("spotter-classifier:", error);
    // Neither the words nor their look are here.
    customElements.define(
      "spotter-classifier",
      class extends HTMLElement {
        connectedCallback(): void {
          const root = this.shadowRoot ?? this.attachShadow({ mode: "open" });
          const words = document.createElement("p");
          words.lang = languageAt(this);
          words.textContent = unloadedText(words.lang);
          root.replaceChildren(words);
        }
      },
    );
  });
}
