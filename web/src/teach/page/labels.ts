/** What a class may be called. The same rules as `spotter/names.py`. */

import { isWriting } from "../../page/names.js";

const MOST_CHARACTERS = 60;
const REFUSED = '<>\\|="';
const DEVICES = /^(?:con|prn|aux|nul|com\d|lpt\d)$/;
// Characters without a look of their own, with which two names would look alike.
const UNSEEN =
  // eslint-disable-next-line no-misleading-character-class
  /[\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0]/gu;

/** A name as it is kept: composed, in one line, with plain spaces. */
export function cleanLabel(text: string): string {
  return text.normalize("NFC").replace(/\p{Zs}/gu, " ").replace(/^ +| +$/g, "");
}

/** The key of the sentence that says why a name cannot be that of a class; undefined when it can. */
export function labelProblem(label: string): string | undefined {
  const characters = Array.from(label);
  if (!/[\p{L}\p{N}]/u.test(label) || characters.length > MOST_CHARACTERS) return "teach_name_empty";
  if (characters.some((character) => REFUSED.includes(character) || !isWriting(character))) return "teach_name_signs";
  if ("./~".includes(characters[0] ?? "") || label.includes("..")) return "teach_name_path";
  if (DEVICES.test(slug(label.split(".")[0] ?? ""))) return "teach_name_kept";
  if (["not-sure", "none-of-these"].includes(slug(label.replace(UNSEEN, "")))) return "teach_name_kept";
  return undefined;
}

/** What two names share that people or folders could not tell apart. */
export function looksOf(label: string): string {
  // Symbols tell labels apart (C, C++ and C#); case, blanks and other punctuation do not.
  const folded = label.normalize("NFKD").replace(/\p{M}/gu, "").replace(UNSEEN, "").toLowerCase();
  return folded.replace(/[\s_\-.,:;'/()*?]+/g, "-").replace(/^-+|-+$/g, "");
}

function slug(text: string): string {
  return text.normalize("NFKD").toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-+|-+$/g, "");
}
