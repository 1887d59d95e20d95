/**
 * Cuts out the part of a picture that the network sees and scales it, to the bit as Pillow 12 does in Python: a
 * triangle filter that is widened when shrinking, across first and then down, each rounded to bytes, in fixed point.
 */

const PRECISION = 32 - 8 - 2;
const HALF = 1 << (PRECISION - 1);
/** About so many bytes of a picture are read at a time. */
const BAND_BYTES = 1 << 21;

/** The pixels of a decoded picture, which are read in bands of rows. */
export interface Pixels {
  width: number;
  height: number;
  /** 3 for RGB, 4 for RGB and a byte that does not count. */
  channels: 3 | 4;
  /** The bytes of a part that lies in the picture. They may be overwritten by the next call. */
  read(left: number, top: number, width: number, height: number): Uint8Array | Uint8ClampedArray;
}

export type Box = [left: number, top: number, right: number, bottom: number];

/** Where a network that reads squares of `size` pixels looks at a picture: as `frame` in `spotter/images.py`. */
export function frame(width: number, height: number, size: number, resize: string): Box {
  if (resize === "squish") return [0, 0, width, height];
  // The same floating-point steps as there: the side may be one pixel less than the picture's.
  const scale = (resize === "pad" ? Math.max : Math.min)(width / size, height / size);
  const side = Math.trunc(scale * size);
  const left = Math.trunc(0.5 * (width - side));
  const top = Math.trunc(0.5 * (height - side));
  return [left, top, left + side, top + side];
}

/** The square that the network sees: size * size * 3 bytes, RGB. Padding is black. */
export function toSquare(pixels: Pixels, size: number, resize: string): Uint8Array {
  const box = frame(pixels.width, pixels.height, size, resize);
  const [left, top, right, bottom] = box;
  const across = filter(right - left, size);
  const down = filter(bottom - top, size);
  // Very tall pictures are shrunk down first. Pillow does so, and rounding then differs.
  if (bottom - top > (right - left) * 100 && size < bottom - top) {
    const narrow = new Sums(down, (right - left) * 3);
    eachRow(pixels, box, (y, row) => {
      narrow.add(y, row);
    });
    return squeeze(narrow.done(), across, size);
  }
  const sums = new Sums(down, size * 3);
  const squeezed = new Uint8Array(size * 3);
  eachRow(pixels, box, (y, row) => {
    squeezeRow(row, across, squeezed);
    sums.add(y, squeezed);
  });
  return sums.done();
}

/** Hands out the rows of a box that lie in the picture, RGB, from the top; y counts from the box's. */
function eachRow(pixels: Pixels, [left, top, right, bottom]: Box, take: (y: number, row: Uint8Array) => void): void {
  const seenLeft = Math.max(left, 0);
  const seenTop = Math.max(top, 0);
  const width = Math.min(right, pixels.width) - seenLeft;
  const end = Math.min(bottom, pixels.height);
  const { channels } = pixels;
  const rows = Math.max(1, Math.floor(BAND_BYTES / (width * channels)));
  // Where the box reaches beyond the picture, it stays black.
  const row = new Uint8Array((right - left) * 3);
  const seen = row.subarray((seenLeft - left) * 3, (seenLeft - left + width) * 3);
  for (let y = seenTop; y < end; y += rows) {
    const count = Math.min(rows, end - y);
    const band = pixels.read(seenLeft, y, width, count);
    for (let number = 0; number < count; number++) {
      copyRow(band, number * width * channels, channels, seen);
      take(y + number - top, row);
    }
  }
}

/** Which source pixels make each target pixel, and with which weights in fixed point. */
interface Filter {
  first: Int32Array;
  count: Int32Array;
  /** The weights of the target pixel n begin at n * widest. */
  weights: Int32Array;
  widest: number;
}

