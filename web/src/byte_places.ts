/** Bytes of numbers, sorted before they are packed, as in `spotter/web/packing.py`. */

import { isTable } from "./card.js";
import { isCounts, readHeader } from "./safetensors.js";

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
  const count = Math.floor(sorted.length / WIDTH);
  const rest = sorted.length % WIDTH;
  const begins = [0, 1, 2, 3].map((place) => place * count + Math.min(place, rest)) as [number, number, number, number];
  const [first, second, third, fourth] = begins;
  // Whole numbers take half the time of single bytes.
  const numbers = new DataView(content.buffer);
  for (let at = 0; at < count; at++) {
    const low = (sorted[first + at] ?? 0) | ((sorted[second + at] ?? 0) << 8);
    const high = (sorted[third + at] ?? 0) | ((sorted[fourth + at] ?? 0) << 8);
    numbers.setUint32(at * WIDTH, low | (high << 16), true);
  }
  for (let place = 0; place < rest; place++) content[count * WIDTH + place] = sorted[(begins[place] ?? 0) + count] ?? 0;
  return content;
}

/**
 * A safetensors file with one matrix of whole multiples of 1/`steps`, of its header, which comes first, and these whole
 * numbers, column by column: their low bytes, then their high ones.
 *
 * @throws RangeError, SyntaxError, TypeError: it is nothing of that kind.
 */
export function mergeSteps(sorted: Uint8Array, steps: number): Uint8Array<ArrayBuffer> {
  const { entries, start } = readHeader(sorted);
  const [rows, columns] = matrixOf(entries.map(([, entry]) => entry));
  const count = rows * columns;
  if (start + 2 * count !== sorted.length) throw new RangeError("the numbers are not those of the header");
  const floats = new Float32Array(count);
  let [low, high] = [start, start + count];
  for (let column = 0; column < columns; column++) {
    for (let at = column; at < count; at += columns) {
      // The high byte has the sign.
      floats[at] = ((((sorted[high++] ?? 0) << 24) >> 16) | (sorted[low++] ?? 0)) / steps;
    }
  }
  const content = new Uint8Array(start + WIDTH * count);
  content.set(sorted.subarray(0, start));
  content.set(new Uint8Array(floats.buffer), start);
  return content;
}

function matrixOf(tensors: unknown[]): [rows: number, columns: number] {
  const [tensor] = tensors;
  const shape = tensors.length === 1 && isTable(tensor) && isCounts(tensor.shape) ? tensor.shape : [];
  const [rows, columns] = shape;
  if (shape.length !== 2 || rows === undefined || columns === undefined) throw new TypeError("there is no matrix");
  return [rows, columns];
}
