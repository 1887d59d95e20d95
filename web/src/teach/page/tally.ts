/**
 * How many pictures are kept, written down beside the database. Chromium may drop a whole database after the disk was
 * full; without this, the page would look as if nobody had ever been there.
 */

export class Tally {
  readonly #key: string;

  constructor(name: string) {
    this.#key = `${name} kept`;
  }

  /** 0 where nothing was written. */
  read(): number {
    try {
      return Number(localStorage.getItem(this.#key)) || 0;
    } catch {
      return 0;
    }
  }

  /** Never more than there are: before some are removed, after some are added. */
  write(count: number): void {
    try {
      localStorage.setItem(this.#key, String(count));
    } catch {
      // The device is full, or the browser keeps no such notes: then a loss is not told.
    }
  }
}
