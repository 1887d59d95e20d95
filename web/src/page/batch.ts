/** Many files, zips opened: a plan for each picture or problem, within the same bounds as `spotter/serve/batch.py`. */

import { MOST_BYTES, MOST_BYTES_TOGETHER, MOST_PICTURES, megabytes } from "./limits.js";
import { isSystemPath, shownName } from "./names.js";
import type { Problem } from "./problem.js";
import type { ZipEntry } from "./archive.js";

/** A picture to classify, or the reason why there is none. */
export type Item = { name: string; content: Blob } | { name: string; problem: Problem };

/** Reads a picture when it is called, so that one at a time is in memory. */
export type Plan = () => Promise<Item>;

/** A file, and its path below the folder that was dropped. */
export interface Given {
  path: string;
  file: File;
}

/** Plan to read some files. What goes beyond the limits becomes a problem: one a file, one for all that are too many. */
export async function unpack(files: readonly Given[]): Promise<Plan[]> {
  const budget = new Budget();
  const plans: Plan[] = [];
  for (const { path, file } of files) {
    const name = shownName(path);
    if (await isZip(file)) plans.push(...(await planZip(name, file, budget)));
    else if (budget.takeOne()) plans.push(() => Promise.resolve(budget.read(name, file)));
  }
  if (budget.leftOut) {
    const values = { count: budget.leftOut, most: MOST_PICTURES };
    plans.push(() => Promise.resolve({ name: "…", problem: { key: "left_out", values } }));
  }
  return plans;
}

/** How many pictures and bytes are still allowed. */
class Budget {
  leftOut = 0;
  #pictures = MOST_PICTURES;
  #bytes = MOST_BYTES_TOGETHER;

  takeOne(): boolean {
    if (this.#pictures === 0) {
      this.leftOut += 1;
      return false;
    }
    this.#pictures -= 1;
    return true;
  }

  /** The most bytes that the next picture may have. */
  get most(): number {
    return Math.min(MOST_BYTES, this.#bytes);
  }

  read(name: string, content: Blob): Item {
    if (content.size > this.most) return this.tooLarge(name);
    this.#bytes -= content.size;
    return { name, content };
  }

  tooLarge(name: string): Item {
    if (this.#bytes < MOST_BYTES) {
      // Not what is left: the next one, however small, would slip through.
      this.#bytes = 0;
      return { name, problem: tooLarge("all_too_large", MOST_BYTES_TOGETHER) };
    }
    return { name, problem: tooLarge("file_too_large", MOST_BYTES) };
  }
}

async function planZip(name: string, file: File, budget: Budget): Promise<Plan[]> {
  const refuse = (problem: Problem): Plan[] => [() => Promise.resolve({ name, problem })];
  if (file.size > MOST_BYTES_TOGETHER) return refuse(tooLarge("file_too_large", MOST_BYTES_TOGETHER));
  // Loaded when the first zip comes.
  const archive = await import("./archive.js").catch((error: unknown) => {
    // The other files can do without it.
    console.warn(error);
  });
  if (!archive) return refuse({ key: "web_no_zip" });
  const entries = await archive.openZip(file, 10 * MOST_PICTURES + 100);
  if (entries === "many") return refuse({ key: "zip_many" });
  if (entries === "damaged") return refuse({ key: "zip_damaged" });
  const wanted = entries.filter(({ path }) => !isSystemPath(path));
  if (!wanted.length) return refuse({ key: "zip_empty" });
  return wanted.filter(() => budget.takeOne()).map((entry) => () => readEntry(entry, budget));
}

async function readEntry(entry: ZipEntry, budget: Budget): Promise<Item> {
  const name = shownName(entry.path);
  if (entry.isLocked) return { name, problem: { key: "locked" } };
  const content = await entry.read(budget.most);
  if (content === "damaged") return { name, problem: { key: "packed" } };
  if (content === "large") return budget.tooLarge(name);
  const item = budget.read(name, content);
  return (await isZip(content)) ? { name, problem: { key: "nested" } } : item;
}

function tooLarge(key: string, limit: number): Problem {
  return { key, values: { limit: megabytes(limit) } };
}

/** Whether a file begins as a zip does; a picture with a zip behind it is a picture. */
async function isZip(file: Blob): Promise<boolean> {
  let head: Uint8Array;
  try {
    head = new Uint8Array(await file.slice(0, 4).arrayBuffer());
  } catch {
    // Gone by now: whoever reads it says so.
    return false;
  }
  const text = String.fromCharCode(...head);
  return text === "PK\x03\x04" || text === "PK\x05\x06";
}
