/** Bytes of numbers, sorted by their place in a number, as `sort_by_place` in `spotter/web/packing.py`. */

const WIDTH = 4;

/** The bytes 0, 4, 8 ..., then 1, 5, 9 ..., 2, 6, 10 ..., and 3, 7, 11 ... */
export function sortByPlace(content: Uint8Array): Uint8Array<ArrayBuffer> {
  const sorted = new Uint8Array(content.length);
  for (let place = 0, to = 0; place < WIDTH; place++) {
    for (let from = place; from < content.length; from += WIDTH, to++) sorted[to] = content[from] ?? 0;
  }
  return sorted;
}

/** What `sortByPlace` sorted. */
export function mergePlaces(sorted: Uint8Array): Uint8Array<ArrayBuffer> {
  const content = new Uint8Array(sorted.length);
  for (let place = 0, from = 0; place < WIDTH; place++) {
    for (let to = place; to < sorted.length; to += WIDTH, from++) content[to] = sorted[from] ?? 0;
  }
  return content;
}