function filter(source: number, target: number): Filter {
  const scale = source / target;
  const support = Math.max(scale, 1);
  const widest = Math.ceil(support) * 2 + 1;
  const first = new Int32Array(target);
  const count = new Int32Array(target);
  const weights = new Int32Array(target * widest);
  const shares = new Float64Array(widest);
  for (let n = 0; n < target; n++) {
    const centre = (n + 0.5) * scale;
    const start = Math.max(Math.trunc(centre - support + 0.5), 0);
    const length = Math.min(Math.trunc(centre + support + 0.5), source) - start;
    let total = 0;
    for (let at = 0; at < length; at++) {
      const distance = Math.abs((at + start - centre + 0.5) * (1 / support));
      const share = distance < 1 ? 1 - distance : 0;
      shares[at] = share;
      total += share;
    }
    first[n] = start;
    count[n] = length;
    for (let at = 0; at < length; at++) {
      const share = total === 0 ? 0 : (shares[at] ?? 0) / total;
      weights[n * widest + at] = Math.trunc(0.5 + share * (1 << PRECISION));
    }
  }
  return { first, count, weights, widest };
}

/* The loops below run for every byte of a picture: "!" where an index is known to be inside. */
/* eslint-disable @typescript-eslint/no-non-null-assertion */

function copyRow(band: Uint8Array | Uint8ClampedArray, start: number, channels: number, row: Uint8Array): void {
  if (channels === 3) {
    row.set(band.subarray(start, start + row.length));
    return;
  }
  for (let from = start, to = 0; to < row.length; from += channels, to += 3) {
    row[to] = band[from]!;
    row[to + 1] = band[from + 1]!;
    row[to + 2] = band[from + 2]!;
  }
}

function squeezeRow(source: Uint8Array, { first, count, weights, widest }: Filter, target: Uint8Array): void {
  for (let n = 0; n < first.length; n++) {
    let at = first[n]! * 3;
    let red = HALF;
    let green = HALF;
    let blue = HALF;
    const end = n * widest + count[n]!;
    for (let place = n * widest; place < end; place++, at += 3) {
      const weight = weights[place]!;
      red += source[at]! * weight;
      green += source[at + 1]! * weight;
      blue += source[at + 2]! * weight;
    }
    target[n * 3] = toByte(red);
    target[n * 3 + 1] = toByte(green);
    target[n * 3 + 2] = toByte(blue);
  }
}

/** Adds rows up as they come, so that only sums are kept, however tall the picture is. */
class Sums {
  /** Target rows before this one are complete. */
  private active = 0;
  private readonly sums: Int32Array;

  constructor(
    private readonly filter: Filter,
    private readonly length: number,
  ) {
    this.sums = new Int32Array(filter.first.length * length).fill(HALF);
  }

  /** Add the row y of the source; rows come from the top, and those that do not come are black. */
  add(y: number, row: Uint8Array): void {
    const { first, count, weights, widest } = this.filter;
    const { sums, length } = this;
    while (this.active < first.length && first[this.active]! + count[this.active]! <= y) this.active++;
    for (let n = this.active; n < first.length && first[n]! <= y; n++) {
      const weight = weights[n * widest + y - first[n]!]!;
      const start = n * length;
      for (let at = 0; at < length; at++) sums[start + at]! += row[at]! * weight;
    }
  }

  done(): Uint8Array {
    // Not with `Uint8Array.from`, which takes five times as long.
    const bytes = new Uint8Array(this.sums.length);
    for (let at = 0; at < bytes.length; at++) bytes[at] = toByte(this.sums[at]!);
    return bytes;
  }
}

/* eslint-enable @typescript-eslint/no-non-null-assertion */

function squeeze(rows: Uint8Array, across: Filter, size: number): Uint8Array {
  const length = rows.length / size;
  const square = new Uint8Array(size * size * 3);
  for (let y = 0; y < size; y++) {
    squeezeRow(rows.subarray(y * length, (y + 1) * length), across, square.subarray(y * size * 3, (y + 1) * size * 3));
  }
  return square;
}

function toByte(sum: number): number {
  const value = sum >> PRECISION;
  return value < 0 ? 0 : value > 255 ? 255 : value;
}
