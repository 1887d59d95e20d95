/** What is taken at once: the same as `ServeConfig` in `spotter/config.py`. */

export const MOST_PICTURES = 100;
export const MOST_BYTES = 15_000_000;
export const MOST_BYTES_TOGETHER = 100_000_000;

/** A number of bytes in megabytes, for a sentence. */
export function megabytes(bytes: number): string {
  return String(bytes / 1e6);
}
