/** Thins a burst of the camera: of frames that look alike, one is kept. */

const SIDE = 16;
// The mean difference of two frames' colours, of 255, from which on they count as different: more than the noise of a
// camera that stands still, and less than a hand that moves makes several times a second.
const DIFFERENT = 2;

/** Frames of one burst. */
export class Burst {
  readonly #kept: Uint8ClampedArray[] = [];
  readonly #canvas = new OffscreenCanvas(SIDE, SIDE);

  /** Whether a frame looks different from all that were kept before; then it counts as kept. */
  isNew(frame: HTMLVideoElement | ImageBitmap): boolean {
    const look = this.#lookOf(frame);
    if (this.#kept.some((other) => difference(look, other) < DIFFERENT)) return false;
    this.#kept.push(look);
    return true;
  }

  #lookOf(frame: HTMLVideoElement | ImageBitmap): Uint8ClampedArray {
    const context = this.#canvas.getContext("2d", { willReadFrequently: true });
    if (!context) throw new Error("The browser has no canvas.");
    context.imageSmoothingQuality = "high";
    context.drawImage(frame, 0, 0, SIDE, SIDE);
    return context.getImageData(0, 0, SIDE, SIDE).data;
  }
}

/** The mean absolute difference of two pictures' bytes; both RGBA, opaque. */
export function difference(one: Uint8ClampedArray, other: Uint8ClampedArray): number {
  let sum = 0;
  for (let place = 0; place < one.length; place += 1) sum += Math.abs((one[place] ?? 0) - (other[place] ?? 0));
  // The fourth of each four is the same in both.
  return sum / (0.75 * one.length);
}
