/** Bitmaps (BMP) whose alpha is zero everywhere: browsers show them as invisible, but nobody means that. */

/** The same bitmap without its alpha where that is zero everywhere; otherwise the bitmap itself. */
export function withoutEmptyAlpha(bytes: Uint8Array): Uint8Array<ArrayBuffer> | Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const long = (at: number): number => (at + 4 <= bytes.length ? view.getUint32(at, true) : 0);
  const size = long(14);
  const compression = long(30);
  const bits = long(26) >>> 16;
  const hasMasks = compression === 3 || compression === 6;
  // Where the mask of alpha stands: in the longer headers, or behind the shortest one.
  const place = size >= (hasMasks ? 56 : 108) ? 14 + 52 : compression === 6 && size === 40 ? 14 + size + 12 : 0;
  const mask = place ? long(place) : 0;
  const start = long(10);
  if (![16, 32].includes(bits) || !mask || !start) return bytes;
  for (let at = start; at + bits / 8 <= bytes.length; at += bits / 8) {
    if ((bits === 32 ? view.getUint32(at, true) : view.getUint16(at, true)) & mask) return bytes;
  }
  const changed = Uint8Array.from(bytes);
  changed.fill(0, place, place + 4);
  return changed;
}
