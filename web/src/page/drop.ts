/** Files and folders that were dropped, with the paths that they have there. */

import type { Given } from "./batch.js";
import { isSystemPath } from "./names.js";

/** Whether files or folders were dropped. Of a picture on another page, browsers give its address alone. */
export function hasFiles(dropped: DataTransfer): boolean {
  return dropped.types.includes("Files");
}

/** The first thing that was dropped, where that is a file. A folder is among the files too. */
export function droppedFile(dropped: DataTransfer | null): File | undefined {
  return dropped?.items[0]?.webkitGetAsEntry()?.isDirectory ? undefined : dropped?.files[0];
}

/** All files, those in folders too, but for what a system keeps there. */
export async function droppedFiles(dropped: DataTransfer): Promise<Given[]> {
  // They are gone as soon as the event is over: first of all, all of them.
  const entries = [...dropped.items].map((item) => item.webkitGetAsEntry()).filter((entry) => entry !== null);
  const found: Given[] = [];
  for (const entry of entries) await collect(entry, found);
  return found;
}

/** Files that were chosen, in their order, or those of a folder that was. */
export function chosenFiles(files: FileList): Given[] {
  const found = Array.from(files, (file) => ({ path: file.webkitRelativePath || file.name, file }));
  if (!files[0]?.webkitRelativePath) return found;
  return found.filter(({ path }) => !isSystemPath(path)).sort((one, other) => (one.path < other.path ? -1 : 1));
}

async function collect(entry: FileSystemEntry, found: Given[]): Promise<void> {
  const path = entry.fullPath.replace(/^\//, "");
  if (isFile(entry)) {
    const isInFolder = path.includes("/");
    if (isInFolder && isSystemPath(path)) return;
    found.push({ path, file: await new Promise<File>((resolve, reject) => { entry.file(resolve, reject); }) });
  } else if (isFolder(entry) && !isSystemPath(path)) {
    for (const inside of await entriesOf(entry)) await collect(inside, found);
  }
}

/** A reader gives a hundred at a time. */
async function entriesOf(folder: FileSystemDirectoryEntry): Promise<FileSystemEntry[]> {
  const reader = folder.createReader();
  const all: FileSystemEntry[] = [];
  for (;;) {
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) => { reader.readEntries(resolve, reject); });
    if (!some.length) return all.sort((one, other) => (one.name < other.name ? -1 : 1));
    all.push(...some);
  }
}

function isFile(entry: FileSystemEntry): entry is FileSystemFileEntry {
  return entry.isFile;
}

function isFolder(entry: FileSystemEntry): entry is FileSystemDirectoryEntry {
  return entry.isDirectory;
}
