/** Evidence as a layer over a picture: orange where it speaks for the label, dim where the network did not look. */

import type { Evidence } from "../types.js";

// As `spotter/inference/explain.py` has them.
const COLOUR = [255, 120, 0] as const;
const STRONGEST = 0.65;
const UNSEEN = 0.45;
const LINES = 192;

type Share = NonNullable<Evidence["looked_at"]>;

/**
 * The layer: RGBA bytes in rows from the top, `width` * `height` pixels of the picture, to be laid over it.
 * Lying on it, it gives what Python draws: `pixel * (1 - alpha) + COLOUR * alpha`, and black outside of the box.
 */
export function evidenceLayer(found: Evidence): Uint8ClampedArray<ArrayBuffer> {
  const { width, height, box } = found;
  const [left, top, right, bottom] = box;
  const strength = positiveShare(found.evidence);
  const smooth = enlarge(strength, found.rows, found.columns, bottom - top, right - left);
  const layer = new Uint8ClampedArray(4 * width * height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const at = 4 * (y * width + x);
      const isInside = x >= left && x < right && y >= top && y < bottom;
      if (!isInside) {
        layer[at + 3] = 255 * UNSEEN;
        continue;
      }
      // Where the box reaches beyond the picture, its evidence is about padding.
      const share = smooth[(y - top) * (right - left) + x - left] ?? 0;
      layer.set(COLOUR, at);
      layer[at + 3] = 255 * STRONGEST * Math.min(Math.max(share, 0), 1);
    }
  }
  return layer;
}

/** The same evidence over a picture that is at most `side` pixels long. */
export function fitEvidence(found: Evidence, side: number): Evidence {
  const scale = Math.min(1, side / Math.max(found.width, found.height));
  const scaled = (length: number): number => Math.round(length * scale);
  const [left, top, right, bottom] = found.box;
  return {
    ...found,
    width: Math.max(1, scaled(found.width)),
    height: Math.max(1, scaled(found.height)),
    box: [scaled(left), scaled(top), scaled(right), scaled(bottom)],
  };
}

/** Draw the frame around what a second look looked at: black, and white within, so that it shows on dark and bright. */
export function drawFrame(context: CanvasRenderingContext2D, [left, top, right, bottom]: Share): void {
  const { width, height } = context.canvas;
  const [x, y] = [Math.round(left * width), Math.round(top * height)];
  const [wide, high] = [Math.max(1, Math.round(right * width) - x), Math.max(1, Math.round(bottom * height) - y)];
  const most = Math.max(2, Math.floor(Math.max(width, height) / LINES));
  const line = Math.max(1, Math.min(most, Math.floor(wide / 6), Math.floor(high / 6)));
  context.lineWidth = line;
  for (const [colour, inset] of [["#000", line / 2], ["#fff", 1.5 * line]] as const) {
    context.strokeStyle = colour;
    context.strokeRect(x + inset, y + inset, wide - 2 * inset, high - 2 * inset);
  }
}

function positiveShare(evidence: Float32Array): Float32Array {
  const positive = evidence.map((value) => Math.max(value, 0));
  const most = positive.reduce((one, other) => Math.max(one, other), 0);
  return most > 0 ? positive.map((value) => value / most) : positive;
}

/** Enlarge a map as Pillow's BICUBIC does: (rows, columns) numbers to (height, width). */
export function enlarge(map: Float32Array, rows: number, columns: number, height: number, width: number): Float32Array {
  const across = new Float32Array(rows * width);
  const toColumns = weights(columns, width);
  for (let row = 0; row < rows; row++) {
    toColumns.forEach(({ first, shares }, x) => {
      across[row * width + x] = shares.reduce((sum, share, index) => sum + share * (map[row * columns + first + index] ?? 0), 0);
    });
  }
  const enlarged = new Float32Array(height * width);
  weights(rows, height).forEach(({ first, shares }, y) => {
    shares.forEach((share, index) => {
      const from = (first + index) * width;
      for (let x = 0; x < width; x++) {
        const at = y * width + x;
        enlarged[at] = (enlarged[at] ?? 0) + share * (across[from + x] ?? 0);
      }
    });
  });
  return enlarged;
}

/** For each of `size` places, which of the `count` values it is made of, and in which shares. */
function weights(count: number, size: number): { first: number; shares: number[] }[] {
  const scale = count / size;
  // Where it shrinks, each place is made of more of them.
  const stretch = Math.max(scale, 1);
  return Array.from({ length: size }, (_, place) => {
    const center = (place + 0.5) * scale;
    const first = Math.max(0, Math.trunc(center - 2 * stretch + 0.5));
    const end = Math.min(count, Math.trunc(center + 2 * stretch + 0.5));
    const raw = Array.from({ length: end - first }, (_unused, index) => cubic((first + index + 0.5 - center) / stretch));
    const total = raw.reduce((sum, share) => sum + share, 0);
    return { first, shares: raw.map((share) => share / total) };
  });
}

function cubic(distance: number): number {
  const x = Math.abs(distance);
  if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
  return x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
}
