/**
 * Shifted views: a picture as a camera may give it at night, far away, out of focus, turned, in bad light.
 * To the bit those of `spotter/train/views.py`: the random numbers and their order, the filters, and how numbers are
 * rounded.
 */

import { checksum } from "../header.js";
import { toSquare, type Pixels } from "../resize.js";
import { keepFewBits } from "./few_bits.js";
import { MersenneTwister } from "./mt19937.js";

/** What the network sees: size * size * 3 bytes, RGB. */
interface Square {
  size: number;
  data: Uint8Array;
}

type Change = (square: Square, random: MersenneTwister) => Uint8Array;

/** The kind that a view of this number shows; those of one picture are of different kinds. */
export function familyOf(number: number, sha256: string): string {
  const drawn = Object.entries(SHARES).flatMap(([name, share]) => Array.from({ length: share }, () => name));
  const order = [...new Set(randomOf(sha256).shuffle(drawn))];
  return order[number % order.length] ?? "";
}

/** The view of a kind of a square that the network sees. */
export function makeShifted(data: Uint8Array, size: number, family: string, sha256: string): Uint8Array {
  const change = FAMILIES[family];
  if (!change) throw new Error(`There are no views of the kind '${family}'.`);
  return change({ size, data }, randomOf(`${family}/${sha256}`));
}

const FAMILIES: Record<string, Change> = { night, soft, distant, turned, washed };
/** How often each kind is drawn. */
const SHARES: Record<string, number> = { night: 2, soft: 2, distant: 2, turned: 2, washed: 1 };

function randomOf(text: string): MersenneTwister {
  return new MersenneTwister(checksum(new TextEncoder().encode(text)));
}

/* The loops below run for every byte of a picture: "!" where an index is known to be inside. */
/* eslint-disable @typescript-eslint/no-non-null-assertion */

/** The sum of four bytes is nearly of a normal distribution, around 510 and with this spread. */
const BYTES_SPREAD = Math.sqrt((4 * (256 ** 2 - 1)) / 12);

/** Little light and little colour, sometimes a lamp on one side, and the noise of it. */
function night({ size, data }: Square, random: MersenneTwister): Uint8Array {
  const color = Math.trunc(256 * random.uniform(0, 0.7));
  const light = random.uniform(0.15, 0.6);
  const hasLamp = random.random() < 0.5;
  const [lampX, lampY, reach] = [random.uniform(0.2, 0.8), random.uniform(0.2, 0.8), random.uniform(0.3, 0.8)];
  const noise = Math.trunc((2 ** 20 * random.uniform(0.01, 0.07) * 255) / BYTES_SPREAD);
  const falloff = (middle: number): Float64Array =>
    Float64Array.from({ length: size }, (_, place) => Math.exp(-(((place / (size - 1) - middle) / reach) ** 2)));
  const [down, across] = [falloff(lampY), falloff(lampX)];
  const view = new Uint8ClampedArray(data.length);
  for (let channel = 0; channel < 3; channel++) {
    for (let y = 0, at = 0; y < size; y++) {
      for (let x = 0; x < size; x++, at += 3) {
        const shine = hasLamp ? light * (0.3 + 2.2 * (down[y]! * across[x]!)) : light;
        const lit = Math.floor(2 ** 12 * shine + 0.5);
        const grey = (19595 * data[at]! + 38470 * data[at + 1]! + 7471 * data[at + 2]! + 0x8000) >> 16;
        const value = ((data[at + channel]! - grey) * color + grey * 256) * lit;
        view[at + channel] = (value + noise * (sumOfBytes(random.uint32()) - 510) + 2 ** 19) >> 20;
      }
    }
  }
  return new Uint8Array(view.buffer);
}

function sumOfBytes(word: number): number {
  return (word & 255) + ((word >>> 8) & 255) + ((word >>> 16) & 255) + (word >>> 24);
}

/** Without sharp edges: three box blurs each way, as Pillow's Gaussian blur. */
function soft({ size, data }: Square, random: MersenneTwister): Uint8Array {
  const radius = boxRadius(Math.fround((random.uniform(1, 4) * size) / 224), 3);
  const view = data.slice();
  const line = new Uint8Array(size);
  for (let row = 0; row < size; row++) {
    for (let channel = 0; channel < 3; channel++) blur(view, row * size * 3 + channel, 3, radius, line);
  }
  for (let column = 0; column < size * 3; column++) blur(view, column, size * 3, radius, line);
  return view;
}

/**
 * The radius of boxes of which so many blur as a Gaussian (Gwosdek et al., SSVM 2011), with the roundings of Pillow's
 * single precision.
 */
function boxRadius(radius: number, passes: number): number {
  const round = Math.fround;
  const variance = round(round(radius * radius) / passes);
  const whole = Math.floor((round(Math.sqrt(12 * variance + 1)) - 1) / 2);
  const above = round((2 * whole + 1) * round(whole * (whole + 1) - round(3 * variance)));
  return round(whole + round(above / round(6 * round(variance - (whole + 1) ** 2))));
}

/**
 * In place, three times: a line of bytes, each the mean of its neighbours within a radius; beyond its ends it goes on.
 *
 * @param line for the work: as long as the line.
 */
