/** The teacher as the page uses it: opened once, and what can be done ahead is done while the visitor is at work. */

import { openTeacher } from "../client.js";
import { CannotTeach } from "../errors.js";
import { lacksViews } from "../lesson.js";
import type { Features, KeptPicture, Lesson, Outlook, Taught, Teacher } from "../types.js";
import type { Album } from "./album.js";
import { until } from "./until.js";

// After the last change: between the pictures of a burst there is time for some of it.
const QUIET_MS = 100;
// So many pictures' features are written together.
const TOGETHER = 16;

type Told = (done: number, total: number) => void;

export class Tutor {
  #opening: Promise<Teacher> | undefined;
  #ahead: AbortController | undefined;
  #timer = 0;
  // How many learn now, of which one at most was not stopped, and whether something changed meanwhile.
  #learning = 0;
  #isAheadAfter = false;
  #keepsFeatures = true;
  // What the last lesson said that was learnt.
  #learnt = "";
  readonly #site: URL;
  readonly #album: Album;
  readonly #loading: Told;
  readonly #ended: (error: Error) => void;

  /**
   * @param site its folder. @param loading told how much of the network is here. @param ended told why the teacher has
   * ended, and what it had learnt with it.
   */
  constructor(site: URL, album: Album, loading: Told, ended: (error: Error) => void) {
    this.#site = site;
    this.#album = album;
    this.#loading = loading;
    this.#ended = ended;
  }

  /** The teacher; after a failure, and when it has ended, opened again. @throws BrokenModel @throws CannotRun @throws CannotTeach */
  get(): Promise<Teacher> {
    const ended = (error: Error): void => {
      this.#opening = undefined;
      this.#learnt = "";
      this.stopAhead();
      this.#ended(error);
    };
    this.#opening ??= openTeacher(this.#site, { progress: this.#loading, ended }).catch((error: unknown) => {
      this.#opening = undefined;
      throw error;
    });
    return this.#opening;
  }

  /** A picture as it is to be kept. @throws BadPicture */
  async prepare(file: Blob): Promise<KeptPicture> {
    this.stopAhead();
    return (await this.get()).prepare(file);
  }

  /** Compute features once nothing has changed for a while; while it learns, after that, which would wait for it. */
  workAhead(): void {
    this.stopAhead();
    if (this.#learning) {
      this.#isAheadAfter = true;
      return;
    }
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

  /** Compute nothing ahead any longer. */
  stopAhead(): void {
    clearTimeout(this.#timer);
    this.#ahead?.abort();
    this.#ahead = undefined;
    this.#isAheadAfter = false;
  }

  /**
   * Learn from the album as it is.
   *
   * @param soon told what was learnt from the pictures alone, where views of them take longer. It answers already.
   * @throws CannotTeach
   */
  async learn(signal: AbortSignal, told: Told, soon: (taught: Taught) => void): Promise<Taught> {
    this.stopAhead();
    this.#learning += 1;
    try {
      return await this.#learn(signal, told, soon);
    } finally {
      this.#learning -= 1;
      if (this.#isAheadAfter) this.workAhead();
    }
  }

  /** The teacher and the lesson that it has learnt. @throws CannotTeach: it is another one by now. */
  async learnt(): Promise<{ teacher: Teacher; lesson: Lesson }> {
    const lesson = this.#album.lesson();
    if (saidIn(lesson) !== this.#learnt) throw new CannotTeach("outdated", "The lesson has changed since it was learnt.");
    return { teacher: await this.get(), lesson };
  }

  /** What more pictures would bring. */
  async outlook(signal: AbortSignal): Promise<Outlook> {
    return (await this.get()).outlook({ signal });
  }

  /** Whether the device had room for all features so far. */
  get keepsFeatures(): boolean {
    return this.#keepsFeatures;
  }

  async #learn(signal: AbortSignal, told: Told, soon: (taught: Taught) => void): Promise<Taught> {
    const teacher = await this.get();
    // Pictures of the camera may still be on their way into the album.
    do {
      await this.#measure(signal, told, false);
      if (!this.#album.isAnyWithoutFeatures() && lacksViews(this.#album.lesson().pictures)) {
        this.#learnt = "";
        const lesson = this.#album.lesson();
        const taught = await teacher.learn(lesson, { signal });
        this.#learnt = saidIn(lesson);
        soon(taught);
        await this.#measure(signal, told, true);
      }
    } while (!signal.aborted && this.#album.isAnyWithoutFeatures());
    const lesson = this.#album.lesson();
    const said = saidIn(lesson);
    if (said !== this.#learnt) this.#learnt = "";
    const taught = await teacher.learn(lesson, { signal });
    this.#learnt = said;
    return taught;
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
          // Whoever learns next need not wait for it to be kept, nor compute it again.
          this.#album.hear(sha256, features);
          fresh.set(sha256, features);
          if (fresh.size < TOGETHER) return;
          writing.push(write(fresh));
          fresh = new Map();
        },
      });
    } finally {
      // What was computed before it was stopped, is kept; but a full disk may take long, and nobody waits for it then.
      await until(signal, Promise.all([...writing, write(fresh)]));
    }
  }
}

/** All that is learnt from: the names, and which picture has which. */
function saidIn({ labels, pictures }: Lesson): string {
  return JSON.stringify([labels, pictures.map(({ sha256, added, label }) => [sha256, added, label])]);
}
