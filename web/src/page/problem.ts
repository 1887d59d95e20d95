/** What went wrong, as a sentence of the page's. */

import { BadPicture, BrokenModel, CannotRun } from "../spotter.js";
import type { Words } from "./answer.js";
import { tell, type Language } from "./language.js";
import { MOST_BYTES, megabytes } from "./limits.js";

/** The key of a sentence, and the values in it. */
export interface Problem {
  key: string;
  values?: Record<string, string | number>;
}

const CANNOT = {
  "no-wasm": "web_no_wasm",
  "no-simd": "web_no_simd",
  insecure: "web_insecure",
  "no-worker": "web_no_worker",
  memory: "web_memory",
} as const;
// What a container of this kind says of itself, from its fifth byte.
const HEIC = /^ftyp(?:hei[cxms]|hev[cxms]|mif1|msf1)/;

/** Why a picture is not classified. */
export async function pictureProblem(error: unknown, picture: Blob): Promise<Problem> {
  if (!(error instanceof BadPicture)) {
    // The file was moved or changed after it was chosen.
    if (error instanceof DOMException && error.name === "NotReadableError") return { key: "web_gone" };
    throw error;
  }
  if (error.reason === "failed") return { key: "web_failed" };
  if (error.reason === "not-a-picture" && (await isHeic(picture))) return { key: "web_heic" };
  return { key: error.reason };
}

/** What is wrong with a file by its size; undefined where nothing is. */
export function sizeProblem(file: Blob): Problem | undefined {
  if (file.size <= MOST_BYTES) return undefined;
  return { key: "file_too_large", values: { limit: megabytes(MOST_BYTES) } };
}

/** Why the model does not answer. */
export function modelProblem(error: unknown, language: Language): Words {
  if (error instanceof BrokenModel) return problemWords("web_no_model", "web_broken", language);
  if (error instanceof CannotRun) {
    if (error.reason === "no-network") return problemWords("web_no_model", "web_no_network", language);
    return problemWords("web_cannot", CANNOT[error.reason], language);
  }
  // Nobody expected it: whoever looks for the reason finds it there.
  console.warn(error);
  return problemWords("no_answer", "web_failed", language);
}

/** A problem: what is said in big type, and the line below it, by the keys of the texts. */
export function problemWords(heading: string, more: string, language: Language): Words {
  return { heading: tell(language, heading), more: tell(language, more), kind: "unsure" };
}

async function isHeic(picture: Blob): Promise<boolean> {
  const head = new Uint8Array(await picture.slice(4, 12).arrayBuffer());
  return HEIC.test(String.fromCharCode(...head));
}
