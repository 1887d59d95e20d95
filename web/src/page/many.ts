/** Many pictures: files, folders and zips in, a table and a CSV file out. */

import type { Answer, Spotter } from "../types.js";
import { unpack, type Given, type Plan } from "./batch.js";
import { setBusy, whenPressed } from "./busy.js";
import { csvOf, type Row } from "./csv.js";
import { find, make } from "./dom.js";
import { chosenFiles, droppedFiles, hasFiles } from "./drop.js";
import { loadLanguage, tell, type Language } from "./language.js";
import { MOST_BYTES, MOST_BYTES_TOGETHER, MOST_PICTURES, megabytes } from "./limits.js";
import type { Model } from "./model.js";
import { percent } from "./numbers.js";
import { modelProblem, pictureProblem, type Problem } from "./problem.js";
import { showWords } from "./words.js";

interface Result {
  name: string;
  answer?: Answer;
  problem?: Problem;
}

/** What the room needs to know. */
export interface ManyOptions {
  model: Model;
  language: Language;
  prior?: Record<string, number> | undefined;
}

/** The room, over the elements of `spotter/web/templates/index.html` in `root`. */
export class ManyRoom {
  readonly #part;
  readonly #options: ManyOptions;
  readonly #language: Language;
  #files: Given[] = [];
  #isStopped = false;
  #csv = "";

