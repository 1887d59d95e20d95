/** What of a JPEG makes its pixels, as `spotter/image_files.py` finds it: no EXIF, no profile, no comment. */

import { damaged } from "../header.js";

const [TEM, FIRST_RESTART, LAST_RESTART, START, END, SCAN, COMMENT] = [0x01, 0xd0, 0xd7, 0xd8, 0xd9, 0xda, 0xfe];
const [APP0, APP14, APP15] = [0xe0, 0xee, 0xef];
/** How much of a JFIF and of an Adobe segment counts. */
const JFIF_BYTES = 14;
const ADOBE_BYTES = 12;

/** The same bytes if there is nothing else in it. @throws BadPicture: it is cut short. */
export function bareJpeg(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const parts = [bytes.subarray(0, 2)];
  let at = 2;
  for (;;) {
    // Decoders skip junk between the segments.
    at = bytes.indexOf(0xff, at);
    while (at >= 0 && bytes[at] === 0xff) at++;
    const marker = bytes[at];
    if (at < 0 || marker === undefined || at + 3 > bytes.length) throw damaged();
    at++;
    if (marker === 0 || marker === TEM || (marker >= FIRST_RESTART && marker <= LAST_RESTART)) continue;
    const length = ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
    if (marker === START || marker === END || length < 2 || at + length > bytes.length) throw damaged();
    if (marker === SCAN) {
      parts.push(bytes.subarray(at - 2));
      return join(parts);
    }
    const body = bytes.subarray(at + 2, at + length);
    if (marker === APP0 && begins(body, "JFIF\0") && body.length >= JFIF_BYTES) {
      parts.push(Uint8Array.of(0xff, APP0, 0, JFIF_BYTES + 2), body.subarray(0, JFIF_BYTES));
    } else if (marker === APP14 && begins(body, "Adobe") && body.length >= ADOBE_BYTES) {
      parts.push(Uint8Array.of(0xff, APP14, 0, ADOBE_BYTES + 2), body.subarray(0, ADOBE_BYTES));
    } else if (marker !== COMMENT && !(marker >= APP0 && marker <= APP15)) {
      parts.push(bytes.subarray(at - 2, at + length));
    }
    at += length;
  }
}

export function areSame(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && one.every((byte, at) => byte === other[at]);
}

function begins(body: Uint8Array, text: string): boolean {
  return Array.from(text).every((character, at) => body[at] === character.charCodeAt(0));
}

function join(parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
