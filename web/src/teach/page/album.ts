/** The pictures in their classes and the decisions about them: in memory, and through `Store` on the device. */

import { MOST_LABELS, type Features, type KeptPicture, type Lesson, type LessonPicture, type Origin } from "../types.js";
import { looksOf } from "./labels.js";
import { NoRoom, type Class, type Decision, type Shelf, type StoredPicture } from "./store.js";

/** In all: more would take this page many minutes. */
export const MOST = 2000;
/** Of each class, for an error that means something; `spotter adopt` needs as many. */
export const LEAST = 5;

// So many are written again together.
const TOGETHER = 50;

/** A picture that is to be added. */
export interface New {
  picture: KeptPicture;
  origin: Origin;
}

/** What became of pictures that were to be added. */
export interface Added {
  added: number;
  /** They are in this class already. */
  copies: number;
  /** They are in another class; the name of the last such. */
  elsewhere: number;
  where: string;
  /** More than are taken in all. */
  tooMany: number;
  /** The device had no room for them. */
  noRoom: number;
  /** Their class was removed meanwhile. */
  noClass: number;
}

const NOTHING: Added = { added: 0, copies: 0, elsewhere: 0, where: "", tooMany: 0, noRoom: 0, noClass: 0 };

/** What became of two lots of pictures. */
export function together(one: Added, other: Added): Added {
  return {
    added: one.added + other.added,
    copies: one.copies + other.copies,
    elsewhere: one.elsewhere + other.elsewhere,
    where: other.where || one.where,
    tooMany: one.tooMany + other.tooMany,
    noRoom: one.noRoom + other.noRoom,
    noClass: one.noClass + other.noClass,
  };
}

export class Album {
  classes: Class[] = [];
  decisions: Decision[] = [];
  readonly #pictures = new Map<string, StoredPicture>();
  #features = new Map<string, Features>();
  #order = 0;
  // The device had no room: what was kept before may be gone.
  #mayLack = false;
  // What is being added now.
  readonly #adds = new Set<Promise<Added>>();
  readonly #store: Shelf;
  readonly #body: string;
  readonly #changed: () => void;

  /** @param body the `contents` of the network that makes the features. @param changed called after each change. */
  constructor(store: Shelf, body: string, changed: () => void) {
    this.#store = store;
    this.#body = body;
    this.#changed = changed;
  }

