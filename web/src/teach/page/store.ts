/** What the page keeps on the device: classes, pictures, features and decisions, in IndexedDB. */

import type { Features, KeptPicture, Origin } from "../types.js";
import { Tally } from "./tally.js";

const VERSION = 1;
const PATIENCE_MS = 15_000;
const STORES = ["pictures", "features", "decisions", "told"] as const;
type Name = (typeof STORES)[number];

/** The device has no room left; nothing of what was to be kept is. */
export class NoRoom extends Error {}

/** The browser keeps nothing for this page: a private window, or it is forbidden. */
export class NoStore extends Error {}

/** Another tab changes what is kept. */
export class NotMine extends Error {}

/** A picture as it is kept. */
export interface StoredPicture extends KeptPicture {
  /** The id of the class that it was put into. */
  added: string;
  /** Pictures are shown in the order in which they came. */
  order: number;
  origin: Origin;
}

/** A class, by an id that stays when it gets another name. */
export interface Class {
  id: string;
  name: string;
}

/** A decision about a picture, classes by their ids. */
export interface Decision {
  id: string;
  at: string;
  action: "keep" | "relabel" | "delete";
  sha256: string;
  from: string;
  to?: string;
}

/** Features of a picture, from one body. */
interface KeptFeatures {
  key: string;
  features: Features;
}

/** What keeps it. */
export type Shelf = Pick<Store, keyof Store>;

/** The page's own database. */
export class Store {
  /** Of the pictures. */
  readonly tally: Pick<Tally, keyof Tally>;
  #database: Promise<IDBDatabase> | undefined;
  // What is being written.
  readonly #writes = new Set<Promise<void>>();
  #isResting = false;
  // Fails when the browser closes the database by itself: nothing that was under way comes to an end then.
  #closed = new Promise<never>(() => undefined);
  readonly #name: string;
  readonly #lost: () => void;

  private constructor(name: string, lost: () => void) {
    this.#name = name;
    this.tally = new Tally(name);
    this.#lost = lost;
  }

  /**
   * Open it.
   *
   * @param name tells the sites of one origin apart. @param lost called when the browser closed it: the disk is full, or
   * somebody cleared it. It is opened again when it is needed.
   * @throws NoStore: the browser refuses, or has no room for anything and keeps nothing from before.
   */
  static async open(name: string, lost: () => void): Promise<Store> {
    const store = new Store(name, lost);
    try {
      await store.#ready();
      await store.#tryOut();
    } catch (error) {
      throw new NoStore("refused", { cause: error });
    }
    return store;
  }

