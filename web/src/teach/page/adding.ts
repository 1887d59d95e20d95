/** Adding pictures: from files, folders, searches and what was drawn; and saying what became of them. */

import type { Given } from "../../page/batch.js";
import { shownName } from "../../page/names.js";
import { MOST_LABELS, type Origin } from "../types.js";
import { MOST } from "./album.js";
import { words, type Desk } from "./desk.js";
import { sortByFolder, takeEvenly } from "./folders.js";
import { takeFiles, type Taken } from "./intake.js";
import { cleanLabel, labelProblem, looksOf } from "./labels.js";

type GivenFile = Given & { origin?: Origin };

export class Adding {
  readonly #desk: Desk;
  // One lot after the other.
  #work: Promise<void> = Promise.resolve();

  constructor(desk: Desk) {
    this.#desk = desk;
  }

  /** Add files to a class. */
  take(id: string, files: readonly GivenFile[]): Promise<void> {
    return this.#queue(() => this.#takeAll(new Map([[id, files]]), []));
  }

  /** Add folders: each becomes a class, or goes to the class of its name. */
  takeFolders(files: readonly GivenFile[], fallback: string | undefined): Promise<void> {
    return this.#queue(async () => {
      const { classes, loose } = sortByFolder(files);
      const found = new Map<string, GivenFile[]>();
      const notes: string[] = [];
      if (classes.size) await this.#removeEmpty();
      let skipped = 0;
      for (const [folder, inside] of classes) {
        const id = await this.#classFor(folder);
        if (id === undefined) skipped += 1;
        else found.set(id, [...(found.get(id) ?? []), ...inside]);
      }
      if (skipped) notes.push(words(this.#desk, "teach_too_many_classes", { most: MOST_LABELS, count: skipped }));
      if (loose.length && classes.size) notes.push(words(this.#desk, "teach_loose", { count: loose.length }));
      else if (loose.length && fallback !== undefined) found.set(fallback, loose);
      await this.#takeAll(found, notes);
    });
  }

  #queue(work: () => Promise<void>): Promise<void> {
    const done = this.#work.then(work);
    this.#work = done.catch(() => undefined);
    // A promise of its own: what nobody expected reaches whoever asked, or the page as a whole.
    return done.then();
  }

  async #takeAll(files: ReadonlyMap<string, readonly GivenFile[]>, notes: readonly string[]): Promise<void> {
    const { album, tutor, say } = this.#desk;
    const room = MOST - album.size;
    const lists = takeEvenly([...files.values()], room);
    const total = lists.reduce((sum, list) => sum + list.length, 0);
    const tooMany = [...files.values()].reduce((sum, list) => sum + list.length, 0) - total;
    let done = 0;
    const taken: Taken[] = [];
    for (const [place, id] of [...files.keys()].entries()) {
      taken.push(
        await takeFiles(album, tutor, id, lists[place] ?? [], () => {
          done += 1;
          say(words(this.#desk, "teach_adding", { done, total }));
        }),
      );
      if (taken.at(-1)?.noRoom) break;
    }
    say([...this.#summary(taken, tooMany), ...notes].join(" "));
    tutor.workAhead();
  }

  #summary(taken: readonly Taken[], tooMany: number): string[] {
    const sum = (count: (each: Taken) => number): number => taken.reduce((so, each) => so + count(each), 0);
    const tell = (key: string, values: Record<string, string | number>): string => words(this.#desk, key, values);
    const said = [tell("teach_added", { count: sum(({ added }) => added) })];
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

  /** Classes without pictures were only there to be filled. */
  async #removeEmpty(): Promise<void> {
    const { album } = this.#desk;
    for (const { id } of [...album.classes]) if (!album.picturesOf(id).length) await album.removeClass(id);
  }
}
