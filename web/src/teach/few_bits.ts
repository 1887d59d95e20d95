/** A picture as it is after it was kept in few bits: as in `spotter/train/views.py`, to the bit. */

/** How often the picture is halved, and a step that no detail reaches. */
const LEVELS = 4;
const ALL = 1 << 12;

/* The loops below run for every byte of a picture: "!" where an index is known to be inside. */
/* eslint-disable @typescript-eslint/no-non-null-assertion */

/** Pixels, (size * size * 3), whose finest details are whole steps of so many grey levels. */
export function keepFewBits(data: Uint8Array, size: number, step: number): Uint8Array {
  const steps = Array.from({ length: LEVELS }, (_, level) => Math.max(1, step >> level));
  const ofColors = steps.map((each, level) => (level ? 2 * each : ALL));
  const [luma, first, second] = [new Int32Array(size * size), new Int32Array(size * size), new Int32Array(size * size)];
  for (let at = 0; at < luma.length; at++) {
    const [red, green, blue] = [data[at * 3]!, data[at * 3 + 1]!, data[at * 3 + 2]!];
    luma[at] = (red + 2 * green + blue) >> 2;
    first[at] = blue - green;
    second[at] = red - green;
  }
  coarsen(luma, size, steps);
  coarsen(first, size, ofColors);
  coarsen(second, size, ofColors);
  const kept = new Uint8ClampedArray(data.length);
  for (let at = 0; at < luma.length; at++) {
    const green = luma[at]! - ((first[at]! + second[at]!) >> 2);
    kept[at * 3] = second[at]! + green;
    kept[at * 3 + 1] = green;
    kept[at * 3 + 2] = first[at]! + green;
  }
  return new Uint8Array(kept.buffer);
}

/** In place: a plane (size * size) whose details are whole steps; the first step is that of the finest ones. */
function coarsen(plane: Int32Array, size: number, steps: number[]): void {
  const sides: number[] = [];
  for (let side = size; sides.length < steps.length && side > 1; side = (side + 1) >> 1) sides.push(side);
  const line = new Int32Array(size);
  sides.forEach((side, level) => {
    for (let at = 0; at < side; at++) split(plane, at, size, side, line);
    for (let at = 0; at < side; at++) split(plane, at * size, 1, side, line);
    quantise(plane, size, side, steps[level]!);
  });
  for (const side of sides.toReversed()) {
    for (let at = 0; at < side; at++) join(plane, at * size, 1, side, line);
    for (let at = 0; at < side; at++) join(plane, at, size, side, line);
  }
}

/** In place, all but the smooth quarter: the middle of the step that a detail lies in; 0 if it is smaller than one. */
function quantise(plane: Int32Array, size: number, side: number, step: number): void {
  const half = (side + 1) >> 1;
  for (let y = 0; y < side; y++) {
    for (let at = y * size + (y < half ? half : 0); at < y * size + side; at++) {
      const whole = Math.floor(Math.abs(plane[at]!) / step);
      const middle = whole ? whole * step + (step >> 1) : 0;
      plane[at] = plane[at]! < 0 ? -middle : middle;
    }
  }
}

/** In place: a line of so many numbers becomes half of them, smoothed, and then what these lack. */
function split(plane: Int32Array, start: number, stride: number, count: number, line: Int32Array): void {
  for (let at = 0; at < count; at++) line[at] = plane[start + at * stride]!;
  const last = count - 1;
  const lastEven = last & ~1;
  const lastOdd = last - 1 + (last & 1);
  for (let at = 1; at < count; at += 2) line[at]! -= (line[at - 1]! + line[Math.min(at + 1, lastEven)]!) >> 1;
  for (let at = 0; at < count; at += 2)
    line[at]! += (line[Math.max(at - 1, 1)]! + line[Math.min(at + 1, lastOdd)]! + 2) >> 2;
  const half = (count + 1) >> 1;
  for (let at = 0; at < count; at++) plane[start + ((at >> 1) + (at & 1 ? half : 0)) * stride] = line[at]!;
}

/** In place: what was split. */
function join(plane: Int32Array, start: number, stride: number, count: number, line: Int32Array): void {
  const half = (count + 1) >> 1;
  for (let at = 0; at < count; at++) line[at] = plane[start + ((at >> 1) + (at & 1 ? half : 0)) * stride]!;
  const last = count - 1;
  const lastEven = last & ~1;
  const lastOdd = last - 1 + (last & 1);
  for (let at = 0; at < count; at += 2)
    line[at]! -= (line[Math.max(at - 1, 1)]! + line[Math.min(at + 1, lastOdd)]! + 2) >> 2;
  for (let at = 1; at < count; at += 2) line[at]! += (line[at - 1]! + line[Math.min(at + 1, lastEven)]!) >> 1;
  for (let at = 0; at < count; at++) plane[start + at * stride] = line[at]!;
}

/* eslint-enable @typescript-eslint/no-non-null-assertion */
