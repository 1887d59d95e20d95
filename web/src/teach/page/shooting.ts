/** The camera of a class: pictures are taken while a button is held. */

import { cameraProblem, nextFrame, takePicture } from "../../page/camera.js";
import { make } from "../../page/dom.js";
import { Burst } from "./bursts.js";
import { words, type Desk } from "./desk.js";
import { ownOrigin, takeFiles } from "./intake.js";

// Ten a second would be pictures of the same moment.
const LEAST_MS = 120;

/** A panel with the camera for one class. */
export class Shooting {
  readonly element: HTMLElement;
  readonly #video = make("video", { muted: true, playsinline: true });
  readonly #hold: HTMLButtonElement;
  readonly #state = make("p", { class: "plain", role: "status" });
  #isHeld = false;
  #running: Promise<void> = Promise.resolve();
  // Pictures of one burst do not wait for each other's decoding.
  #saving: Promise<unknown> = Promise.resolve();
  #number = 0;
  // Nobody ends it: where its class is gone, or another tab writes, the album takes nothing.
  readonly #signal = new AbortController().signal;

  constructor(
    readonly desk: Desk,
    readonly id: string,
    readonly closed: () => void,
  ) {
    this.#hold = make("button", { type: "button", class: "first hold" }, words(desk, "teach_hold"));
    const close = make("button", { type: "button", class: "second" }, words(desk, "teach_camera_off"));
    close.addEventListener("click", () => {
      desk.camera.stop();
    });
    this.#video.muted = true;
    this.element = make("div", { class: "shooting" }, this.#video, make("div", { class: "line" }, this.#hold, close), this.#state);
    this.#listen();
  }

  /** Open the camera here. */
  async open(): Promise<void> {
    this.#state.textContent = words(this.desk, "teach_camera_opening");
    try {
      const isShown = await this.desk.camera.show(this.#video, () => {
        this.#isHeld = false;
        this.closed();
      });
      if (!isShown) return;
      this.#state.textContent = words(this.desk, "teach_hold_hint");
      this.#hold.focus();
    } catch (error) {
      this.desk.say(words(this.desk, cameraProblem(error)));
      this.closed();
    }
  }

  #listen(): void {
    const hold = this.#hold;
    const start = (): void => {
      if (this.#isHeld) return;
      this.#isHeld = true;
      hold.classList.add("held");
      this.#running = this.#running.then(() => this.#shoot());
    };
    const end = (): void => {
      this.#isHeld = false;
      hold.classList.remove("held");
    };
    hold.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      hold.setPointerCapture(event.pointerId);
      start();
    });
    for (const kind of ["pointerup", "pointercancel", "lostpointercapture", "blur"]) hold.addEventListener(kind, end);
    hold.addEventListener("keydown", (event) => {
      if (event.key !== " " && event.key !== "Enter") return;
      event.preventDefault();
      start();
    });
    hold.addEventListener("keyup", (event) => {
      event.preventDefault();
      end();
    });
    // A long touch is no wish for a menu.
    hold.addEventListener("contextmenu", (event) => {
      event.preventDefault();
    });
    // A screen reader clicks without any key or pointer.
    hold.addEventListener("click", (event) => {
      if (event.detail !== 0 || this.#isHeld) return;
      start();
      end();
    });
  }

  async #shoot(): Promise<void> {
    const burst = new Burst();
    let since = 0;
    let taken = 0;
    let seen = 0;
    // One at least, however short it was held.
    do {
      await nextFrame(this.#video, since, LEAST_MS);
      since = performance.now();
      if (!this.desk.camera.isIn(this.#video)) return;
      seen += 1;
      if (burst.isNew(this.#video)) {
        taken += 1;
        const picture = await takePicture(this.#video);
        this.#keep(picture);
      }
      const key = seen - taken > 8 && seen - taken > taken ? "teach_hold_move" : "teach_hold_count";
      this.#state.textContent = words(this.desk, key, { count: taken });
    } while (this.#isHeld);
  }

  #keep(picture: Blob): void {
    const { album, tutor, say } = this.desk;
    this.#number += 1;
    const name = `camera ${new Date().toISOString()} ${this.#number}`;
    const file = { path: name, file: new File([picture], name), origin: ownOrigin(name, "camera") };
    this.#saving = this.#saving.then(async () => {
      const taken = await takeFiles(album, tutor, this.id, [file], { signal: this.#signal });
      if (taken.trouble) say(words(this.desk, taken.trouble.key, taken.trouble.values));
      if (taken.noRoom) say(words(this.desk, "teach_no_room", { count: taken.noRoom }));
      if (taken.tooMany) say(words(this.desk, "teach_too_many", { most: album.size, count: taken.tooMany }));
      tutor.workAhead();
    });
  }
}
