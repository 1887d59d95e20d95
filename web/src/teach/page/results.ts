/** What was learnt in pictures: which classes are taken for which, and labels that may be wrong. */

import { find, make } from "../../page/dom.js";
import type { Doubt, Taught } from "../types.js";
import { words, type Desk } from "./desk.js";
import type { Decision } from "./store.js";
import { addressOf, freeUnused } from "./thumbs.js";

export class Results {
  readonly #section = find(document, "#results");
  readonly #matrix = find(document, "#matrix");
  readonly #doubts = find(document, "#doubts");
  readonly #desk: Desk;
  readonly #decided: () => void;
  #taught: Taught | undefined;

  /** @param decided called after each decision, and after one was taken back. */
  constructor(desk: Desk, decided: () => void) {
    this.#desk = desk;
    this.#decided = decided;
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
    const { album } = this.#desk;
    const hadFocus = this.#doubts.contains(document.activeElement);
    const open = taught.doubtful.filter(({ sha256 }) => album.get(sha256) && !album.decisionAbout(sha256));
    const decided = album.decisions.filter(({ sha256 }) => album.get(sha256)).reverse();
    const list = make("ul", { class: "doubts" }, ...open.map((doubt) => this.#doubt(doubt)));
    const done = make("ul", { class: "doubts decided" }, ...decided.map((decision) => this.#decision(decision)));
    this.#doubts.replaceChildren(
      make("h3", { tabindex: -1 }, words(this.#desk, "teach_doubts")),
      make("p", { class: "plain" }, words(this.#desk, open.length ? "teach_doubts_text" : "teach_doubts_none")),
      list,
      ...(decided.length ? [make("h3", {}, words(this.#desk, "teach_decided")), done] : []),
    );
    // The row that had the focus is gone: the next one gets it.
    if (hadFocus) (this.#doubts.querySelector<HTMLElement>(".doubts button") ?? this.#doubts.querySelector<HTMLElement>("h3"))?.focus();
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

  #doubt({ sha256, label, probability, suggested }: Doubt): HTMLElement {
    const { album } = this.#desk;
    const picture = album.get(sha256);
    const values = { label, other: suggested ?? "", percent: (100 * probability).toFixed(0) };
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
        make("p", {}, words(this.#desk, suggested === null ? "teach_doubt_unsure" : "teach_doubt", values)),
        make("div", { class: "line" }, keep, choice, remove),
      ),
    );
  }

  #decision({ sha256, action, from, to }: Decision): HTMLElement {
    const { album } = this.#desk;
    const picture = album.get(sha256);
    const key = { keep: "teach_kept", relabel: "teach_moved", delete: "teach_deleted" }[action];
    const undo = make("button", { type: "button", class: "second small" }, words(this.#desk, "teach_undo"));
    undo.addEventListener("click", () => {
      void album.undo(sha256).then(() => {
        this.#after();
      });
    });
    const values = { label: album.name(from), other: album.name(to ?? from) };
    return make(
      "li",
      {},
      make("img", { src: picture ? addressOf(picture.blob) : "", alt: words(this.#desk, "teach_picture_of", { label: values.label }) }),
      make("div", {}, make("p", {}, words(this.#desk, key, values)), make("div", { class: "line" }, undo)),
    );
  }

  async #decide(sha256: string, action: Decision["action"], to?: string): Promise<void> {
    if (action === "relabel" && !to) return;
    await this.#desk.album.decide(sha256, action, to);
    this.#after();
  }

  #after(): void {
    this.showDoubts();
    this.#decided();
  }
}
