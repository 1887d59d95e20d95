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
  const [left, top, right, bottom] = frame(pixels.width, pixels.height, size, resize);
  const seenLeft = Math.max(left, 0);
  const seenTop = Math.max(top, 0);
  const seenWidth = Math.min(right, pixels.width) - seenLeft;
  const seenBottom = Math.min(bottom, pixels.height);
  const across = filter(right - left, size);
  const down = new Down(filter(bottom - top, size), size);
  const { channels } = pixels;
  // The rows as they lie in the frame: black where it reaches beyond the picture.
  const padded = seenWidth < right - left ? new Uint8Array((right - left) * channels) : undefined;
  const shift = (seenLeft - left) * channels;
  const row = new Uint8Array(size * 3);
  down.skip(seenTop - top);
  const rows = Math.max(1, Math.floor(BAND_BYTES / (seenWidth * channels)));
  for (let y = seenTop; y < seenBottom; y += rows) {
    const count = Math.min(rows, seenBottom - y);
    const band = pixels.read(seenLeft, y, seenWidth, count);
    const stride = seenWidth * channels;
    for (let at = 0; at < count; at++) {
      if (padded) {
        padded.set(band.subarray(at * stride, (at + 1) * stride), shift);
        squeezeRow(padded, 0, channels, across, row);
      } else {
        squeezeRow(band, at * stride, channels, across, row);
      }
      down.add(row);
    }
  }
  return down.done();
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

function squeezeRow(
  source: Uint8Array | Uint8ClampedArray,
  start: number,
  channels: number,
  { first, count, weights, widest }: Filter,
  target: Uint8Array,
): void {
  for (let n = 0; n < first.length; n++) {
    let at = start + first[n]! * channels;
    let red = HALF;
    let green = HALF;
    let blue = HALF;
    const end = n * widest + count[n]!;
    for (let place = n * widest; place < end; place++, at += channels) {
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
class Down {
  private y = 0;
  /** Target rows before this one are complete. */
  private active = 0;
  private readonly sums: Int32Array;

  constructor(
    private readonly filter: Filter,
    private readonly size: number,
  ) {
    this.sums = new Int32Array(size * size * 3).fill(HALF);
  }

  /** Pass over black rows. */
  skip(rows: number): void {
    this.y += rows;
  }

  add(row: Uint8Array): void {
    const { first, count, weights, widest } = this.filter;
    const { y, sums } = this;
    while (this.active < this.size && first[this.active]! + count[this.active]! <= y) this.active++;
    for (let n = this.active; n < this.size && first[n]! <= y; n++) {
      const weight = weights[n * widest + y - first[n]!]!;
      // The first of them may end before the last does.
      if (y >= first[n]! + count[n]! || weight === 0) continue;
      const start = n * row.length;
      for (let at = 0; at < row.length; at++) sums[start + at]! += row[at]! * weight;
    }
    this.y = y + 1;
  }

  done(): Uint8Array {
    return Uint8Array.from(this.sums, toByte);
  }
}

/* eslint-enable @typescript-eslint/no-non-null-assertion */

function toByte(sum: number): number {
  const value = sum >> PRECISION;
  return value < 0 ? 0 : value > 255 ? 255 : value;
}
