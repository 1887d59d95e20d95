/** The examples: small pictures to choose one. */

import { make } from "./dom.js";
import type { Example } from "./facts.js";
import { tell, type Language } from "./language.js";

const MOST = 12;

/**
 * Show them, or nothing where the model has none.
 *
 * @param take given the file of the one that is chosen. @param failed called where that cannot be fetched.
 */
export function showExamples(
  place: HTMLElement,
  examples: Record<string, Example>,
  language: Language,
  take: (file: Blob) => Promise<void>,
  failed: () => void,
): void {
  const buttons = Object.entries(examples)
    .slice(0, MOST)
    .map(([label, { address, small }]) => {
      // The network comes first.
      const image = make("img", { src: small, alt: "", width: 92, height: 92, loading: "lazy", fetchpriority: "low" });
      const name = `${tell(language, "example")}: ${label}`;
      const button = make("button", { type: "button", class: "gallery-item", "aria-label": name }, image);
      button.addEventListener("click", () => {
        void fetchPicture(address).then((file) => {
          if (file) void take(file);
          else failed();
        });
      });
      return button;
    });
  place.hidden = !buttons.length;
  place.querySelector(".gallery")?.replaceChildren(...buttons);
}

async function fetchPicture(address: string): Promise<Blob | undefined> {
  try {
    const answer = await fetch(address);
    return answer.ok ? await answer.blob() : undefined;
  } catch {
    // There is no network.
    return undefined;
  }
}
