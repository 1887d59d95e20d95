/** Pictures as they are kept: upright bare JPEGs of at most 1024 pixels, as Python's picture sets hold them. */

import { checkSize, decodeToBitmap, readEncoded } from "../decode.js";
import { BadPicture } from "../errors.js";
import { hashOf } from "../files.js";
import { readHeader } from "../header.js";
import { areSame, bareJpeg } from "./bare_jpeg.js";
import type { KeptPicture } from "./types.js";

const MOST_SIDE = 1024;
const QUALITY = 0.95;

/** @throws BadPicture */
export async function preparePicture(file: Blob): Promise<KeptPicture> {
  const bytes = Uint8Array.from(await readEncoded(file));
  const header = readHeader(bytes);
  if (header.width && header.height) checkSize(header.width, header.height);
  const bitmap = await decodeToBitmap(bytes, header);
  try {
    const isKept =
      header.format === "JPEG" && Math.max(bitmap.width, bitmap.height) <= MOST_SIDE && areSame(bareJpeg(bytes), bytes);
    const scale = Math.min(1, MOST_SIDE / Math.max(bitmap.width, bitmap.height));
    const width = Math.max(1, Math.round(bitmap.width * scale));
    const height = Math.max(1, Math.round(bitmap.height * scale));
    const kept = isKept ? bytes : await encode(bitmap, width, height);
    return {
      sha256: await hashOf(kept),
      original_sha256: await hashOf(bytes),
      blob: new Blob([kept], { type: "image/jpeg" }),
      width,
      height,
    };
  } finally {
    bitmap.close();
  }
}

async function encode(bitmap: ImageBitmap, width: number, height: number): Promise<Uint8Array<ArrayBuffer>> {
  const blob = await drawJpeg(bitmap, width, height, QUALITY);
  return bareJpeg(new Uint8Array(await blob.arrayBuffer()));
}

/** A picture, on white, in another size. @throws BadPicture: there is not enough memory. */
export async function drawJpeg(bitmap: ImageBitmap, width: number, height: number, quality: number): Promise<Blob> {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d");
  if (!context) throw new BadPicture("too-large", "There is not enough memory to decode the picture.");
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, width, height);
  return canvas.convertToBlob({ type: "image/jpeg", quality });
}
