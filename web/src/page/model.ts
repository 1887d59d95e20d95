/** The model of a site's folder: loaded once, for whoever on the page asks. */

import { load, type Spotter } from "../spotter.js";

type Told = (loaded: number, total: number) => void;

/** Loads when it is first asked for; after a failure, and where it has ended by itself, again. */
export class Model {
  /** Kept once the model is here, at whichever try. */
  readonly here: Promise<void>;
  #arrived: () => void = () => undefined;
  #loading: Promise<Spotter> | undefined;
  #test: Promise<boolean> | undefined;
  readonly #listeners = new Set<Told>();

  /** @param keeps whether the service worker is about to keep the site. */
  constructor(
    readonly base: URL,
    readonly keeps = false,
  ) {
    this.here = new Promise((resolve) => {
      this.#arrived = resolve;
    });
  }

  /** The model, ready to answer. */
  get(): Promise<Spotter> {
    if (this.#loading) return this.#loading;
    // Whoever asks next tries again.
    const drop = (): void => {
      if (this.#loading === loading) this.#loading = undefined;
    };
    const loading: Promise<Spotter> = load(this.base, {
      keeps: this.keeps,
      lost: drop,
      progress: (loaded, total) => {
        for (const told of this.#listeners) told(loaded, total);
      },
    }).then(
      (spotter) => {
        this.#arrived();
        return spotter;
      },
      (error: unknown) => {
        drop();
        throw error;
      },
    );
    this.#loading = loading;
    return loading;
  }

  /** Let go of a model that does not answer: whoever asks next gets a new one. */
  forget(): void {
    const close = (spotter: Spotter): void => {
      spotter.close();
    };
    // Whoever waits for it is told why it fails.
    void this.#loading?.then(close, () => undefined);
    this.#loading = undefined;
  }

  /** Tell how many of how many bytes are here, until what this returns is called. */
  listen(told: Told): () => void {
    this.#listeners.add(told);
    return () => {
      this.#listeners.delete(told);
    };
  }

  /** Whether this browser gives the network the pixels that it should; asked once. */
  agrees(): Promise<boolean> {
    this.#test ??= this.get()
      .then((spotter) => spotter.selfTest())
      .then(({ agrees }) => agrees);
    return this.#test;
  }
}
