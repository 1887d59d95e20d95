/** Zips, opened within bounds. */

// With the browser's own decompression alone.
import { BlobReader, configure, ZipReader, type FileEntry } from "@zip.js/zip.js/lib/zip-core-native.js";

// They would be made from an address in memory, which a page may forbid; and one picture at a time needs none.
configure({ useWebWorkers: false });

/** A file in a zip. */
export interface ZipEntry {
  path: string;
  isLocked: boolean;
  /** Unpack it. "large": it has more than `most` bytes, of which no more are unpacked. */
  read(most: number): Promise<Blob | "large" | "damaged">;
}

/** The files in a zip, without its folders. "many": it has more than `most` entries. */
export async function openZip(zip: Blob, most: number): Promise<ZipEntry[] | "many" | "damaged"> {
  const reader = new ZipReader(new BlobReader(zip), { checkCrc32: true });
  const entries: ZipEntry[] = [];
  let count = 0;
  try {
    for await (const entry of reader.getEntriesGenerator()) {
      count += 1;
      if (count > most) return "many";
      if (!entry.directory) {
        entries.push({ path: entry.filename, isLocked: entry.encrypted, read: (bytes) => unpackEntry(entry, bytes) });
      }
    }
  } catch {
    // Each kind of damage has an error of its own: no list would be whole.
    return "damaged";
  }
  return entries;
}

async function unpackEntry(entry: FileEntry, most: number): Promise<Blob | "large" | "damaged"> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let bytes = 0;
  // What the zip says of an entry's size may be a lie.
  const target = new WritableStream<Uint8Array<ArrayBuffer>>({
    write(part) {
      bytes += part.length;
      if (bytes > most) throw new Error("It is too large.");
      parts.push(part);
    },
  });
  try {
    await entry.getData(target);
  } catch {
    return bytes > most ? "large" : "damaged";
  }
  return new Blob(parts);
}
