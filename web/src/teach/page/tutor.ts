/** The teacher as the page uses it: opened once, and what can be done ahead is done while the visitor is at work. */

import { openTeacher } from "../client.js";
import { lacksViews } from "../lesson.js";
import type { Features, KeptPicture, Outlook, Taught, Teacher } from "../types.js";
import type { Album } from "./album.js";

// After the last change: between the pictures of a burst there is time for some of it.
const QUIET_MS = 100;
// So many pictures' features are written together.
const TOGETHER = 16;

type Told = (done: number, total: number) => void;

export class Tutor {
  #opening: Promise<Teacher> | undefined;
  #ahead: AbortController | undefined;
  #timer = 0;
  #keepsFeatures = true;
  readonly #site: URL;
  readonly #album: Album;
  readonly #loading: Told;

  /** @param site its folder. @param loading told how much of the network is here. */
  constructor(site: URL, album: Album, loading: Told) {
    this.#site = site;
    this.#album = album;
    this.#loading = loading;
  }

  /** The teacher; after a failure, opened again. @throws BrokenModel @throws CannotRun @throws CannotTeach */
  get(): Promise<Teacher> {
    this.#opening ??= openTeacher(this.#site, { progress: this.#loading }).catch((error: unknown) => {
      this.#opening = undefined;
      throw error;
    });
    return this.#opening;
  }

  /** A picture as it is to be kept. @throws BadPicture */
  async prepare(file: Blob): Promise<KeptPicture> {
    this.#stopAhead();
    return (await this.get()).prepare(file);
  }

  /** Compute features once nothing has changed for a while. */
  workAhead(): void {
    this.#stopAhead();
    this.#timer = window.setTimeout(() => {
      const ahead = new AbortController();
      this.#ahead = ahead;
      const nobody = (): void => undefined;
      const measured = this.#measure(ahead.signal, nobody, false).then(() => this.#measure(ahead.signal, nobody, true));
      measured.catch((error: unknown) => {
        // Whoever learns is told.
        if (!ahead.signal.aborted) console.info("Nothing was computed ahead:", error);
      });
    }, QUIET_MS);
  }

  /**
   * Learn from the album as it is.
   *
   * @param soon told what was learnt from the pictures alone, where views of them take longer. It answers already.
   * @throws CannotTeach
   */
  async learn(signal: AbortSignal, told: Told, soon: (taught: Taught) => void): Promise<Taught> {
    this.#stopAhead();
    const teacher = await this.get();
    // Pictures of the camera may still be on their way into the album.
    do {
      await this.#measure(signal, told, false);
      if (!this.#album.isAnyWithoutFeatures() && lacksViews(this.#album.lesson().pictures)) {
        soon(await teacher.learn(this.#album.lesson(), { signal }));
        await this.#measure(signal, told, true);
      }
    } while (!signal.aborted && this.#album.isAnyWithoutFeatures());
    return teacher.learn(this.#album.lesson(), { signal });
  }

  /** What more pictures would bring. */
  async outlook(signal: AbortSignal): Promise<Outlook> {
    return (await this.get()).outlook({ signal });
  }

  /** Whether the device had room for all features so far. */
  get keepsFeatures(): boolean {
    return this.#keepsFeatures;
  }

  #stopAhead(): void {
    clearTimeout(this.#timer);
    this.#ahead?.abort();
    this.#ahead = undefined;
  }

  async #measure(signal: AbortSignal, told: Told, views: boolean): Promise<void> {
    const teacher = await this.get();
    if (signal.aborted) return;
    let fresh = new Map<string, Features>();
    const writing: Promise<void>[] = [];
    const write = async (features: Map<string, Features>): Promise<void> => {
      this.#keepsFeatures = (await this.#album.keepFeatures(features)) && this.#keepsFeatures;
    };
    try {
      await teacher.measure(this.#album.lesson().pictures, {
        signal,
        views,
        progress: told,
        keep: (sha256, features) => {
          fresh.set(sha256, features);
          if (fresh.size < TOGETHER) return;
          writing.push(write(fresh));
          fresh = new Map();
        },
      });
    } finally {
      // What was computed before it was stopped, is.
      await Promise.all([...writing, write(fresh)]);
    }
  }
}
