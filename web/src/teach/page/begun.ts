/**
 * How far the files are that are being added, written down beside the database: a tab that is closed meanwhile has no
 * time to say it, and the next visit does.
 */

export interface Progress {
  done: number;
  total: number;
}

export class Begun {
  readonly #key: string | undefined;

  /** @param name tells the sites of one origin apart; undefined where nothing is kept for a next visit. */
  constructor(name: string | undefined) {
    this.#key = name === undefined ? undefined : `${name} begun`;
  }

  /** What was begun and not ended; undefined where nothing was. */
  read(): Progress | undefined {
    if (this.#key === undefined) return undefined;
    try {
      const { done, total } = JSON.parse(localStorage.getItem(this.#key) ?? "{}") as Partial<Progress>;
      return Number.isInteger(done) && Number.isInteger(total) ? { done: Number(done), total: Number(total) } : undefined;
    } catch {
      return undefined;
    }
  }

  write(progress: Progress): void {
    if (this.#key === undefined) return;
    try {
      localStorage.setItem(this.#key, JSON.stringify(progress));
    } catch {
      // The device is full, or the browser keeps no such notes: then the next visit does not tell.
    }
  }

  forget(): void {
    if (this.#key === undefined) return;
    try {
      localStorage.removeItem(this.#key);
    } catch {
      // Nothing could be written either.
    }
  }
}
