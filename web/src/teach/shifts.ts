/**
 * Shifted views: a picture as a camera may give it at night, far away, out of focus, half hidden, turned, in bad light.
 * The kinds and their ranges are those of `spotter/train/views.py`; its random numbers are others.
 */

import { BadPicture } from "../errors.js";
import { checksum } from "../header.js";
import { toSquare, type Pixels } from "../resize.js";
import { MersenneTwister } from "./mt19937.js";

/** What the network sees: size * size * 3 bytes, RGB. */
interface Square {
  size: number;
  data: Uint8Array;
}

type Change = (square: Square, random: MersenneTwister) => Uint8Array | Promise<Uint8Array>;

/** The kind that a view of this number shows; those of one picture are of different kinds. */
export function familyOf(number: number, sha256: string): string {
  const order = new MersenneTwister(seedOf(sha256)).shuffle(Object.keys(FAMILIES));
  return order[number % order.length] ?? "";
}

/** The view of a kind of a square that the network sees. */
export async function makeShifted(data: Uint8Array, size: number, family: string, sha256: string): Promise<Uint8Array> {
  const change = FAMILIES[family];
  if (!change) throw new Error(`There are no views of the kind '${family}'.`);
  return change({ size, data }, new MersenneTwister(seedOf(`${family}/${sha256}`)));
}

const FAMILIES: Record<string, Change> = { night, soft, distant, covered, turned, washed };

function seedOf(text: string): number {
  return checksum(new TextEncoder().encode(text));
}

/* The loops below run for every byte of a picture: "!" where an index is known to be inside. */
/* eslint-disable @typescript-eslint/no-non-null-assertion */

/** Little light and little colour, sometimes a lamp on one side, and the noise of it. */
function night({ size, data }: Square, random: MersenneTwister): Uint8Array {
  const color = random.uniform(0, 0.7);
  const light = random.uniform(0.15, 0.6);
  const hasLamp = random.random() < 0.5;
  const [lampX, lampY, reach] = [random.uniform(0.2, 0.8), random.uniform(0.2, 0.8), random.uniform(0.3, 0.8)];
  const noise = random.uniform(0.01, 0.07);
  const view = new Uint8Array(data.length);
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      const far = Math.hypot(y / (size - 1) - lampY, x / (size - 1) - lampX) / reach;
      const lit = light * (hasLamp ? 0.3 + 2.2 * Math.exp(-far * far) : 1);
      const at = (y * size + x) * 3;
      const grey = 0.299 * data[at]! + 0.587 * data[at + 1]! + 0.114 * data[at + 2]!;
      for (let channel = at; channel < at + 3; channel++) {
        const value = (grey + color * (data[channel]! - grey)) * lit;
        view[channel] = toByte(value + 255 * noise * random.normal());
      }
    }
  }
  return view;
}

/** Without sharp edges: a Gaussian blur. */
function soft({ size, data }: Square, random: MersenneTwister): Uint8Array {
  const radius = (random.uniform(1, 4) * size) / 224;
  const reach = Math.ceil(3 * radius);
  const shares = Array.from({ length: 2 * reach + 1 }, (_, at) => Math.exp(-(((at - reach) / radius) ** 2) / 2));
  const total = shares.reduce((sum, share) => sum + share, 0);
  const blur = (source: Float32Array, step: number, stride: number): Float32Array => {
    const target = new Float32Array(source.length);
    for (let line = 0; line < size; line++) {
      for (let place = 0; place < size; place++) {
        for (let at = 0; at < shares.length; at++) {
          const other = Math.min(Math.max(place + at - reach, 0), size - 1);
          const share = shares[at]! / total;
          const [to, from] = [(line * stride + place * step) * 3, (line * stride + other * step) * 3];
          for (let channel = 0; channel < 3; channel++) target[to + channel]! += share * source[from + channel]!;
        }
      }
    }
    return target;
  };
  return Uint8Array.from(blur(blur(Float32Array.from(data), 1, size), size, 1), toByte);
}

/** Small, somewhere in the picture, on colours of its own. */
function distant(square: Square, random: MersenneTwister): Uint8Array {
  const { size } = square;
  const side = Math.max(8, Math.round(size * random.uniform(0.25, 0.7)));
  const small = toSquare(pixelsOf(square), side, "squish");
  const view = toSquare(pixelsOf({ size: 2, data: quarters(square) }), size, "squish");
  const [left, top] = [random.upTo(size - side), random.upTo(size - side)];
  for (let y = 0; y < side; y++)
    view.set(small.subarray(y * side * 3, (y + 1) * side * 3), ((top + y) * size + left) * 3);
  return view;
}

