/** Zips of files that are at hand. */

import { BlobReader, BlobWriter, configure, ZipWriter } from "@zip.js/zip.js/lib/zip-core-native.js";

// They would be made from an address in memory, which a page may forbid.
configure({ useWebWorkers: false });

export interface ZipEntry {
  path: string;
  content: Blob;
  /** What is packed already, such as a JPEG, is stored as it is. */
  isPacked: boolean;
}

export async function packZip(entries: ZipEntry[]): Promise<Blob> {
  const writer = new ZipWriter(new BlobWriter("application/zip"), { extendedTimestamp: false });
  for (const { path, content, isPacked } of entries) {
    await writer.add(path, new BlobReader(content), { level: isPacked ? 0 : 6 });
  }
  return writer.close();
}
