/** The camera, which is open in one place of the page at a time. */

import { closeCamera, openCamera } from "../../page/camera.js";

export class CameraDesk {
  #stream: MediaStream | undefined;
  #video: HTMLVideoElement | undefined;
  #released: (() => void) | undefined;
  // Grows when it is wanted elsewhere, or off: who waits for the visitor's leave by then gets none.
  #turn = 0;
  // Where it is wanted last.
  #place: HTMLVideoElement | undefined;

  constructor() {
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) this.#close();
    });
    addEventListener("pagehide", () => {
      this.stop();
    });
  }

  /**
   * Show it in a video.
   *
   * @param released called when it goes elsewhere, or off. @returns whether it is shown: it may be wanted elsewhere by
   * the time that the visitor allows it. @throws DOMException
   */
  async show(video: HTMLVideoElement, released: () => void): Promise<boolean> {
    const turn = ++this.#turn;
    this.#place = video;
    const before = this.#stream;
    this.#leave();
    if (before?.active && this.#video) {
      this.#video.srcObject = null;
      video.srcObject = before;
      await video.play();
    } else {
      const stream = await openCamera(video, () => turn === this.#turn && !document.hidden);
      if (!stream) {
        // Where it was asked for twice at the same place, it comes there all the same.
        if (turn === this.#turn || this.#place !== video) released();
        return false;
      }
      this.#stream = stream;
      // Unplugged, or taken away in the browser's settings.
      stream.getVideoTracks()[0]?.addEventListener("ended", () => {
        if (this.#stream === stream) this.stop();
      });
    }
    this.#video = video;
    this.#released = released;
    return true;
  }

  /** Whether it is shown in this video. */
  isIn(video: HTMLVideoElement): boolean {
    return this.#video === video && this.#stream !== undefined;
  }

  /** Let go of it: its light goes off. */
  stop(): void {
    this.#turn += 1;
    this.#place = undefined;
    this.#close();
  }

  #close(): void {
    this.#leave();
    if (this.#stream && this.#video) closeCamera(this.#video, this.#stream);
    this.#stream = this.#video = undefined;
  }

  #leave(): void {
    const released = this.#released;
    this.#released = undefined;
    released?.();
  }
}
