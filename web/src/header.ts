/**
 * What the first bytes of an encoded picture say, so that one which is too large is refused before anything is decoded.
 * What counts as a picture is as in `spotter/image_files.py`.
 */

import { BadPicture } from "./errors.js";

export type Format = "JPEG" | "PNG" | "WEBP" | "GIF" | "BMP" | "AVIF";

export const FORMATS: readonly Format[] = ["JPEG", "PNG", "WEBP", "GIF", "BMP", "AVIF"];

export interface Header {
  format: Format;
  /** Pixels, before any turning. */
  width: number;
  height: number;
  /** Whether pixels may be half transparent. Those of a GIF are not there, or whole. */
  hasAlpha: boolean;
  /** Where the first scan of a JPEG begins, or the first frame of a GIF. */
  pixelsAt?: number;
}

type Size = Pick<Header, "width" | "height">;

/**
 * Find the format and the size of an encoded picture.
 *
 * @throws BadPicture: it is none that we know, or there is no picture in it.
 */
export function readHeader(bytes: Uint8Array): Header {
  const data = new Reader(bytes);
  try {
    if (data.startsWith([0xff, 0xd8, 0xff])) return readJpeg(data);
    if (data.startsWith([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])) return readPng(data);
    if (["GIF87a", "GIF89a"].includes(data.text(0, 6))) return readGif(data);
    if (data.text(0, 4) === "RIFF" && data.text(8, 4) === "WEBP") return readWebp(data);
    if (data.text(0, 2) === "BM") return readBmp(data);
    if (data.text(4, 4) === "ftyp" && hasAvifBrand(data)) return readAvif(data);
  } catch (error) {
    // It ends within what should be its header.
    if (error instanceof RangeError) throw damaged();
    throw error;
  }
  throw new BadPicture("not-a-picture", `This is not a picture we can read (${FORMATS.join(", ")}).`);
}

/** What to throw for a picture whose pixels are not whole. */
export function damaged(message = "The picture is damaged or cut short and cannot be decoded."): BadPicture {
  return new BadPicture("corrupt", message);
}

function nothingInIt(name: string): BadPicture {
  return new BadPicture("not-a-picture", `The file begins like a ${name}, but there is no picture in it.`);
}

/** Numbers and texts at places of a file. A number past the end is a RangeError. */
class Reader {
  private readonly view: DataView;

  constructor(readonly bytes: Uint8Array) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get length(): number {
    return this.bytes.length;
  }

  startsWith(wanted: number[]): boolean {
    return wanted.every((byte, at) => this.bytes[at] === byte);
  }

  text(at: number, length: number): string {
    return String.fromCharCode(...this.bytes.subarray(at, at + length));
  }

  byte(at: number): number {
    return this.view.getUint8(at);
  }

  short(at: number, little = false): number {
    return this.view.getUint16(at, little);
  }

  long(at: number, little = false): number {
    return this.view.getUint32(at, little);
  }

  signed(at: number): number {
    return this.view.getInt32(at, true);
  }

  triple(at: number): number {
    return this.byte(at) | (this.byte(at + 1) << 8) | (this.byte(at + 2) << 16);
  }
}

function readJpeg(data: Reader): Header {
  let at = 2;
  let size: Size | undefined;
  for (;;) {
    // Decoders skip junk between the segments, too.
    at = data.bytes.indexOf(0xff, at);
    while (at >= 0 && data.bytes[at] === 0xff) at++;
    const marker = data.bytes[at];
    if (at < 0 || marker === undefined || at + 3 > data.length) throw nothingInIt("JPEG");
    at++;
    if (marker === 0x00 || marker === 0x01 || (marker >= 0xd0 && marker <= 0xd7)) continue;
    const length = data.short(at);
    if (marker === 0xd8 || marker === 0xd9 || length < 2 || at + length > data.length) throw nothingInIt("JPEG");
    if (marker === 0xda) {
      if (!size) throw nothingInIt("JPEG");
      return { format: "JPEG", ...size, hasAlpha: false, pixelsAt: at };
    }
    // A frame's header; the other three of C0 to CF are tables.
    if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)) {
      size ??= { height: data.short(at + 3), width: data.short(at + 5) };
    }
    at += length;
  }
}

function readPng(data: Reader): Header {
  const isWhole = data.length >= 33 && data.long(8) === 13 && data.text(12, 4) === "IHDR";
  if (!isWhole || checksum(data.bytes.subarray(12, 29)) !== data.long(29)) throw nothingInIt("PNG");
  return { format: "PNG", width: data.long(16), height: data.long(20), hasAlpha: hasPngAlpha(data) };
}

/** By the type of its colours, or by a chunk with the transparency of some of them. */
function hasPngAlpha(data: Reader): boolean {
  if (data.byte(25) & 4) return true;
  for (let at = 33; at + 8 <= data.length; at += 12 + data.long(at)) {
    const name = data.text(at + 4, 4);
    if (name === "tRNS" || name === "IDAT") return name === "tRNS";
  }
  return false;
}

/** CRC-32, bit by bit: it is for a few bytes. */
export function checksum(bytes: Uint8Array): number {
  let found = 0xffffffff;
  for (const byte of bytes) {
    found ^= byte;
    for (let bit = 0; bit < 8; bit++) found = (found >>> 1) ^ (found & 1 ? 0xedb88320 : 0);
  }
  return ~found >>> 0;
}

