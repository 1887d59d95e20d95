/** The examples: small pictures to choose one. */

import { hashOf } from "../files.js";
import { make } from "./dom.js";
import type { Example } from "./facts.js";
import { tell, type Language } from "./language.js";

const MOST = 12;

/**
 * Show them, or nothing where the model has none.
 *
 * @param chosen given what the file of the one that is chosen becomes: the key of a text where that cannot be fetched, or
 * is another one than it should be.
 */
export function showExamples(
  place: HTMLElement,
  examples: Record<string, Example>,
  language: Language,
  chosen: (coming: Promise<Blob | string>) => void,
): void {
  const buttons = Object.entries(examples)
    .slice(0, MOST)
    .map(([label, { address, small, sha256 }]) => {
      // The network comes first.
      const image = make("img", { src: small, alt: "", width: 92, height: 92, loading: "lazy", fetchpriority: "low" });
      const name = `${tell(language, "example")}: ${label}`;
      const button = make("button", { type: "button", class: "gallery-item", "aria-label": name }, image);
      button.addEventListener("click", () => {
        chosen(fetchPicture(address, sha256));
      });
      return button;
    });
  place.hidden = !buttons.length;
  place.querySelector(".gallery")?.replaceChildren(...buttons);
}

async function fetchPicture(address: string, sha256: string | undefined): Promise<Blob | string> {
  try {
    // That of an earlier version may be in the browser's cache.
    for (const cache of ["default", "reload"] as const) {
      const answer = await fetch(address, { cache });
      if (!answer.ok) return "web_no_network";
      const data = new Uint8Array(await answer.arrayBuffer());
      if (!sha256 || (await hashOf(data)) === sha256) return new Blob([data]);
    }
    return "web_broken";
  } catch {
    // There is no network.
    return "web_no_network";
  }
}
