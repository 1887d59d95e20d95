/** The classes: a card for each, with its name, its pictures and the ways to add some. */

import { make } from "../../page/dom.js";
import { chosenFiles, droppedFiles, hasFiles } from "../../page/drop.js";
import type { Chosen } from "./adding.js";
import { words, type Desk } from "./desk.js";
import { cleanLabel, labelProblem } from "./labels.js";
import { Shooting } from "./shooting.js";
import type { Class } from "./store.js";
import { addressOf, freeUnused } from "./thumbs.js";

// The newest, of a class.
const MOST_THUMBS = 18;

/** What the cards need from the page. */
export interface CardActions {
  /** Add files to a class. */
  take(id: string, chosen: Chosen): Promise<void>;
  /** A class has another name. */
  renamed(): void;
  /** Remove a class and its pictures. */
  remove(id: string): Promise<void>;
  /** Search for pictures of a class. */
  search(id: string): void;
}

export class Cards {
  readonly #list: HTMLElement;
  readonly #desk: Desk;
  readonly #actions: CardActions;
  readonly #cards = new Map<string, Card>();

  constructor(list: HTMLElement, desk: Desk, actions: CardActions) {
    this.#list = list;
    this.#desk = desk;
    this.#actions = actions;
  }

  /** Show the album as it is now. */
  show(): void {
    const { classes } = this.#desk.album;
    for (const [id, card] of this.#cards) {
      if (classes.some((each) => each.id === id)) continue;
      card.element.remove();
      this.#cards.delete(id);
    }
    for (const each of classes) {
      const card = this.#cards.get(each.id) ?? this.#make(each);
      card.show(each);
    }
    freeUnused();
  }

  /** The class that the visitor is at: where the focus is, or else the first without pictures, or the first. */
  current(): string | undefined {
    const { album } = this.#desk;
    const focused = [...this.#cards].find(([, card]) => card.element.matches(":focus-within"));
    const empty = album.classes.find(({ id }) => !album.picturesOf(id).length);
    return focused?.[0] ?? empty?.id ?? album.classes[0]?.id;
  }

  /** Put the focus on a class's name. */
  focus(id: string): void {
    this.#cards.get(id)?.focus();
  }

  #make(each: Class): Card {
    const card = new Card(each.id, this.#desk, this.#actions);
    this.#cards.set(each.id, card);
    this.#list.append(card.element);
    return card;
  }
}

class Card {
  readonly element: HTMLElement;
  readonly #name: HTMLInputElement;
  readonly #wrong = make("p", { class: "wrong", role: "alert" });
  readonly #count = make("span", { class: "count" });
  readonly #thumbs = make("ul", { class: "thumbs", "aria-hidden": "true" });
  readonly #camera: HTMLButtonElement;
  readonly #place = make("div");
  readonly #remove: HTMLButtonElement;
  readonly #all: HTMLButtonElement;
  #shown = "";

  constructor(
    readonly id: string,
    readonly desk: Desk,
    readonly actions: CardActions,
  ) {
    this.#name = make("input", { type: "text", class: "name", maxlength: 60, "aria-label": words(desk, "teach_class_name"), autocomplete: "off" });
    this.#remove = make("button", { type: "button", class: "icon" }, "×");
    const file = make("input", { type: "file", accept: "image/*", multiple: true, hidden: true });
    this.#camera = make("button", { type: "button", class: "second" }, words(desk, "teach_camera"));
    const files = make("button", { type: "button", class: "second" }, words(desk, "teach_files"));
    const search = make("button", { type: "button", class: "second" }, words(desk, "teach_search"));
    this.#all = make("button", { type: "button", class: "linklike" });
    const sources = make("div", { class: "line sources-line" }, this.#camera, files, search, file);
    this.element = make(
      "li",
      { class: "class" },
      make("div", { class: "head" }, this.#name, this.#count, this.#remove),
      this.#wrong,
      sources,
      this.#place,
      this.#thumbs,
      this.#all,
    );
    this.#camera.addEventListener("click", () => void this.#openCamera());
    files.addEventListener("click", () => {
      file.click();
    });
    file.addEventListener("change", () => {
      void this.actions.take(this.id, file.files ? chosenFiles(file.files) : []);
      file.value = "";
    });
    search.addEventListener("click", () => {
      this.actions.search(this.id);
    });
    this.#remove.addEventListener("click", () => void this.#removeClass());
    this.#all.addEventListener("click", () => {
      this.#open();
    });
    this.#listenToName();
    this.#listenToDrops();
  }