function readGif(data: Reader): Header {
  if (data.length < 13) throw nothingInIt("GIF");
  const colors = (flags: number): number => (flags & 0x80 ? 3 * (2 << (flags & 7)) : 0);
  let at = 13 + colors(data.byte(10));
  while (at < data.length && data.byte(at) !== 0x3b) {
    const kind = data.byte(at);
    if (kind === 0x21) {
      at += 2;
      while (at < data.length && data.byte(at)) at += 1 + data.byte(at);
      at++;
    } else if (kind === 0x2c && at + 10 <= data.length) {
      if (at + 10 + colors(data.byte(at + 9)) >= data.length) break;
      const [left, top, width, height] = [1, 3, 5, 7].map((offset) => data.short(at + offset, true));
      // A picture may reach beyond the canvas that the file names, and is shown whole.
      return {
        format: "GIF",
        width: Math.max(data.short(6, true), (left ?? 0) + (width ?? 0)),
        height: Math.max(data.short(8, true), (top ?? 0) + (height ?? 0)),
        hasAlpha: false,
        pixelsAt: at,
      };
    } else {
      at++;
    }
  }
  throw nothingInIt("GIF");
}

function readWebp(data: Reader): Header {
  const end = Math.min(data.length, 8 + data.long(4, true));
  let canvas: Size | undefined;
  let hasAlpha = false;
  for (let at = 12; at + 8 <= end;) {
    const name = data.text(at, 4);
    const length = data.long(at + 4, true);
    const body = at + 8;
    if (["VP8X", "VP8 ", "VP8L", "ALPH", "ANMF"].includes(name) && body + length > end) throw damaged();
    // Also where it is there and not announced, and whatever the frames of an animation have.
    hasAlpha ||= name === "ALPH" || name === "ANMF" || (name === "VP8X" && (data.byte(body) & 0x10) > 0);
    if (name === "VP8L") hasAlpha ||= (data.byte(body + 4) & 0x10) > 0;
    if (name === "VP8X") canvas = { width: data.triple(body + 4) + 1, height: data.triple(body + 7) + 1 };
    const size = sizeOfWebp(data, name, body);
    if (size) return { format: "WEBP", ...(canvas ?? size), hasAlpha };
    at = body + length + (length % 2);
  }
  throw nothingInIt("WebP");
}

/** The size of the picture in a chunk, if there is one in it. */
function sizeOfWebp(data: Reader, name: string, body: number): Size | undefined {
  if (name === "VP8 ")
    return { width: data.short(body + 6, true) & 0x3fff, height: data.short(body + 8, true) & 0x3fff };
  if (name === "ANMF") return { width: data.triple(body + 6) + 1, height: data.triple(body + 9) + 1 };
  if (name !== "VP8L") return undefined;
  const bits = data.long(body + 1, true);
  return { width: (bits & 0x3fff) + 1, height: ((bits >>> 14) & 0x3fff) + 1 };
}

function readBmp(data: Reader): Header {
  const size = data.long(14, true);
  const [width, height] =
    size === 12 ? [data.short(18, true), data.short(20, true)] : [data.signed(18), Math.abs(data.signed(22))];
  if (width <= 0 || height <= 0 || width > 65_535 || height > 65_535) throw damaged();
  return { format: "BMP", width, height, hasAlpha: size !== 12 && [16, 32].includes(data.short(28, true)) };
}

/** Whether a container is one of AVIF, by the brand that stands first or by any of the others. */
function hasAvifBrand(data: Reader): boolean {
  if (["mif1", "msf1"].includes(data.text(8, 4))) return true;
  const end = Math.min(data.long(0), data.length);
  for (let at = 8; at < end; at += 4) {
    if (at !== 12 && ["avif", "avis"].includes(data.text(at, 4))) return true;
  }
  return false;
}

/** The largest size that any part of it names: which one is shown, only the decoder can tell. */
function readAvif(data: Reader): Header {
  const found: Header = { format: "AVIF", width: 0, height: 0, hasAlpha: false };
  // What a box holds before the boxes in it.
  const inside: Record<string, number> = { meta: 4, iprp: 0, ipco: 0 };
  const walk = (from: number, end: number): void => {
    for (let at = from; at + 8 <= end;) {
      let length = data.long(at);
      let start = at + 8;
      if (length === 1 && at + 16 <= end) {
        length = data.long(at + 8) * 2 ** 32 + data.long(at + 12);
        start = at + 16;
      }
      const last = length === 0 ? end : Math.min(at + length, end);
      if (last <= start) return;
      const name = data.text(at + 4, 4);
      const skipped = inside[name];
      // Another picture, with the alpha of one; or films, which may have it.
      if (name === "auxC" || name === "moov") found.hasAlpha = true;
      if (name === "ispe" && start + 12 <= last) {
        const [width, height] = [data.long(start + 4), data.long(start + 8)];
        if (width * height > found.width * found.height) Object.assign(found, { width, height });
      } else if (skipped !== undefined) {
        walk(start + skipped, last);
      }
      at = last;
    }
  };
  walk(0, data.length);
  if (!found.width) throw nothingInIt("AVIF");
  return found;
}
