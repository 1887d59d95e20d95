/**
 * Pixels of decoded pictures on white, rounded as Pillow does. Browsers round in their own ways where a picture is half
 * transparent, so there one is taken whose bytes are right here.
 */

import { BadPicture } from "./errors.js";
import type { Pixels } from "./resize.js";
import type { RawPicture } from "./types.js";

/** How the pixels of a bitmap are read, which it may close. */
export type Reader = (bitmap: ImageBitmap) => Pixels | Promise<Pixels>;

/** How pictures are decoded here: upright, and their colours as they are stored. */
export const AS_STORED: ImageBitmapOptions = { colorSpaceConversion: "none", imageOrientation: "from-image" };
/** For pictures that may be half transparent: a browser rounds their colours when it multiplies them by their alpha. */
export const WITH_ALPHA: ImageBitmapOptions = { ...AS_STORED, premultiplyAlpha: "none" };

/** A PNG of 5 x 3 pixels with an orientation of 6. Its bytes are those of `probeByte`, and all its alphas differ. */
const PROBE =
  "iVBORw0KGgoAAAANSUhEUgAAAAUAAAADCAYAAABbNsX4AAAAFmVYSWZJSSoACAAAAAEAEgEDAAEAAAAGAAAAt0rjhAAAAEpJREFUeNoBPwDA/wAHChMiN" +
  "1Jzmsf6M3K3AlOqB2rTQgC3MrM6x1rzkjfik0oHypNiNxLz2gDHurOyt8LT6gcqU4K38jN6xxpz0kZ8HWs4UGsiAAAAAElFTkSuQmCC";
const PROBE_WIDTH = 5;
const PROBE_HEIGHT = 3;

let exact: Promise<Reader> | undefined;

/** The way of this browser that gives Pillow's bytes for half transparent pictures; if none does, its canvas. */
export function exactReader(): Promise<Reader> {
  exact ??= findExact();
  return exact;
}

async function findExact(): Promise<Reader> {
  for (const reader of [readBitmap, readFrame]) {
    if (await isExact(reader)) return reader;
  }
  return readBitmap;
}

async function isExact(reader: Reader): Promise<boolean> {
  const png = Uint8Array.from(atob(PROBE), (letter) => letter.charCodeAt(0));
  try {
    const bitmap = await createImageBitmap(new Blob([png], { type: "image/png" }), WITH_ALPHA);
    const pixels = await reader(bitmap);
    const { width, height, channels } = pixels;
    const seen = pixels.read(0, 0, width, height);
    bitmap.close();
    return width === PROBE_HEIGHT && probeOnWhite().every((byte, at) => byte === seen[Math.floor(at / 3) * channels + (at % 3)]);
  } catch {
    // A browser that has no such way, or not all of it.
    return false;
  }
}

/** RGB of the probe, upright. */
function probeOnWhite(): Uint8Array {
  const stored = Uint8Array.from({ length: PROBE_WIDTH * PROBE_HEIGHT * 4 }, (_, at) => {
    const pixel = at >> 2;
    const x = pixel % PROBE_HEIGHT;
    const y = Math.floor(pixel / PROBE_HEIGHT);
    return probeByte(((PROBE_HEIGHT - 1 - x) * PROBE_WIDTH + y) * 4 + (at % 4));
  });
  const found = new Uint8Array(PROBE_WIDTH * PROBE_HEIGHT * 3);
  layOnWhite(stored, found);
  return found;
}

function probeByte(at: number): number {
  return (3 * at * at + 7) % 256;
}

/** By a canvas: exact for all that is not half transparent, and in Chromium for that too. */
export function readBitmap(bitmap: ImageBitmap): Pixels {
  // Only as large as what is read at a time: a canvas of the whole picture would take as much again.
  let canvas: OffscreenCanvas | undefined;
  let context: OffscreenCanvasRenderingContext2D | null = null;
  return {
    width: bitmap.width,
    height: bitmap.height,
    channels: 4,
    read(left, top, width, height) {
      if (canvas?.width !== width || canvas.height < height) {
        canvas = new OffscreenCanvas(width, height);
        context = canvas.getContext("2d", { willReadFrequently: true, colorSpace: "srgb" });
      }
      if (!context) throw new BadPicture("too-large", "There is not enough memory to decode the picture.");
      context.fillStyle = "white";
      context.fillRect(0, 0, width, height);
      context.drawImage(bitmap, left, top, width, height, 0, 0, width, height);
      return context.getImageData(0, 0, width, height).data;
    },
  };
}

/**
 * By a frame of a film, which in Firefox has the bytes as they are stored. They come all at once: Firefox copies the
 * whole frame for each part of it.
 */
async function readFrame(bitmap: ImageBitmap): Promise<Pixels> {
  const { width, height } = bitmap;
  const frame = new VideoFrame(bitmap, { timestamp: 0 });
  try {
    const data = new Uint8Array(width * height * 4);
    await frame.copyTo(data, { format: "RGBA" });
    // It takes as much again.
    bitmap.close();
    return pixelsOf({ data, width, height });
  } finally {
    frame.close();
  }
}

/** Raw pixels of 3 or 4 channels; what is transparent is laid on white. */
export function pixelsOf({ data, width, height }: RawPicture): Pixels {
  const channels = data.length / (width * height);
  return {
    width,
    height,
    channels: 3,
    read(left, top, wide, high) {
      const part = new Uint8Array(wide * high * 3);
      for (let y = 0; y < high; y++) {
        const start = ((top + y) * width + left) * channels;
        const row = data.subarray(start, start + wide * channels);
        if (channels === 3) part.set(row, y * wide * 3);
        else layOnWhite(row, part.subarray(y * wide * 3, (y + 1) * wide * 3));
      }
      return part;
    },
  };
}

function layOnWhite(source: Uint8Array | Uint8ClampedArray, target: Uint8Array): void {
  for (let from = 0, to = 0; from < source.length; from += 4, to += 3) {
    const alpha = source[from + 3] ?? 255;
    for (let channel = 0; channel < 3; channel++) {
      const mixed = 128 * ((source[from + channel] ?? 0) * alpha + 255 * (255 - alpha)) + (128 << 7);
      target[to + channel] = (((mixed >> 8) + mixed) >> 8) >> 7;
    }
  }
}
