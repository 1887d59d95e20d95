/** Mirrored and cropped views of a picture, the same as in `spotter/train/views.py`. */

import type { Pixels } from "../resize.js";

export const CROPS: ((picture: Pixels) => Pixels)[] = [
  mirror,
  (picture) => cut(picture, 0.2, 0.3),
  (picture) => mirror(cut(picture, 0.8, 0.7)),
];

/** Three quarters of the shorter side, as a square at (x, y) of what room there is, both in [0, 1]. */
function cut(picture: Pixels, x: number, y: number): Pixels {
  const side = Math.max(1, roundHalfEven(0.75 * Math.min(picture.width, picture.height)));
  const left = roundHalfEven(x * (picture.width - side));
  const top = roundHalfEven(y * (picture.height - side));
  const read: Pixels["read"] = (l, t, width, height) => picture.read(left + l, top + t, width, height);
  return { width: side, height: side, channels: picture.channels, read };
}

function mirror(picture: Pixels): Pixels {
  const { channels } = picture;
  return {
    ...picture,
    read(left, top, width, height) {
      const source = picture.read(picture.width - left - width, top, width, height);
      const target = new Uint8Array(width * height * channels);
      for (let y = 0; y < height; y++) {
        for (let x = 0; x < width; x++) {
          const from = (y * width + width - 1 - x) * channels;
          const to = (y * width + x) * channels;
          for (let channel = 0; channel < channels; channel++) target[to + channel] = source[from + channel] ?? 0;
        }
      }
      return target;
    },
  };
}

/** As Python rounds. */
function roundHalfEven(value: number): number {
  const below = Math.floor(value);
  return value - below === 0.5 ? below + (below % 2) : Math.round(value);
}
