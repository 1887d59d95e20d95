/** Pictures on their way into the album: decoded and made as they are kept, with what went wrong counted. */

import type { Given } from "../../page/batch.js";
import { pictureProblem, sizeProblem, type Problem } from "../../page/problem.js";
import type { Origin } from "../types.js";
import { together, type Added, type Album, type New } from "./album.js";
import { whatWentWrong } from "./troubles.js";
import type { Tutor } from "./tutor.js";
import { until } from "./until.js";

// So many are kept together, so that little is lost when the tab is closed, and most of the time goes into pictures.
const TOGETHER = 12;

/** What became of files. */
export interface Taken extends Added {
  /** Those that cannot be used, and why the first of them cannot. */
  bad: number;
  why: { name: string; problem: Problem } | undefined;
  /** Those that were not come to: it was stopped, or what makes pictures of files does not work. */
  left: number;
  /** Why they were not, where nobody stopped it. */
  trouble: Problem | undefined;
}

/** Where a file's picture is from. */
export function ownOrigin(id: string, source: "folder" | "camera" = "folder"): Origin {
  return { source, id, query: "", rank: 0, at: new Date().toISOString() };
}

/**
 * Take files into a class, some at a time.
 *
 * @param told called after each file. @param kept called with how many files were settled since, when they were.
 */
export async function takeFiles(
  album: Album,
  tutor: Tutor,
  id: string,
  files: readonly (Given & { origin?: Origin })[],
  { told, kept, signal }: { told?: () => void; kept?: (count: number) => void; signal: AbortSignal },
): Promise<Taken> {
  let taken: Taken = {
    ...{ added: 0, copies: 0, elsewhere: 0, where: "", tooMany: 0, noRoom: 0, noClass: 0 },
    ...{ bad: 0, why: undefined, left: 0, trouble: undefined },
  };
  let ready: New[] = [];
  let settled = 0;
  const keep = async (end: number): Promise<void> => {
    const added = await album.add(id, ready);
    taken = { ...taken, ...together(taken, added) };
    ready = [];
    kept?.(end - settled);
    settled = end;
  };
  try {
    for (const [place, { path, file, origin }] of files.entries()) {
      signal.throwIfAborted();
      try {
        const wrong = sizeProblem(file);
        if (wrong) {
          taken.bad += 1;
          taken.why ??= { name: path, problem: wrong };
        } else ready.push({ picture: await until(signal, tutor.prepare(file)), origin: origin ?? ownOrigin(path) });
      } catch (error) {
        signal.throwIfAborted();
        const problem = await pictureProblem(error, file);
        taken.bad += 1;
        taken.why ??= { name: path, problem };
      }
      told?.();
      if (ready.length < TOGETHER && place < files.length - 1) continue;
      await keep(place + 1);
      // The rest would not fit either.
      const rest = files.length - settled;
      if (taken.noRoom) taken.noRoom += rest;
      else if (taken.tooMany) taken.tooMany += rest;
      else if (taken.noClass) taken.noClass += rest;
      else continue;
      break;
    }
  } catch (error) {
    if (!signal.aborted) taken.trouble = whatWentWrong(error);
    // Those that were bad are counted as such.
    taken.left = files.length - taken.bad - countKept(taken);
  }
  return taken;
}

function countKept({ added, copies, elsewhere, tooMany, noRoom, noClass }: Added): number {
  return added + copies + elsewhere + tooMany + noRoom + noClass;
}