  /** Read what is kept, in place of what is known. Returns how many pictures were kept once and are gone. */
  async load(): Promise<number> {
    const store = this.#store;
    const [classes, pictures, decisions, features] = await Promise.all([
      store.classes(),
      store.pictures(),
      store.decisions(),
      store.features(this.#body),
    ]);
    this.classes = classes;
    this.decisions = decisions;
    const before = new Map(this.#pictures);
    this.#pictures.clear();
    for (const picture of pictures) {
      // A picture in memory can still be read when the browser has dropped its file.
      const blob = before.get(picture.sha256)?.blob ?? picture.blob;
      this.#pictures.set(picture.sha256, { ...picture, blob });
    }
    // Those that the device had no room for are known all the same: to ask for them again might have no end.
    this.#features = new Map([...this.#features, ...features].filter(([sha256]) => this.#pictures.has(sha256)));
    this.#order = Math.max(0, ...pictures.map(({ order }) => order)) + 1;
    const gone = Math.max(0, store.tally.read() - this.size);
    store.tally.write(this.size);
    this.#changed();
    return gone;
  }

  get size(): number {
    return this.#pictures.size;
  }

  get(sha256: string): StoredPicture | undefined {
    return this.#pictures.get(sha256);
  }

  name(id: string): string {
    return this.classes.find((each) => each.id === id)?.name ?? "";
  }

  /** The class of a picture now; undefined when it was left out. */
  classOf(picture: StoredPicture): string | undefined {
    const decision = this.decisionAbout(picture.sha256);
    if (decision?.action === "delete") return undefined;
    return decision?.to ?? picture.added;
  }

  /** The last decision about a picture; there is one at most. */
  decisionAbout(sha256: string): Decision | undefined {
    return this.decisions.find((decision) => decision.sha256 === sha256);
  }

  /** The pictures of a class now, the newest last. */
  picturesOf(id: string): StoredPicture[] {
    return [...this.#pictures.values()].filter((picture) => this.classOf(picture) === id);
  }

  /** Make a class. @throws NoRoom */
  async addClass(name: string): Promise<Class> {
    const made = { id: crypto.randomUUID(), name };
    await this.#setClasses([...this.classes, made]);
    return made;
  }

  /**
   * Make the classes anew that pictures are in and that nothing is known of: a browser need not drop all that it drops.
   *
   * @throws NoRoom
   */
  async restoreClasses(make: (number: number) => string): Promise<void> {
    const ids = [...this.#pictures.values()].flatMap((each) => [each.added, this.classOf(each) ?? each.added]);
    for (const id of new Set(ids)) {
      const isKnown = this.classes.some((each) => each.id === id);
      if (!isKnown) await this.#setClasses([...this.classes, { id, name: this.freeName(make) }]);
    }
  }

  get isFull(): boolean {
    return this.classes.length >= MOST_LABELS;
  }

  /** Whether another class than `id` has a name that looks the same. */
  isTaken(name: string, id = ""): boolean {
    return this.classes.some((each) => each.id !== id && looksOf(each.name) === looksOf(name));
  }

  /** A name that is free, as `make` makes them from numbers. */
  freeName(make: (number: number) => string): string {
    let number = this.classes.length + 1;
    while (this.isTaken(make(number))) number += 1;
    return make(number);
  }

  async rename(id: string, name: string): Promise<void> {
    await this.#setClasses(this.classes.map((each) => (each.id === id ? { id, name } : each)));
  }

  /** Remove a class, and the pictures that were put into it. */
  async removeClass(id: string): Promise<void> {
    const before = this.classes;
    // Nothing is put into it any longer, and what is being put there is removed with the rest.
    this.classes = before.filter((each) => each.id !== id);
    try {
      await Promise.allSettled(this.#adds);
      await this.#removeWith(id);
    } catch (error) {
      this.classes = before;
      throw error;
    }
  }

  /** Remove a picture for good. */
  async removePicture(sha256: string): Promise<void> {
    await this.#remove(new Set([sha256]), (decision) => decision.sha256 === sha256);
    this.#changed();
  }

  /** Add pictures to a class, as far as there is room; none where there is no such class. */
  async add(id: string, pictures: readonly New[]): Promise<Added> {
    if (!this.classes.some((each) => each.id === id)) return { ...NOTHING, noClass: pictures.length };
    const adding = this.#add(id, pictures);
    this.#adds.add(adding);
    try {
      return await adding;
    } finally {
      this.#adds.delete(adding);
    }
  }

  /** Decide about a picture, in place of what was decided before. @throws NoRoom */
  async decide(sha256: string, action: Decision["action"], to?: string): Promise<void> {
    const picture = this.#pictures.get(sha256);
    if (!picture) return;
    const decision: Decision = {
      id: crypto.randomUUID().replaceAll("-", ""),
      at: new Date().toISOString(),
      action,
      sha256,
      from: picture.added,
      ...(to === undefined ? {} : { to }),
    };
    const before = this.decisionAbout(sha256);
    // Put back where it was: there is nothing left to be told.
    const isBack = action === "relabel" && to === picture.added;
    if (!isBack) await this.#store.putDecision(decision);
    if (before) await this.#store.removeDecision(before.id);
    this.decisions = [...this.decisions.filter((each) => each !== before), ...(isBack ? [] : [decision])];
    this.#changed();
  }

  /** Take a decision back. */
  async undo(sha256: string): Promise<void> {
    const decision = this.decisionAbout(sha256);
    if (!decision) return;
    await this.#store.removeDecision(decision.id);
    this.decisions = this.decisions.filter((each) => each !== decision);
    this.#changed();
  }

  /** Whether any picture, but for those that were left out, was not looked at by the network. */
  isAnyWithoutFeatures(): boolean {
    return [...this.#pictures.values()].some((one) => this.classOf(one) !== undefined && !this.#features.has(one.sha256));
  }

  /** What the network said of a picture, until it is kept. */
  hear(sha256: string, features: Features): void {
    this.#features.set(sha256, features);
  }

  /** Keep what the network said of pictures; where the device has no room, only until the page is closed. */
  async keepFeatures(features: ReadonlyMap<string, Features>): Promise<boolean> {
    for (const [sha256, each] of features) this.hear(sha256, each);
    try {
      await this.#store.putFeatures(this.#body, features);
      return true;
    } catch (error) {
      if (!(error instanceof NoRoom)) throw error;
      this.#mayLack = true;
      return false;
    }
  }

  /** All of it, as it is taught: classes with pictures, by their names. */
  lesson(): Lesson {
    const used = this.classes.filter(({ id }) => [...this.#pictures.values()].some((one) => one.added === id || this.classOf(one) === id));
    return {
      labels: used.map(({ name }) => name),
      pictures: [...this.#pictures.values()].map((picture) => this.#lessonPicture(picture)),
      edits: this.decisions.map(({ id, at, action, sha256, from, to }) => ({
        id,
        at,
        who: "teach page",
        action,
        sha256,
        from: this.name(from),
        ...(to === undefined ? {} : { to: this.name(to) }),
        why: "doubtful",
        batch: id,
      })),
    };
  }

  /** Remove everything from the device. */
  async wipe(): Promise<void> {
    const before = this.classes;
    this.#store.tally.write(0);
    // Nothing is added any longer, and what is being added is removed too.
    this.classes = [];
    try {
      await Promise.allSettled(this.#adds);
      await this.#store.wipe();
    } catch (error) {
      this.classes = before;
      throw error;
    }
    await this.load();
  }

  async #add(id: string, pictures: readonly New[]): Promise<Added> {
    const told = { ...NOTHING };
    const fresh: StoredPicture[] = [];
    for (const { picture, origin } of pictures) {
      const there = this.#pictures.get(picture.sha256);
      if (there && this.classOf(there) === undefined && there.added === id) {
        // It was left out, and is wanted again.
        await this.undo(picture.sha256);
        told.added += 1;
      } else if (there) {
        const now = this.classOf(there);
        if (now === id) told.copies += 1;
        else {
          told.elsewhere += 1;
          told.where = this.name(now ?? there.added);
        }
      } else if (fresh.some(({ sha256 }) => sha256 === picture.sha256)) told.copies += 1;
      else if (this.size + fresh.length >= MOST) told.tooMany += 1;
      else fresh.push({ ...picture, added: id, order: this.#order++, origin });
    }
    const kept = await this.#keep(fresh);
    return { ...told, added: told.added + kept, noRoom: fresh.length - kept };
  }

  async #removeWith(id: string): Promise<void> {
    const gone = [...this.#pictures.values()].filter(({ added }) => added === id);
    const hashes = new Set(gone.map(({ sha256 }) => sha256));
    await this.#remove(hashes, ({ sha256, from, to }) => hashes.has(sha256) || from === id || to === id);
    await this.#setClasses(this.classes);
  }

  #lessonPicture(picture: StoredPicture): LessonPicture {
    const { sha256, original_sha256, blob, width, height, added, origin } = picture;
    const now = this.classOf(picture);
    const features = this.#features.get(sha256);
    return {
      ...{ sha256, original_sha256, blob, width, height, origin },
      added: this.name(added),
      label: now === undefined ? null : this.name(now),
      ...(features ? { features } : {}),
    };
  }

  async #setClasses(classes: Class[]): Promise<void> {
    await this.#store.putClasses(classes);
    this.classes = classes;
    this.#changed();
  }

  /** Keep pictures together; where there is no room for all, one by one, as many as fit. Returns how many. */
  async #keep(pictures: readonly StoredPicture[]): Promise<number> {
    let kept = 0;
    try {
      await this.#store.putPictures(pictures);
      kept = pictures.length;
    } catch (error) {
      if (!(error instanceof NoRoom)) throw error;
      this.#mayLack = true;
      for (const picture of pictures) {
        if (!(await this.#fits(picture))) break;
        kept += 1;
      }
    }
    for (const picture of pictures.slice(0, kept)) this.#pictures.set(picture.sha256, picture);
    if (this.#mayLack && kept && kept === pictures.length) await this.#keepAgain();
    this.#store.tally.write(this.size);
    this.#changed();
    return kept;
  }

  /** There is room again: keep what is in memory only, as Chromium may drop all that it kept once a disk was full. */
  async #keepAgain(): Promise<void> {
    const store = this.#store;
    try {
      await store.putClasses(this.classes);
      for (const decision of this.decisions) await store.putDecision(decision);
      const there = await store.hashes();
      const lacking = [...this.#pictures.values()].filter(({ sha256 }) => !there.has(sha256));
      const readable = await Promise.all(lacking.map(async (one) => ((await isReadable(one.blob)) ? [one] : [])));
      const again = readable.flat();
      for (let start = 0; start < again.length; start += TOGETHER) await store.putPictures(again.slice(start, start + TOGETHER));
      this.#mayLack = false;
    } catch (error) {
      // The next that finds room tries again.
      if (!(error instanceof NoRoom)) throw error;
    }
  }

  async #fits(picture: StoredPicture): Promise<boolean> {
    try {
      await this.#store.putPictures([picture]);
      return true;
    } catch (error) {
      if (error instanceof NoRoom) return false;
      throw error;
    }
  }

  async #remove(hashes: ReadonlySet<string>, isGone: (decision: Decision) => boolean): Promise<void> {
    const gone = this.decisions.filter(isGone);
    this.#store.tally.write(this.size - hashes.size);
    await this.#store.removePictures([...hashes], gone.map(({ id }) => id), this.#body);
    this.decisions = this.decisions.filter((decision) => !gone.includes(decision));
    for (const sha256 of hashes) {
      this.#pictures.delete(sha256);
      this.#features.delete(sha256);
    }
  }
}

async function isReadable(blob: Blob): Promise<boolean> {
  try {
    await blob.arrayBuffer();
    return true;
  } catch {
    return false;
  }
}
