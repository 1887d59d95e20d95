/** What the model's makers say of it. */

import { make } from "./dom.js";
import { tell, type Language } from "./language.js";

/** Fill the room. Its HTML was made, and escaped, when the site was; the rules of the page run no script in it. */
export function showAbout(room: HTMLElement, language: Language, base: URL): void {
  const template = document.createElement("template");
  template.innerHTML = language.about_html;
  const link = make("a", { href: new URL("model/README.md", base).href }, tell(language, "web_model_card"));
  const text = template.content.querySelector(".page-text");
  text?.append(make("p", {}, link));
  room.replaceChildren(template.content);
}