  show({ name }: Class): void {
    const { album } = this.desk;
    if (document.activeElement !== this.#name) this.#name.value = name;
    const pictures = album.picturesOf(this.id);
    this.#count.textContent = words(this.desk, "teach_count", { count: pictures.length });
    this.#remove.setAttribute("aria-label", words(this.desk, "teach_remove_class", { label: name }));
    const newest = pictures.slice(-MOST_THUMBS).reverse();
    const shown = `${name} ${newest.map(({ sha256 }) => sha256).join()}`;
    if (shown !== this.#shown) {
      this.#shown = shown;
      this.#thumbs.replaceChildren(
        ...newest.map(({ blob }) => make("li", {}, make("img", { src: addressOf(blob), alt: "", loading: "lazy" }))),
      );
    }
    this.#thumbs.hidden = !pictures.length;
    this.#all.hidden = !pictures.length;
    this.#all.textContent = words(this.desk, "teach_see_all", { label: name });
  }

  focus(): void {
    this.#name.focus();
    this.#name.select();
  }

  #open(): void {
    const { album } = this.desk;
    this.desk.open(album.name(this.id), () => album.picturesOf(this.id).reverse().map(({ sha256 }) => sha256));
  }

  async #openCamera(): Promise<void> {
    const shooting = new Shooting(this.desk, this.id, () => {
      const hadFocus = shooting.element.matches(":focus-within");
      shooting.element.remove();
      this.#camera.hidden = false;
      if (hadFocus) this.#camera.focus();
    });
    this.#place.replaceChildren(shooting.element);
    this.#camera.hidden = true;
    await shooting.open();
  }

  async #removeClass(): Promise<void> {
    const { album } = this.desk;
    const name = album.name(this.id);
    const count = album.picturesOf(this.id).length;
    if (count && !window.confirm(words(this.desk, "teach_remove_class_sure", { label: name, count }))) return;
    const next = this.element.nextElementSibling ?? this.element.previousElementSibling;
    if (this.#place.hasChildNodes()) this.desk.camera.stop();
    await this.actions.remove(this.id);
    (next?.querySelector<HTMLElement>("input.name") ?? document.querySelector<HTMLElement>("#add-class"))?.focus();
  }

  #listenToName(): void {
    const name = this.#name;
    const check = (): string | undefined => {
      const label = cleanLabel(name.value);
      const problem = labelProblem(label) ?? (this.desk.album.isTaken(label, this.id) ? "teach_name_taken" : undefined);
      this.#wrong.textContent = problem ? words(this.desk, problem) : "";
      name.toggleAttribute("aria-invalid", problem !== undefined);
      return problem ? undefined : label;
    };
    name.addEventListener("input", () => void check());
    name.addEventListener("change", () => {
      const label = check();
      // It keeps the name that it had.
      if (label === undefined) return;
      name.value = label;
      if (label !== this.desk.album.name(this.id)) void this.#rename(label);
    });
    name.addEventListener("keydown", (event) => {
      // One that ends the writing of a Chinese word is none.
      if (event.key !== "Enter" || event.isComposing) return;
      // Or else it presses the button that has the focus then.
      event.preventDefault();
      this.#camera.focus();
    });
    name.addEventListener("blur", () => {
      if (this.#wrong.textContent === "") return;
      name.value = this.desk.album.name(this.id);
      name.removeAttribute("aria-invalid");
    });
  }

  async #rename(label: string): Promise<void> {
    const { album } = this.desk;
    try {
      await album.rename(this.id, label);
      this.actions.renamed();
    } catch (error) {
      // What is shown is what is kept. The page says why.
      this.#name.value = album.name(this.id);
      throw error;
    }
  }

  #listenToDrops(): void {
    const { element } = this;
    for (const kind of ["dragenter", "dragover"]) {
      element.addEventListener(kind, (event) => {
        event.preventDefault();
        element.classList.add("dragged");
      });
    }
    element.addEventListener("dragleave", () => {
      element.classList.remove("dragged");
    });
    element.addEventListener("drop", (event) => {
      event.preventDefault();
      event.stopPropagation();
      element.classList.remove("dragged");
      const dropped = event.dataTransfer;
      if (dropped && hasFiles(dropped)) void this.actions.take(this.id, droppedFiles(dropped));
      else this.desk.say(words(this.desk, "web_no_file"));
    });
  }
}
