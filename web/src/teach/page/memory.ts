/** What stands for the page's database where the browser has none for it: all is gone with the tab. */

import type { Features } from "../types.js";
import type { Class, Decision, Shelf, StoredPicture } from "./store.js";

export class MemoryStore implements Shelf {
  /** Nothing is there at the next visit, and nothing is missed then. */
  readonly tally = { read: () => 0, write: () => undefined };
  #classes: Class[] = [];
  readonly #pictures = new Map<string, StoredPicture>();
  readonly #decisions = new Map<string, Decision>();
  readonly #features = new Map<string, Features>();

  classes(): Promise<Class[]> {
    return Promise.resolve([...this.#classes]);
  }

  pictures(): Promise<StoredPicture[]> {
    return Promise.resolve([...this.#pictures.values()]);
  }

  hashes(): Promise<Set<string>> {
    return Promise.resolve(new Set(this.#pictures.keys()));
  }

  decisions(): Promise<Decision[]> {
    return Promise.resolve([...this.#decisions.values()]);
  }

  /** There is one body as long as the tab is open. */
  features(): Promise<Map<string, Features>> {
    return Promise.resolve(new Map(this.#features));
  }

  putClasses(classes: readonly Class[]): Promise<void> {
    this.#classes = [...classes];
    return Promise.resolve();
  }

  putPictures(pictures: readonly StoredPicture[]): Promise<void> {
    for (const picture of pictures) this.#pictures.set(picture.sha256, picture);
    return Promise.resolve();
  }

  putFeatures(_body: string, features: ReadonlyMap<string, Features>): Promise<void> {
    for (const [sha256, each] of features) this.#features.set(sha256, each);
    return Promise.resolve();
  }

  putDecision(decision: Decision): Promise<void> {
    this.#decisions.set(decision.id, decision);
    return Promise.resolve();
  }

  removeDecision(id: string): Promise<void> {
    this.#decisions.delete(id);
    return Promise.resolve();
  }

  removePictures(hashes: readonly string[], decisions: readonly string[]): Promise<void> {
    for (const sha256 of hashes) {
      this.#pictures.delete(sha256);
      this.#features.delete(sha256);
    }
    for (const id of decisions) this.#decisions.delete(id);
    return Promise.resolve();
  }

  wipe(): Promise<void> {
    this.#classes = [];
    for (const each of [this.#pictures, this.#decisions, this.#features]) each.clear();
    return Promise.resolve();
  }

  /** No other tab sees it. */
  rest(): Promise<void> {
    return Promise.resolve();
  }

  goOn(): void {
    // It never rested.
  }
}