/** Behind one to three rectangles (random erasing: Zhong et al., AAAI 2020). */
function covered({ size, data }: Square, random: MersenneTwister): Uint8Array {
  const view = data.slice();
  for (let count = 1 + random.upTo(2); count > 0; count--) {
    const [width, height] = [Math.trunc(size * random.uniform(0.2, 0.6)), Math.trunc(size * random.uniform(0.2, 0.6))];
    const color = [random.upTo(199), random.upTo(199), random.upTo(199)];
    const [left, top] = [random.upTo(size - width), random.upTo(size - height)];
    for (let y = top; y < top + height; y++) {
      for (let x = left; x < left + width; x++) view.set(color, (y * size + x) * 3);
    }
  }
  return view;
}

/** Turned by any angle, half of them mirrored; the corners are filled with the picture's own edge, mirrored. */
function turned({ size, data }: Square, random: MersenneTwister): Uint8Array {
  const mirrored = random.random() < 0.5;
  const angle = (random.uniform(-180, 180) * Math.PI) / 180;
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  const middle = (size - 1) / 2;
  const inside = (place: number): number => {
    const folded = Math.abs(place) % (2 * (size - 1));
    return folded < size ? folded : 2 * (size - 1) - folded;
  };
  const view = new Uint8Array(data.length);
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      const across = cos * (x - middle) - sin * (y - middle);
      const sourceX = middle + (mirrored ? -across : across);
      const sourceY = middle + sin * (x - middle) + cos * (y - middle);
      const [left, top] = [Math.floor(sourceX), Math.floor(sourceY)];
      const [right, down] = [sourceX - left, sourceY - top];
      for (let channel = 0; channel < 3; channel++) {
        const pixel = (column: number, row: number): number =>
          data[(inside(row) * size + inside(column)) * 3 + channel]!;
        const above = pixel(left, top) * (1 - right) + pixel(left + 1, top) * right;
        const below = pixel(left, top + 1) * (1 - right) + pixel(left + 1, top + 1) * right;
        view[(y * size + x) * 3 + channel] = toByte(above * (1 - down) + below * down);
      }
    }
  }
  return view;
}

/** Little contrast, a wrong white balance, and few bits a pixel. */
async function washed({ size, data }: Square, random: MersenneTwister): Promise<Uint8Array> {
  const share = random.uniform(0.2, 0.6);
  const balance = [random.uniform(0.8, 1.2), random.uniform(0.8, 1.2), random.uniform(0.8, 1.2)];
  const haze = 255 * (1 - share) * random.uniform(0.3, 0.95);
  const view = data.map((value, at) => toByte(value * balance[at % 3]! * share + haze));
  return recompress(view, size, random.upTo(11) / 100);
}

/** A picture after it was saved with few bits: as WebP, or as JPEG where the browser writes none. */
async function recompress(data: Uint8Array, size: number, quality: number): Promise<Uint8Array> {
  const canvas = new OffscreenCanvas(size, size);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (!context) throw new BadPicture("too-large", "There is not enough memory for a view of the picture.");
  const pixels = context.createImageData(size, size);
  for (let at = 0; at < size * size; at++)
    pixels.data.set([data[at * 3]!, data[at * 3 + 1]!, data[at * 3 + 2]!, 255], at * 4);
  context.putImageData(pixels, 0, 0);
  let blob = await canvas.convertToBlob({ type: "image/webp", quality });
  if (blob.type !== "image/webp") blob = await canvas.convertToBlob({ type: "image/jpeg", quality });
  const bitmap = await createImageBitmap(blob);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const seen = context.getImageData(0, 0, size, size).data;
  return Uint8Array.from(data, (_, at) => seen[Math.floor(at / 3) * 4 + (at % 3)]!);
}

/** The mean colours of its quarters. */
function quarters({ size, data }: Square): Uint8Array {
  const half = size / 2;
  const sums = new Float64Array(12);
  const counts = new Float64Array(4);
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      const quarter = Number(y >= half) * 2 + Number(x >= half);
      counts[quarter]!++;
      for (let channel = 0; channel < 3; channel++) sums[quarter * 3 + channel]! += data[(y * size + x) * 3 + channel]!;
    }
  }
  return Uint8Array.from(sums, (sum, at) => toByte(sum / counts[Math.floor(at / 3)]!));
}

/* eslint-enable @typescript-eslint/no-non-null-assertion */

function pixelsOf({ size, data }: Square): Pixels {
  // Only whole rows are asked for.
  const read: Pixels["read"] = (_left, top, width, height) =>
    data.subarray(top * width * 3, (top + height) * width * 3);
  return { width: size, height: size, channels: 3, read };
}

function toByte(value: number): number {
  return Math.min(Math.max(Math.round(value), 0), 255);
}
