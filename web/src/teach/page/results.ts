/** What was learnt in pictures: which classes are taken for which, and labels that may be wrong. */

import { find, make } from "../../page/dom.js";
import type { Doubt, Taught } from "../types.js";
import { words, type Desk } from "./desk.js";
import { showRows } from "./lasting_list.js";
import type { Decision } from "./store.js";
import { addressOf, freeUnused } from "./thumbs.js";

export class Results {
  readonly #section = find(document, "#results");
  readonly #matrix = find(document, "#matrix");
  readonly #doubts = find(document, "#doubts");
  readonly #parts = {
    title: make("h3", { tabindex: -1 }),
    hint: make("p", { class: "plain" }),
    open: make("ul", { class: "doubts" }),
    decidedTitle: make("h3"),
    decided: make("ul", { class: "doubts decided" }),
  };
  readonly #desk: Desk;
  readonly #decided: () => void;
  #taught: Taught | undefined;
  #isPressed = false;
  #isLate = false;

  /** @param decided called after each decision, and after one was taken back. */
  constructor(desk: Desk, decided: () => void) {
    this.#desk = desk;
    this.#decided = decided;
    const { title, decidedTitle } = this.#parts;
    title.textContent = words(desk, "teach_doubts");
    decidedTitle.textContent = words(desk, "teach_decided");
    this.#doubts.replaceChildren(...Object.values(this.#parts));
    this.#doubts.addEventListener("pointerdown", () => (this.#isPressed = true));
    for (const kind of ["pointerup", "pointercancel"]) addEventListener(kind, () => { this.#release(); });
  }

  show(taught: Taught): void {
    this.#taught = taught;
    this.#section.hidden = false;
    this.#showMatrix(taught);
    this.showDoubts();
  }

  forget(): void {
    this.#taught = undefined;
    this.#section.hidden = true;
  }

  /** The labels in doubt, without those that were decided about, and what was decided. */
  showDoubts(): void {
    const taught = this.#taught;
    if (!taught) return;
    // What is pressed must not move away before it is released.
    this.#isLate = this.#isPressed;
    if (this.#isLate) return;
    const { album } = this.#desk;
    const hadFocus = this.#doubts.contains(document.activeElement);
    const open = taught.doubtful.filter(({ sha256 }) => album.get(sha256) && !album.decisionAbout(sha256));
    const decided = album.decisions.filter(({ sha256 }) => album.get(sha256)).reverse();
    const parts = this.#parts;
    const classes = album.classes.map(({ name }) => name);
    parts.hint.textContent = words(this.#desk, open.length ? "teach_doubts_text" : "teach_doubts_none");
    showRows(
      parts.open,
      open.map((doubt) => ({
        key: JSON.stringify([doubt.sha256, doubt.label, classes]),
        words: this.#wordsOf(doubt),
        make: (says) => this.#doubt(doubt, says),
      })),
    );
    parts.decidedTitle.hidden = parts.decided.hidden = !decided.length;
    showRows(
      parts.decided,
      decided.map((decision) => ({
        key: JSON.stringify([decision.id, classes]),
        words: this.#wordsOfDecision(decision),
        make: (says) => this.#decision(decision, says),
      })),
    );
    // The row that had the focus is gone: the next one gets it.
    if (hadFocus && !this.#doubts.contains(document.activeElement)) {
      (this.#doubts.querySelector<HTMLElement>(".doubts button") ?? this.#doubts.querySelector<HTMLElement>("h3"))?.focus();
    }
    freeUnused();
  }

  #showMatrix({ labels, confusion }: Taught): void {
    const tell = (key: string, values?: Record<string, string | number>): string => words(this.#desk, key, values);
    const head = make("tr", {}, make("th", { scope: "col" }, tell("teach_is")), ...labels.map((label) => make("th", { scope: "col" }, label)));
    const rows = labels.map((label, row) => {
      const cells = labels.map((called, column) => {
        const hashes = confusion[row]?.[column] ?? [];
        if (!hashes.length) return make("td", { class: "none" }, "0");
        const isRight = row === column;
        const title = tell(isRight ? "teach_cell_right" : "teach_cell_wrong", { label, called, count: hashes.length });
        const button = make("button", { type: "button", class: isRight ? "right" : "mistaken", "aria-label": title }, String(hashes.length));
        button.addEventListener("click", () => {
          this.#desk.open(title, () => hashes);
        });
        return make("td", {}, button);
      });
      return make("tr", {}, make("th", { scope: "row" }, label), ...cells);
    });
    const table = make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows));
    this.#matrix.replaceChildren(
      make("h3", {}, tell("teach_matrix")),
      make("p", { class: "plain" }, tell("teach_matrix_text")),
      make("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": tell("teach_matrix") }, table),
    );
  }

  #wordsOf({ label, probability, suggested }: Doubt): string {
    const values = { label, other: suggested ?? "", percent: (100 * probability).toFixed(0) };
    return words(this.#desk, suggested === null ? "teach_doubt_unsure" : "teach_doubt", values);
  }

  #doubt({ sha256, label, suggested }: Doubt, says: string): HTMLElement {
    const { album } = this.#desk;
    const picture = album.get(sha256);
    const keep = make("button", { type: "button", class: "second small" }, words(this.#desk, "teach_keep", { label }));
    keep.addEventListener("click", () => void this.#decide(sha256, "keep"));
    const remove = make("button", { type: "button", class: "second small" }, words(this.#desk, "teach_delete"));
    remove.addEventListener("click", () => void this.#decide(sha256, "delete"));
    const choice = make("select", { "aria-label": words(this.#desk, "teach_move") }, make("option", { value: "" }, words(this.#desk, "teach_move")));
    // The likeliest first.
    const others = album.classes.filter(({ name }) => name !== label);
    others.sort((one, other) => Number(other.name === suggested) - Number(one.name === suggested));
    for (const { id, name } of others) choice.append(make("option", { value: id }, name));
    choice.addEventListener("change", () => void this.#decide(sha256, "relabel", choice.value));
    return make(
      "li",
      {},
      make("img", { src: picture ? addressOf(picture.blob) : "", alt: words(this.#desk, "teach_picture_of", { label }) }),
      make(
        "div",
        {},
        make("p", {}, says),
        make("div", { class: "line" }, keep, choice, remove),
      ),
    );
  }

  #wordsOfDecision({ action, from, to }: Decision): string {
    const { album } = this.#desk;
    const key = { keep: "teach_kept", relabel: "teach_moved", delete: "teach_deleted" }[action];
    return words(this.#desk, key, { label: album.name(from), other: album.name(to ?? from) });
  }

  #decision({ sha256, from }: Decision, says: string): HTMLElement {
    const { album } = this.#desk;
    const picture = album.get(sha256);
    const undo = make("button", { type: "button", class: "second small" }, words(this.#desk, "teach_undo"));
    undo.addEventListener("click", () => {
      void album.undo(sha256).then(() => {
        this.#after();
      });
    });
    return make(
      "li",
      {},
      make("img", { src: picture ? addressOf(picture.blob) : "", alt: words(this.#desk, "teach_picture_of", { label: album.name(from) }) }),
      make("div", {}, make("p", {}, says), make("div", { class: "line" }, undo)),
    );
  }

  async #decide(sha256: string, action: Decision["action"], to?: string): Promise<void> {
    if (action === "relabel" && !to) return;
    await this.#desk.album.decide(sha256, action, to);
    this.#after();
  }

  #release(): void {
    this.#isPressed = false;
    // The click comes after this.
    if (this.#isLate) setTimeout(() => { this.showDoubts(); });
  }

  #after(): void {
    this.showDoubts();
    this.#decided();
  }
}
