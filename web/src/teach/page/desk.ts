/** What all parts of the page work with. */

import { tell, type Language } from "../../page/language.js";
import type { Album } from "./album.js";
import type { CameraDesk } from "./camera_desk.js";
import type { Tutor } from "./tutor.js";

export interface Desk {
  language: Language;
  /** The site's folder. */
  site: URL;
  album: Album;
  /** Whether the browser keeps anything for a next visit. */
  keeps: boolean;
  tutor: Tutor;
  camera: CameraDesk;
  /** Say something about pictures that were added or removed. */
  say: (text: string) => void;
  /** Show pictures in a window. */
  open: (title: string, hashes: () => string[]) => void;
}

/** A sentence in the page's language. */
export function words(desk: Pick<Desk, "language">, key: string, values: Record<string, string | number> = {}): string {
  return tell(desk.language, key, values);
}
