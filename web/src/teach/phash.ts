/** The perceptual hash of a picture, as `perceptual_hash` of `spotter/data/duplicates.py`. */

import type { Pixels } from "../resize.js";

const SIDE = 32;
const KEPT = 8;
const PRECISION = 22;

/** 16 hexadecimal digits: the signs of the 8 x 8 lowest frequencies (DCT) of a 32 x 32 grey thumbnail. */
export function perceptualHash(pixels: Pixels): string {
  const grey = greyThumbnail(pixels);
  const cosines = Array.from({ length: KEPT }, (_, k) =>
    Float64Array.from({ length: SIDE }, (_, n) => Math.cos((Math.PI * k * (2 * n + 1)) / (2 * SIDE))),
  );
  let bits = 0n;
  for (const down of cosines) {
    for (const across of cosines) {
      let sum = 0;
      for (let y = 0; y < SIDE; y++) {
        let row = 0;
        for (let x = 0; x < SIDE; x++) row += (across[x] ?? 0) * (grey[y * SIDE + x] ?? 0);
        sum += row * (down[y] ?? 0);
      }
      // Where an even picture has nothing, there is nothing but rounding.
      bits = (bits << 1n) | (sum > 1e-6 ? 1n : 0n);
    }
  }
  return bits.toString(16).padStart(16, "0");
}

/** 32 x 32 means of the picture's brightness, rounded as Pillow does: across first, then down, in fixed point. */
function greyThumbnail(pixels: Pixels): Uint8Array {
  const { width, height, channels } = pixels;
  const data = pixels.read(0, 0, width, height);
  const grey = new Uint8Array(width * height);
  for (let at = 0, from = 0; at < grey.length; at++, from += channels) {
    const [red = 0, green = 0, blue = 0] = [data[from], data[from + 1], data[from + 2]];
    grey[at] = (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16;
  }
  const narrow = box(grey, width, height, 1, width);
  return box(narrow, height, SIDE, SIDE, 1);
}

/** Shrinks lines of `length` values, `step` apart, to 32 by means; `lines` of them lie `stride` apart. */
function box(source: Uint8Array, length: number, lines: number, step: number, stride: number): Uint8Array {
  const target = new Uint8Array(SIDE * lines);
  const [targetStep, targetStride] = step === 1 ? [1, SIDE] : [SIDE, 1];
  for (let n = 0; n < SIDE; n++) {
    const { first, weights } = boxWeights(length, n);
    for (let line = 0; line < lines; line++) {
      let sum = 1 << (PRECISION - 1);
      for (let at = 0; at < weights.length; at++) {
        sum += (source[line * stride + (first + at) * step] ?? 0) * (weights[at] ?? 0);
      }
      target[line * targetStride + n * targetStep] = Math.min(Math.max(sum >> PRECISION, 0), 255);
    }
  }
  return target;
}

function boxWeights(length: number, n: number): { first: number; weights: number[] } {
  const scale = length / SIDE;
  const support = 0.5 * Math.max(scale, 1);
  const centre = (n + 0.5) * scale;
  const first = Math.max(Math.trunc(centre - support + 0.5), 0);
  const end = Math.min(Math.trunc(centre + support + 0.5), length);
  const inside = Array.from({ length: end - first }, (_, at) => {
    const distance = (at + first - centre + 0.5) / Math.max(scale, 1);
    return distance > -0.5 && distance <= 0.5 ? 1 : 0;
  });
  const total = inside.reduce<number>((sum, each) => sum + each, 0);
  return { first, weights: inside.map((each) => Math.trunc(0.5 + (each / total) * (1 << PRECISION))) };
}
