/** Folders that were dropped: their sub-folders become classes. */

import type { Given } from "../../page/batch.js";

/** Files by the class that their folder stands for; `loose` lie beside the folders, or in none. */
export interface Sorted {
  classes: Map<string, Given[]>;
  loose: Given[];
}

/** Sort files by their folders, below the one that holds them all. */
export function sortByFolder(files: readonly Given[]): Sorted {
  const inFolders = files.filter(({ path }) => path.includes("/"));
  const shared = sharedDepth(inFolders.map(({ path }) => path.split("/").slice(0, -1)));
  const classes = new Map<string, Given[]>();
  const loose = files.filter(({ path }) => !path.includes("/"));
  const beside: Given[] = [];
  for (const file of inFolders) {
    const folder = file.path.split("/").slice(0, -1)[shared];
    if (folder === undefined) beside.push(file);
    else classes.set(folder, [...(classes.get(folder) ?? []), file]);
  }
  // A folder without any others in it is one class.
  const only = inFolders[0]?.path.split("/")[shared - 1];
  if (!classes.size && only !== undefined) return { classes: new Map([[only, beside]]), loose };
  return { classes, loose: [...loose, ...beside] };
}

/** At most so many in all: as many of each class as of the others, as far as it has them. */
export function takeEvenly<T>(lists: readonly (readonly T[])[], most: number): T[][] {
  const taken = lists.map((): T[] => []);
  let left = most;
  for (let place = 0; left > 0 && lists.some((list) => place < list.length); place += 1) {
    for (const [number, list] of lists.entries()) {
      const item = list[place];
      if (item === undefined || left === 0) continue;
      taken[number]?.push(item);
      left -= 1;
    }
  }
  return taken;
}

/** How many folders all paths begin with. */
function sharedDepth(folders: readonly (readonly string[])[]): number {
  const [first = []] = folders;
  let depth = 0;
  while (depth < first.length && folders.every((path) => path[depth] === first[depth])) depth += 1;
  return depth;
}