  constructor(root: ParentNode, options: ManyOptions) {
    this.#options = options;
    this.#language = options.language;
    this.#part = {
      limits: find(root, "#limits"),
      files: find(root, "#files"),
      some: find<HTMLInputElement>(root, "#files .some"),
      folder: find<HTMLInputElement>(root, "#files .folder"),
      chooseFolder: find<HTMLButtonElement>(root, "#choose-folder"),
      chosen: find(root, "#chosen"),
      clear: find<HTMLButtonElement>(root, "#clear"),
      go: find<HTMLButtonElement>(root, "#classify-all"),
      stop: find<HTMLButtonElement>(root, "#stop-all"),
      csv: find<HTMLAnchorElement>(root, "#csv"),
      state: find(root, "#many-state"),
      table: find(root, "#many-table"),
    };
    const limits = { count: MOST_PICTURES, total: megabytes(MOST_BYTES_TOGETHER), each: megabytes(MOST_BYTES) };
    this.#part.limits.textContent = this.#tell("limits", limits);
    this.#listen();
  }

  #listen(): void {
    const { files, some, folder, chooseFolder, clear, go, stop } = this.#part;
    for (const input of [some, folder]) {
      input.addEventListener("change", () => {
        this.#add(input.files ? chosenFiles(input.files) : []);
        input.value = "";
      });
    }
    chooseFolder.addEventListener("click", () => {
      folder.click();
    });
    clear.addEventListener("click", () => {
      this.#files = [];
      this.#showChosen();
      some.focus();
    });
    whenPressed(go, () => this.#classifyAll());
    stop.addEventListener("click", () => {
      this.#isStopped = true;
    });
    for (const kind of ["dragenter", "dragover"]) {
      files.addEventListener(kind, (event) => {
        event.preventDefault();
        files.classList.add("dragged");
      });
    }
    files.addEventListener("dragleave", () => {
      files.classList.remove("dragged");
    });
    files.addEventListener("drop", (event) => {
      event.preventDefault();
      files.classList.remove("dragged");
      if (event.dataTransfer) void this.#drop(event.dataTransfer);
    });
  }

  async #drop(dropped: DataTransfer): Promise<void> {
    const { state, go } = this.#part;
    if (hasFiles(dropped)) this.#add(await droppedFiles(dropped));
    else if (go.ariaDisabled !== "true") state.replaceChildren(make("p", {}, this.#tell("web_no_file")));
  }

  #add(found: readonly Given[]): void {
    this.#files.push(...found);
    this.#showChosen();
  }

  #showChosen(): void {
    const { chosen, clear } = this.#part;
    chosen.textContent = this.#files.length ? this.#tell("web_chosen", { count: this.#files.length }) : "";
    clear.hidden = !this.#files.length;
  }

  async #classifyAll(): Promise<void> {
    const { go, stop, csv, state, table } = this.#part;
    table.replaceChildren();
    csv.hidden = true;
    if (!this.#files.length) {
      state.replaceChildren(make("p", {}, this.#tell("nothing")));
      return;
    }
    this.#isStopped = false;
    setBusy(true, go);
    stop.hidden = false;
    try {
      state.replaceChildren(make("p", {}, this.#tell("looking")));
      const spotter = await this.#options.model.get();
      await this.#run(await unpack(this.#files), spotter);
    } catch (error) {
      showWords(state, modelProblem(error, this.#language));
    } finally {
      setBusy(false, go);
      stop.hidden = true;
    }
  }

  async #run(plans: readonly Plan[], spotter: Spotter): Promise<void> {
    const { state, table } = this.#part;
    const label = document.createTextNode("");
    const bar = make("progress", { max: plans.length || 1, value: 0 });
    state.replaceChildren(make("label", {}, label, bar));
    const { frame, body } = this.#makeTable();
    table.replaceChildren(frame);
    const results: Result[] = [];
    try {
      for (const plan of plans) {
        label.data = this.#tell("progress", { done: results.length, total: plans.length });
        bar.value = results.length;
        const result = await this.#classify(plan, spotter);
        // What has an answer by now is kept.
        results.push(result);
        body.append(this.#row(result));
        if (this.#isStopped) break;
      }
    } catch (error) {
      // Whatever keeps the other answers away.
      if (results.length) await this.#offerCsv(results, spotter);
      throw error;
    }
    state.replaceChildren(make("p", {}, this.#summary(results, plans.length)));
    await this.#offerCsv(results, spotter);
  }

  async #classify(plan: Plan, spotter: Spotter): Promise<Result> {
    const item = await plan();
    if ("problem" in item) return item;
    try {
      const { prior } = this.#options;
      return { name: item.name, answer: await spotter.classify(item.content, prior ? { prior } : {}) };
    } catch (error) {
      return { name: item.name, problem: await pictureProblem(error, item.content) };
    }
  }

  #summary(results: readonly Result[], total: number): string {
    const answers = results.map(({ answer }) => answer).filter((answer) => answer !== undefined);
    const named = answers.filter((answer) => answer.familiar).length;
    const figures = { pictures: results.length, named, unsure: answers.length - named, failed: results.length - answers.length };
    const done = this.#tell("done", figures);
    if (results.length === total) return done;
    return `${this.#tell("web_stopped", { done: results.length, total })} ${done}`;
  }

  #makeTable(): { frame: HTMLElement; body: HTMLElement } {
    const heads = ["column_file", "column_answer", "column_sure"].map((key) => make("th", { scope: "col" }, this.#tell(key)));
    const body = make("tbody");
    const table = make("table", {}, make("thead", {}, make("tr", {}, ...heads)), body);
    // Wide tables scroll by themselves, by keyboard too, and the page does not.
    return { frame: make("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": this.#tell("tab_many") }, table), body };
  }

  #row({ name, answer, problem }: Result): HTMLElement {
    const head = make("th", { scope: "row" }, name);
    if (!answer) {
      const told = problem ? this.#tell(problem.key, problem.values) : "";
      return make("tr", { class: "failed" }, head, make("td", { colspan: 2 }, told));
    }
    if (!answer.familiar) {
      return make("tr", { class: "strange" }, head, make("td", {}, this.#tell("not_sure")), make("td", {}, "–"));
    }
    const share = answer.probabilities[answer.label] ?? 0;
    return make("tr", {}, head, make("td", {}, answer.label), make("td", {}, percent(share)));
  }

  async #offerCsv(results: readonly Result[], spotter: Spotter): Promise<void> {
    const { csv } = this.#part;
    const { labels, advice } = spotter.card;
    // Tables are for programs, and so in one language. Where it does not come, a table in another is better than none.
    const english = results.some(({ problem }) => problem)
      ? await loadLanguage(this.#options.model.base, "en").catch((error: unknown) => {
          console.warn(error);
          return this.#language;
        })
      : this.#language;
    const rows: Row[] = results.map(({ name, answer, problem }) => ({
      name,
      ...(answer ? { answer } : {}),
      ...(problem ? { error: tell(english, problem.key, problem.values) } : {}),
    }));
    const used = this.#options.prior && !advice.includes("prior") ? [...advice, "prior", "unweighted"] : advice;
    if (this.#csv) URL.revokeObjectURL(this.#csv);
    this.#csv = URL.createObjectURL(new Blob([csvOf(rows, labels, used)], { type: "text/csv" }));
    csv.href = this.#csv;
    csv.hidden = false;
  }

  #tell(key: string, values: Record<string, string | number> = {}): string {
    return tell(this.#language, key, values);
  }
}
