/**
 * Whether a picture goes on to its end. Some browsers show what there is of one that was cut short, and that would be
 * answered like a whole one. WebP and AVIF tell by themselves, and every browser refuses a part of them.
 */

import type { Header } from "./header.js";

/** Whether all of the pixels of its first frame can be there. */
export function isWhole(bytes: Uint8Array, { format, pixelsAt = 0 }: Header): boolean {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (format === "JPEG") return isWholeJpeg(bytes, pixelsAt);
  if (format === "PNG") return isWholePng(view);
  if (format === "GIF") return isWholeGif(bytes, pixelsAt);
  return format !== "BMP" || isWholeBmp(view);
}

/** It has its end mark. */
function isWholeJpeg(bytes: Uint8Array, scan: number): boolean {
  for (let at = bytes.indexOf(0xff, scan); at >= 0; at = bytes.indexOf(0xff, at + 1)) {
    if (bytes[at + 1] === 0xd9) return true;
  }
  return false;
}

/** No chunk of pixels is cut. What stands behind them may be missing. */
function isWholePng(view: DataView): boolean {
  const pixels = 0x49444154;
  let isThere = false;
  for (let at = 8; at + 8 <= view.byteLength; at += 12 + view.getUint32(at)) {
    if (view.getUint32(at + 4) === pixels) isThere = at + 8 + view.getUint32(at) <= view.byteLength;
  }
  return isThere;
}

/** The blocks of the first frame end with an empty one. */
function isWholeGif(bytes: Uint8Array, frame: number): boolean {
  const flags = bytes[frame + 9] ?? 0;
  let at = frame + 11 + (flags & 0x80 ? 3 * (2 << (flags & 7)) : 0);
  for (let length = bytes[at]; length; length = bytes[at]) at += 1 + length;
  return at < bytes.length;
}

/** It has as many bytes as its rows take; of packed rows that is not known. */
function isWholeBmp(view: DataView): boolean {
  if (view.byteLength < 34) return false;
  const isOld = view.getUint32(14, true) === 12;
  const [width, height] = isOld
    ? [view.getUint16(18, true), view.getUint16(20, true)]
    : [view.getInt32(18, true), Math.abs(view.getInt32(22, true))];
  const bits = width * view.getUint16(isOld ? 24 : 28, true);
  const packing = isOld ? 0 : view.getUint32(30, true);
  if ([1, 2, 4, 5].includes(packing)) return true;
  // The last row needs nothing that fills it up.
  const needed = 4 * Math.ceil(bits / 32) * (height - 1) + Math.ceil(bits / 8);
  return view.byteLength >= view.getUint32(10, true) + needed;
}