  async classes(): Promise<Class[]> {
    return ((await this.#read("told", (store) => store.get("classes"))) as Class[] | undefined) ?? [];
  }

  async pictures(): Promise<StoredPicture[]> {
    const found = (await this.#read("pictures", (store) => store.getAll())) as StoredPicture[];
    return found.sort((one, other) => one.order - other.order);
  }

  /** The hashes of the pictures that are there. */
  async hashes(): Promise<Set<string>> {
    return new Set((await this.#read("pictures", (store) => store.getAllKeys())) as string[]);
  }

  /** Oldest first. */
  async decisions(): Promise<Decision[]> {
    const found = (await this.#read("decisions", (store) => store.getAll())) as Decision[];
    return found.sort((one, other) => (one.at < other.at ? -1 : 1));
  }

  /** Features by the pictures' hashes, of those that this body has seen. */
  async features(body: string): Promise<Map<string, Features>> {
    const range = IDBKeyRange.bound(`${body} `, `${body} \uffff`);
    const found = (await this.#read("features", (store) => store.getAll(range))) as KeptFeatures[];
    return new Map(found.map(({ key, features }) => [key.slice(body.length + 1), features]));
  }

  /** @throws NoRoom */
  async putClasses(classes: readonly Class[]): Promise<void> {
    await this.#write(["told"], (of) => of("told").put([...classes], "classes"));
  }

  /** All of them or none. @throws NoRoom */
  async putPictures(pictures: readonly StoredPicture[]): Promise<void> {
    await this.#write(["pictures"], (of) => {
      for (const picture of pictures) of("pictures").put(picture);
    });
  }

  /** @throws NoRoom */
  async putFeatures(body: string, features: ReadonlyMap<string, Features>): Promise<void> {
    await this.#write(["features"], (of) => {
      for (const [sha256, each] of features) of("features").put({ key: `${body} ${sha256}`, features: each });
    });
  }

  /** @throws NoRoom */
  async putDecision(decision: Decision): Promise<void> {
    await this.#write(["decisions"], (of) => of("decisions").put(decision));
  }

  async removeDecision(id: string): Promise<void> {
    await this.#write(["decisions"], (of) => {
      of("decisions").delete(id);
    });
  }

  /** Pictures, and all that is known of them. */
  async removePictures(hashes: readonly string[], decisions: readonly string[], body: string): Promise<void> {
    await this.#write(["pictures", "features", "decisions"], (of) => {
      for (const sha256 of hashes) {
        of("pictures").delete(sha256);
        of("features").delete(`${body} ${sha256}`);
      }
      for (const id of decisions) of("decisions").delete(id);
    });
  }

  /** Everything. */
  async wipe(): Promise<void> {
    await this.#write(STORES, (of) => {
      for (const name of STORES) of(name).clear();
    });
  }

  /** Write nothing, from now on: another tab does. What is being written has ended when this does. */
  async rest(): Promise<void> {
    this.#isResting = true;
    await Promise.allSettled(this.#writes);
  }

  /** Write again. */
  goOn(): void {
    this.#isResting = false;
  }

  /** A browser without room opens it all the same. @throws NoRoom: there is nothing in it, and nothing can be. */
  async #tryOut(): Promise<void> {
    if ((await this.classes()).length || (await this.hashes()).size) return;
    await this.#write(["told"], (of) => of("told").put(true, "tried"));
  }

  async #read(name: Name, ask: (store: IDBObjectStore) => IDBRequest): Promise<unknown> {
    const database = await this.#ready();
    return Promise.race([answer(ask(database.transaction(name, "readonly").objectStore(name))), this.#closed]);
  }

  async #write(names: readonly Name[], change: (of: (name: Name) => IDBObjectStore) => unknown): Promise<void> {
    if (this.#isResting) throw new NotMine("Another tab writes.");
    const writing = this.#change(names, change);
    this.#writes.add(writing);
    try {
      await writing;
    } finally {
      this.#writes.delete(writing);
    }
  }

  async #change(names: readonly Name[], change: (of: (name: Name) => IDBObjectStore) => unknown): Promise<void> {
    const database = await this.#ready();
    // What is told to be kept is on the disk. A disk that is full later may still cost it: Chromium then sometimes drops all.
    const transaction = database.transaction([...names], "readwrite", { durability: "strict" });
    const done = new Promise<void>((resolve, reject) => {
      transaction.oncomplete = () => {
        resolve();
      };
      transaction.onabort = () => {
        reject(asNoRoom(transaction.error));
      };
    });
    change((name) => transaction.objectStore(name));
    await Promise.race([done, this.#closed, tooLong()]);
  }

  /** The open database. @throws NoRoom: it was closed, and does not open again. */
  async #ready(): Promise<IDBDatabase> {
    this.#database ??= this.#open();
    try {
      return await this.#database;
    } catch (error) {
      this.#database = undefined;
      throw new NoRoom("It does not open.", { cause: error });
    }
  }

  async #open(): Promise<IDBDatabase> {
    const request = indexedDB.open(this.#name, VERSION);
    request.onupgradeneeded = () => {
      const { result } = request;
      result.createObjectStore("pictures", { keyPath: "sha256" });
      result.createObjectStore("features", { keyPath: "key" });
      result.createObjectStore("decisions", { keyPath: "id" });
      result.createObjectStore("told");
    };
    const database = await inTime(request);
    this.#closed = new Promise((_, reject) => {
      database.onclose = () => {
        this.#database = undefined;
        reject(new NoRoom("The browser closed it."));
        this.#lost();
      };
    });
    // Nobody may be waiting.
    this.#closed.catch(() => undefined);
    return database;
  }
}

function answer<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => {
      resolve(request.result);
    };
    request.onerror = () => {
      reject(request.error ?? new Error("IndexedDB"));
    };
  });
}

/** The database that is opened. On a full disk that may wait without an end. */
function inTime(request: IDBOpenDBRequest): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      reject(new NoStore("It does not open."));
    }, PATIENCE_MS);
    answer(request).then(
      (database) => {
        clearTimeout(timer);
        resolve(database);
      },
      (error: unknown) => {
        clearTimeout(timer);
        reject(error instanceof Error ? error : new Error(String(error)));
      },
    );
  });
}

/** On a full disk a change may neither fail nor come to an end. */
function tooLong(): Promise<never> {
  return new Promise((_, reject) => {
    setTimeout(() => {
      reject(new NoRoom("It takes too long."));
    }, PATIENCE_MS);
  });
}

/**
 * Nobody but the browser ends a change, and it does so when it cannot write. Its errors have several names: a full disk
 * is a QuotaExceededError, an UnknownError, or in Chromium 156 a DataError.
 */
function asNoRoom(error: DOMException | null): NoRoom {
  return new NoRoom(error?.message ?? "It could not be written.", { cause: error });
}
