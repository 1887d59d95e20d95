/** Adding pictures: from files, folders, searches and what was drawn; and saying what became of them. */

import type { Given } from "../../page/batch.js";
import { shownName } from "../../page/names.js";
import { MOST_LABELS, type Origin } from "../types.js";
import { MOST } from "./album.js";
import type { Begun, Progress } from "./begun.js";
import { words, type Desk } from "./desk.js";
import { sortByFolder, takeEvenly } from "./folders.js";
import { takeFiles, type Taken } from "./intake.js";
import { cleanLabel, labelProblem, looksOf } from "./labels.js";

type GivenFile = Given & { origin?: Origin };
/** Files, or those of folders that are still being read: they count as chosen from then on. */
export type Chosen = readonly GivenFile[] | Promise<readonly GivenFile[]>;

/** How far a lot is. */
interface Lot extends Progress {
  /** The class that it was chosen for. */
  to: string | undefined;
}

export class Adding {
  readonly #desk: Desk;
  readonly #begun: Begun;
  // One lot after the other.
  #work: Promise<void> = Promise.resolve();
  readonly #lots = new Set<Lot>();
  #ending = new AbortController();

  /** @param begun where it is noted how far it is. */
  constructor(desk: Desk, begun: Begun) {
    this.#desk = desk;
    this.#begun = begun;
    addEventListener("beforeunload", (event) => {
      if (this.#lots.size) event.preventDefault();
    });
  }

  /** Add files to a class. */
  take(id: string, chosen: Chosen): Promise<void> {
    return this.#queue(id, chosen, (files, lot, signal) => this.#takeAll(new Map([[id, files]]), [], lot, signal));
  }

  /** Add folders: each becomes a class, or goes to the class of its name. */
  takeFolders(chosen: Chosen, fallback: string | undefined): Promise<void> {
    return this.#queue(undefined, chosen, async (files, lot, signal) => {
      const { classes, loose } = sortByFolder(files);
      const found = new Map<string, GivenFile[]>();
      const notes: string[] = [];
      if (classes.size) await this.#removeEmpty(lot);
      let skipped = 0;
      for (const [folder, inside] of classes) {
        signal.throwIfAborted();
        const id = await this.#classFor(folder);
        if (id === undefined) skipped += 1;
        else found.set(id, [...(found.get(id) ?? []), ...inside]);
      }
      if (skipped) notes.push(words(this.#desk, "teach_too_many_classes", { most: MOST_LABELS, count: skipped }));
      if (loose.length && classes.size) notes.push(words(this.#desk, "teach_loose", { count: loose.length }));
      else if (loose.length && fallback !== undefined) found.set(fallback, loose);
      await this.#takeAll(found, notes, lot, signal);
    });
  }

  /**
   * End what is being added, and what waits for its turn. What is being written by then is, when this ends.
   *
   * @returns how many files were not added.
   */
  async stop(): Promise<number> {
    const lots = [...this.#lots];
    this.#ending.abort(new DOMException("stopped", "AbortError"));
    this.#ending = new AbortController();
    await this.#work;
    return lots.reduce((left, { done, total }) => left + total - done, 0);
  }

  async #queue(
    to: string | undefined,
    chosen: Chosen,
    work: (files: readonly GivenFile[], lot: Lot, signal: AbortSignal) => Promise<void>,
  ): Promise<void> {
    const { signal } = this.#ending;
    const lot: Lot = { done: 0, total: 0, to };
    this.#lots.add(lot);
    const reading = Promise.resolve(chosen).then((files) => {
      lot.total = files.length;
      this.#note();
      return files;
    });
    // Whoever waits for the work is told.
    reading.catch(() => undefined);
    const done = this.#work.then(async () => {
      try {
        // Read to its end even when it is stopped, to say how many were not added.
        const files = await reading;
        signal.throwIfAborted();
        await work(files, lot, signal);
      } catch (error) {
        if (!signal.aborted) throw error;
      } finally {
        this.#lots.delete(lot);
        // What was stopped has not come to its end: whoever stopped it says so, or the next visit does.
        if (!signal.aborted) this.#note();
      }
    });
    this.#work = done.catch(() => undefined);
    // What nobody expected reaches whoever asked, or the page as a whole.
    await done;
  }

  #note(): void {
    const lots = [...this.#lots];
    const sum = (count: (lot: Progress) => number): number => lots.reduce((so, lot) => so + count(lot), 0);
    const total = sum((lot) => lot.total);
    if (total) this.#begun.write({ done: sum(({ done }) => done), total });
    else this.#begun.forget();
  }

  async #takeAll(
    files: ReadonlyMap<string, readonly GivenFile[]>,
    notes: readonly string[],
    lot: Lot,
    signal: AbortSignal,
  ): Promise<void> {
    const { album, tutor, say } = this.#desk;
    const room = MOST - album.size;
    const lists = takeEvenly([...files.values()], room);
    const total = (lot.total = lists.reduce((sum, list) => sum + list.length, 0));
    const tooMany = [...files.values()].reduce((sum, list) => sum + list.length, 0) - total;
    let seen = 0;
    let left = total;
    const taken: Taken[] = [];
    for (const [place, id] of [...files.keys()].entries()) {
      const list = lists[place] ?? [];
      const one = await takeFiles(album, tutor, id, list, {
        signal,
        told: () => {
          seen += 1;
          say(words(this.#desk, "teach_adding", { done: seen, total }));
        },
        kept: (count) => {
          lot.done += count;
          this.#note();
        },
      });
      taken.push(one);
      left -= list.length;
      if (one.noRoom) one.noRoom += left;
      else if (one.left) one.left += left;
      else continue;
      break;
    }
    say([...this.#summary(taken, tooMany), ...notes].join(" "));
    if (!signal.aborted) tutor.workAhead();
  }

  #summary(taken: readonly Taken[], tooMany: number): string[] {
    const sum = (count: (each: Taken) => number): number => taken.reduce((so, each) => so + count(each), 0);
    const tell = (key: string, values: Record<string, string | number>): string => words(this.#desk, key, values);
    const trouble = taken.find((each) => each.trouble)?.trouble;
    const said = trouble ? [tell(trouble.key, trouble.values ?? {})] : [];
    said.push(tell("teach_added", { count: sum(({ added }) => added) }));
    const copies = sum((each) => each.copies);
    if (copies) said.push(tell("teach_copies", { count: copies }));
    const elsewhere = sum((each) => each.elsewhere);
    const where = taken.find((each) => each.where)?.where ?? "";
    if (elsewhere) said.push(tell("teach_elsewhere", { count: elsewhere, label: where }));
    const bad = sum((each) => each.bad);
    const why = taken.find((each) => each.why)?.why;
    if (bad && why) {
      const reason = tell(why.problem.key, why.problem.values ?? {});
      said.push(tell("teach_bad", { count: bad, name: shownName(why.name), reason }));
    }
    const left = tooMany + sum((each) => each.tooMany);
    if (left) said.push(tell("teach_too_many", { most: MOST, count: left }));
    const noRoom = sum((each) => each.noRoom);
    if (noRoom) said.push(tell("teach_no_room", { count: noRoom }));
    const notAdded = sum((each) => each.left + each.noClass);
    if (notAdded) said.push(tell("teach_not_added", { count: notAdded }));
    return said;
  }

  /** The class that a folder stands for; undefined when there are too many. */
  async #classFor(folder: string): Promise<string | undefined> {
    const { album } = this.#desk;
    const label = cleanLabel(folder);
    const known = album.classes.find(({ name }) => looksOf(name) === looksOf(label));
    if (known) return known.id;
    if (album.isFull) return undefined;
    const name = labelProblem(label) ? album.freeName((number) => words(this.#desk, "teach_class", { number })) : label;
    return (await album.addClass(name)).id;
  }

  /** Classes without pictures were only there to be filled; those that other lots wait for are. */
  async #removeEmpty(now: Lot): Promise<void> {
    const { album } = this.#desk;
    for (const { id } of [...album.classes]) {
      const isAwaited = [...this.#lots].some((lot) => lot !== now && lot.to === id);
      if (!isAwaited && !album.picturesOf(id).length) await album.removeClass(id);
    }
  }
}
