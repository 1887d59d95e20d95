/**
 * `<spotter-classifier>`: the classifier on a page of another site.
 *
 * All of it is in a shadow tree, so that neither page changes the other. Attributes: `lang`, `theme` (light, dark,
 * system). Variables of CSS: `--spotter-accent`, `--spotter-font`, `--spotter-background`, `--spotter-text` and
 * `--spotter-radius`. The model is loaded when the element comes near the view, or is first used, once for all of them.
 */

import markup from "../../spotter/web/templates/one.html";
import css from "./page.css";
import { find } from "./page/dom.js";
import { readFacts } from "./page/facts.js";
import { fillTexts, languageAt, loadLanguage } from "./page/language.js";
import { Model } from "./page/model.js";
import { OneRoom } from "./page/one.js";
import { sayUnloaded, setUnloaded } from "./page/unloaded.js";

// As far below the view, in pixels, as a reader scrolls while it loads.
const NEAR = "600px";
const ROOT_PX = 16;

const base = new URL(".", import.meta.url);
const model = new Model(base);
let style: CSSStyleSheet | undefined;

class SpotterClassifier extends HTMLElement {
  static readonly observedAttributes = ["lang"];
  #room: OneRoom | undefined;
  #watch: IntersectionObserver | undefined;
  #filled = "";

  connectedCallback(): void {
    if (!this.shadowRoot) {
      const root = this.attachShadow({ mode: "open" });
      root.adoptedStyleSheets = [sharedStyle()];
      const box = document.createElement("div");
      box.id = "element";
      box.innerHTML = markup;
      box.classList.add("foreign");
      root.append(box);
    }
    void this.#fill();
    this.#watch = new IntersectionObserver((seen) => {
      if (seen.some(({ isIntersecting }) => isIntersecting)) void this.#prepare();
    }, { rootMargin: NEAR });
    this.#watch.observe(this);
  }

  disconnectedCallback(): void {
    this.#watch?.disconnect();
    this.#room?.stopCamera();
  }

  attributeChangedCallback(): void {
    if (this.isConnected) void this.#fill();
  }

  /** Put the texts of its language into it. */
  async #fill(): Promise<void> {
    const tag = languageAt(this);
    if (!this.shadowRoot || tag === this.#filled) return;
    this.#filled = tag;
    const box = find(this.shadowRoot, "#element");
    try {
      const [language, facts] = await Promise.all([loadLanguage(base, tag), readFacts(base)]);
      if (tag !== this.#filled) return;
      this.#room?.stopCamera();
      // Texts in other languages stand in what was there before.
      box.innerHTML = markup;
      box.lang = tag;
      fillTexts(box, language);
      box.classList.remove("foreign");
      setUnloaded(box, false);
      const room = new OneRoom(box, {
        model,
        language,
        facts,
        answered: () => void room.test(),
      });
      this.#room = room;
      if (this.#isNear) void this.#prepare();
    } catch (error) {
      this.#filled = "";
      console.warn("spotter-classifier:", error);
      // What was there before goes on.
      if (!this.#room) sayUnloaded(box, tag);
    }
  }

  #isNear = false;

  async #prepare(): Promise<void> {
    this.#isNear = true;
    if (!this.#room) return;
    this.#watch?.disconnect();
    await this.#room.prepare();
  }
}

/** Made once; a page's rules for style elements do not forbid it. Its sizes do not go by the size that the page's root has. */
function sharedStyle(): CSSStyleSheet {
  if (!style) {
    style = new CSSStyleSheet();
    style.replaceSync(css.replace(/([\d.]+)rem\b/g, (_whole, size: string) => `${Number(size) * ROOT_PX}px`));
  }
  return style;
}

if (!customElements.get("spotter-classifier")) customElements.define("spotter-classifier", SpotterClassifier);
