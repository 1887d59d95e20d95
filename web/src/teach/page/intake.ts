/** Pictures on their way into the album: decoded and made as they are kept, with what went wrong counted. */

import type { Given } from "../../page/batch.js";
import { pictureProblem, sizeProblem, type Problem } from "../../page/problem.js";
import type { Origin } from "../types.js";
import { together, type Added, type Album, type New } from "./album.js";
import type { Tutor } from "./tutor.js";

// So many are kept together, so that little is lost when the tab is closed, and most of the time goes into pictures.
const TOGETHER = 12;

/** What became of files. */
export interface Taken extends Added {
  /** Those that cannot be used, and why the first of them cannot. */
  bad: number;
  why: { name: string; problem: Problem } | undefined;
}

/** Where a file's picture is from. */
export function ownOrigin(id: string, source: "folder" | "camera" = "folder"): Origin {
  return { source, id, query: "", rank: 0, at: new Date().toISOString() };
}

/**
 * Take files into a class, some at a time.
 *
 * @param told called after each file.
 */
export async function takeFiles(
  album: Album,
  tutor: Tutor,
  id: string,
  files: readonly (Given & { origin?: Origin })[],
  told: () => void,
): Promise<Taken> {
  let taken: Taken = { added: 0, copies: 0, elsewhere: 0, where: "", tooMany: 0, noRoom: 0, bad: 0, why: undefined };
  let ready: New[] = [];
  const keep = async (): Promise<void> => {
    const added = await album.add(id, ready);
    taken = { ...taken, ...together(taken, added) };
    ready = [];
  };
  for (const [place, { path, file, origin }] of files.entries()) {
    try {
      const wrong = sizeProblem(file);
      if (wrong) {
        taken.bad += 1;
        taken.why ??= { name: path, problem: wrong };
      } else ready.push({ picture: await tutor.prepare(file), origin: origin ?? ownOrigin(path) });
    } catch (error) {
      const problem = await pictureProblem(error, file);
      taken.bad += 1;
      taken.why ??= { name: path, problem };
    }
    told();
    if (ready.length < TOGETHER && place < files.length - 1) continue;
    await keep();
    if (taken.noRoom || taken.tooMany) {
      // The rest would not fit either.
      const rest = files.length - place - 1;
      if (taken.noRoom) taken.noRoom += rest;
      else taken.tooMany += rest;
      break;
    }
  }
  return taken;
}
