/**
 * From what somebody gives to pixels that can be read: what is too large or no picture is refused by its header, as in
 * `spotter/images.py`; the browser decodes.
 */

import { withoutEmptyAlpha } from "./bitmap_alpha.js";
import { BadPicture } from "./errors.js";
import { damaged, readHeader, type Header } from "./header.js";
import { AS_STORED, exactReader, pixelsOf, readBitmap, WITH_ALPHA } from "./on_white.js";
import type { Pixels } from "./resize.js";
import type { LoadOptions, Picture, RawPicture } from "./types.js";
import { isWhole } from "./whole.js";

/** As `PictureConfig` in Python. */
export const MOST_PIXELS = 50_000_000;
export const LEAST_SIDE = 2;
/** Four bytes a pixel, and something for the header. */
const MOST_BYTES = 4 * MOST_PIXELS + 1_000_000;

/** Pixels, and how to give back what they take. */
export interface Decoded {
  pixels: Pixels;
  close(): void;
}

/**
 * Decode a picture as a browser shows it on a white page: upright, the first frame only, without colour profiles.
 *
 * @throws BadPicture: it is empty, none that we know, too large, too small, or damaged.
 */
export async function decodePicture(picture: Picture, decode?: LoadOptions["decode"]): Promise<Decoded> {
  if (isBitmap(picture)) {
    checkSize(picture.width, picture.height);
    return { pixels: readBitmap(picture), close: () => undefined };
  }
  if (isRaw(picture)) return { pixels: readRaw(picture), close: () => undefined };
  const bytes = await readEncoded(picture);
  const header = readHeader(bytes);
  checkSize(header.width, header.height);
  if (decode) return { pixels: readRaw(await decoded(bytes, decode)), close: () => undefined };
  if (typeof createImageBitmap === "function" && typeof OffscreenCanvas === "function") {
    return decodeInBrowser(bytes, header);
  }
  const { decodeInNode } = await import("./node_decode.js");
  return { pixels: readRaw(await decodeInNode(bytes, header)), close: () => undefined };
}

export async function readEncoded(picture: Blob | ArrayBuffer | Uint8Array): Promise<Uint8Array> {
  const size = picture instanceof Blob ? picture.size : picture.byteLength;
  if (size === 0) throw new BadPicture("empty", "The picture is empty (0 bytes).");
  if (size > MOST_BYTES) throw tooLarge();
  if (picture instanceof Uint8Array) return picture;
  try {
    return new Uint8Array(picture instanceof Blob ? await picture.arrayBuffer() : picture);
  } catch (error) {
    throw new BadPicture("failed", `The picture's file cannot be read (${reasonOf(error)}).`);
  }
}

async function decoded(bytes: Uint8Array, decode: NonNullable<LoadOptions["decode"]>): Promise<RawPicture> {
  try {
    return await decode(bytes);
  } catch (error) {
    if (error instanceof BadPicture) throw error;
    throw damaged(`The picture is damaged or cut short and cannot be decoded (${reasonOf(error)}).`);
  }
}

/** @throws BadPicture: it is damaged or cut short, too large or too small. */
export async function decodeToBitmap(bytes: Uint8Array, header: Header, options = AS_STORED): Promise<ImageBitmap> {
  if (!isWhole(bytes, header)) throw damaged();
  const content = header.format === "BMP" ? withoutEmptyAlpha(bytes) : bytes;
  const blob = new Blob([content as Uint8Array<ArrayBuffer>], { type: `image/${header.format.toLowerCase()}` });
  let bitmap: ImageBitmap;
  try {
    bitmap = await createImageBitmap(blob, options);
  } catch (error) {
    if (error instanceof RangeError) {
      throw new BadPicture("too-large", "There is not enough memory to decode the picture.");
    }
    throw damaged();
  }
  try {
    checkSize(bitmap.width, bitmap.height);
    return bitmap;
  } catch (error) {
    bitmap.close();
    throw error;
  }
}

async function decodeInBrowser(bytes: Uint8Array, header: Header): Promise<Decoded> {
  const bitmap = await decodeToBitmap(bytes, header, header.hasAlpha ? WITH_ALPHA : AS_STORED);
  const close = (): void => {
    bitmap.close();
  };
  if (!header.hasAlpha) return { pixels: readBitmap(bitmap), close };
  const read = await exactReader();
  try {
    return { pixels: await read(bitmap), close };
  } catch {
    // There may be too little memory to take it as a whole; a canvas takes it in parts.
    return { pixels: readBitmap(bitmap), close };
  }
}

function isBitmap(picture: Picture): picture is ImageBitmap {
  return typeof ImageBitmap !== "undefined" && picture instanceof ImageBitmap;
}

function isRaw(picture: Exclude<Picture, ImageBitmap>): picture is RawPicture {
  return "data" in picture && "width" in picture;
}

/** @throws BadPicture: they are none, too large or too small. */
function readRaw(raw: RawPicture): Pixels {
  const { data, width, height } = raw;
  const isWhole = Number.isInteger(width) && Number.isInteger(height) && width > 0 && height > 0;
  const channels = data.length / (width * height);
  if (!isWhole || (channels !== 3 && channels !== 4)) {
    throw new BadPicture("failed", "Raw pixels need width * height * 3 or 4 bytes.");
  }
  checkSize(width, height);
  return pixelsOf(raw);
}

export function checkSize(width: number, height: number): void {
  if (width * height > MOST_PIXELS) throw tooLarge();
  if (Math.min(width, height) < LEAST_SIDE) {
    throw new BadPicture("too-small", `The picture is only ${width} x ${height} pixels.`);
  }
}

function tooLarge(): BadPicture {
  return new BadPicture("too-large", `The picture has more than ${MOST_PIXELS / 1_000_000} million pixels.`);
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
