/** The second look: where to look again in a picture that is not familiar, as `spotter/bundle/second_look.py`. */

import type { Output } from "./network.js";
import { frame, type Box, type Pixels } from "./resize.js";

/** The window's side as a share of the first look's, and by how much it has to be more familiar. */
export interface SecondLook {
  window: number;
  margin: number;
}

/** Places of the middle of a window, along a side of what the first look saw. */
const STEPS = 64;

/**
 * Where to look again: inside of the picture. Undefined where nothing speaks for the label, or the picture has fewer
 * pixels than the network sees of it.
 *
 * @param evidence (rows, columns), what each place says for the label, more than for the mean of all.
 */
export function findWindow(
  { window }: SecondLook,
  evidence: Float32Array,
  { rows, columns }: Pick<NonNullable<Output["places"]>, "rows" | "columns">,
  { width, height }: Pick<Pixels, "width" | "height">,
  size: number,
  resize: string,
): Box | undefined {
  const across = new Float64Array(columns);
  const down = new Float64Array(rows);
  evidence.forEach((value, at) => {
    if (!(value > 0)) return;
    across[at % columns] = (across[at % columns] ?? 0) + value;
    down[Math.floor(at / columns)] = (down[Math.floor(at / columns)] ?? 0) + value;
  });
  const [left, top, right, bottom] = frame(width, height, size, resize);
  const total = across.reduce((sum, each) => sum + each, 0);
  if (Math.min(right - left, bottom - top) < size || !(total > 0)) return undefined;
  const [wide, high] = [right - left, bottom - top].map((side) => Math.max(1, Math.trunc(side * window)));
  const [first, last] = place(middle(across), left, right, wide ?? 1, width);
  const [start, end] = place(middle(down), top, bottom, high ?? 1, height);
  return [first, start, last, end];
}

/** A part of a picture, as a picture. */
export function partOf(pixels: Pixels, [left, top, right, bottom]: Box): Pixels {
  return {
    width: right - left,
    height: bottom - top,
    channels: pixels.channels,
    read: (x, y, width, height) => pixels.read(left + x, top + y, width, height),
  };
}

/** The centre of mass of a row of numbers, in steps of `STEPS`. */
function middle(shares: Float64Array): number {
  let mass = 0;
  let total = 0;
  shares.forEach((share, at) => {
    mass += (at + 0.5) * share;
    total += share;
  });
  return Math.trunc((STEPS * (mass / total)) / shares.length + 0.5);
}

/** The ends of a window of a length around a middle between two ends, inside of 0 to `most`. */
function place(middle: number, start: number, end: number, length: number, most: number): [number, number] {
  const wanted = start + Math.floor(((end - start) * middle) / STEPS) - Math.floor(length / 2);
  const first = Math.max(0, Math.min(wanted, most - length));
  return [first, Math.min(first + length, most)];
}