function blur(data: Uint8Array, start: number, stride: number, radius: number, line: Uint8Array): void {
  const whole = Math.trunc(radius);
  const share = Math.trunc(Math.fround(2 ** 24 / Math.fround(radius * 2 + 1)));
  const outer = Math.trunc((2 ** 24 - (whole * 2 + 1) * share) / 2);
  const last = line.length - 1;
  for (let pass = 0; pass < 3; pass++) {
    for (let at = 0; at <= last; at++) line[at] = data[start + at * stride]!;
    let sum = line[0]! * (whole + 1);
    for (let at = 0; at < whole; at++) sum += line[Math.min(at, last)]!;
    for (let at = 0; at <= last; at++) {
      const before = line[Math.max(at - whole - 1, 0)]!;
      sum += line[Math.min(at + whole, last)]! - before;
      const after = line[Math.min(at + whole + 1, last)]!;
      // At most 255.5 * 2 ** 24: in 32 bits without a sign.
      data[start + at * stride] = (Math.imul(sum, share) + Math.imul(before + after, outer) + 2 ** 23) >>> 24;
    }
  }
}

/** Small, somewhere in front of one of the picture's corners, enlarged. */
function distant(square: Square, random: MersenneTwister): Uint8Array {
  const { size } = square;
  const side = Math.max(8, Math.trunc(size * random.uniform(0.25, 0.7) + 0.5));
  const small = toSquare(pixelsOf(square), side, "squish");
  const part = Math.max(1, size >> 2);
  const [x, y] = [random.upTo(1) * (size - part), random.upTo(1) * (size - part)];
  const corner = new Uint8Array(part * part * 3);
  for (let row = 0; row < part; row++) {
    const start = ((y + row) * size + x) * 3;
    corner.set(square.data.subarray(start, start + part * 3), row * part * 3);
  }
  const view = toSquare(pixelsOf({ size: part, data: corner }), size, "squish");
  const [left, top] = [random.upTo(size - side), random.upTo(size - side)];
  for (let row = 0; row < side; row++)
    view.set(small.subarray(row * side * 3, (row + 1) * side * 3), ((top + row) * size + left) * 3);
  return view;
}

/** Turned by any angle, half of them mirrored; the corners are filled with the picture's own edge, mirrored. */
function turned({ size, data }: Square, random: MersenneTwister): Uint8Array {
  const mirrored = random.random() < 0.5 ? -1 : 1;
  const angle = random.uniform(-180, 180) * (Math.PI / 180);
  // Whole steps, so that all the arithmetic of the turn is exact.
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)].map((share) => Math.floor(2 ** 16 * share + 0.5) / 2 ** 16) as [
    number,
    number,
  ];
  const edge = size >> 2;
  // Of places from `edge` before the picture to `edge` behind it.
  const inside = Int32Array.from({ length: size + 2 * edge }, (_, place) => {
    const folded = Math.abs(place - edge);
    return folded < size ? folded : 2 * (size - 1) - folded;
  });
  const view = new Uint8Array(data.length);
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      const [right, down] = [x + 0.5 - size / 2, y + 0.5 - size / 2];
      const sourceX = edge + (size - 1) / 2 + mirrored * (cos * right - sin * down);
      const sourceY = edge + (size - 1) / 2 + sin * right + cos * down;
      const [column, row] = [Math.floor(sourceX), Math.floor(sourceY)];
      const [shareX, shareY] = [sourceX - column, sourceY - row];
      const [left, above] = [inside[column]! * 3, inside[row]! * size * 3];
      const [after, below] = [inside[column + 1]! * 3, inside[row + 1]! * size * 3];
      for (let channel = 0; channel < 3; channel++) {
        const upper = mix(data[above + left + channel]!, data[above + after + channel]!, shareX);
        const lower = mix(data[below + left + channel]!, data[below + after + channel]!, shareX);
        view[(y * size + x) * 3 + channel] = Math.trunc(mix(upper, lower, shareY));
      }
    }
  }
  return view;
}

function mix(one: number, other: number, share: number): number {
  return one + (other - one) * share;
}

/** Little contrast, a wrong white balance, and few bits a pixel. */
function washed({ size, data }: Square, random: MersenneTwister): Uint8Array {
  const share = random.uniform(0.2, 0.6);
  const balance = [random.uniform(0.8, 1.2), random.uniform(0.8, 1.2), random.uniform(0.8, 1.2)];
  const haze = 255 * (1 - share) * random.uniform(0.3, 0.95);
  const levels = balance.map((own) =>
    Uint8ClampedArray.from({ length: 256 }, (_, level) => Math.trunc(level * own * share + haze + 0.5)),
  );
  const view = new Uint8Array(data.length);
  for (let channel = 0; channel < 3; channel++) {
    const own = levels[channel]!;
    for (let at = channel; at < data.length; at += 3) view[at] = own[data[at]!]!;
  }
  return keepFewBits(view, size, 48 + random.upTo(48));
}

/* eslint-enable @typescript-eslint/no-non-null-assertion */

function pixelsOf({ size, data }: Square): Pixels {
  // Only whole rows are asked for.
  const read: Pixels["read"] = (_left, top, width, height) =>
    data.subarray(top * width * 3, (top + height) * width * 3);
  return { width: size, height: size, channels: 3, read };
}
