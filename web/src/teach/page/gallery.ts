/** A window with pictures: where each is from, another class for it, and away with it. */

import { find, make, siteOf, webLink } from "../../page/dom.js";
import { tell } from "../../page/language.js";
import { words, type Desk } from "./desk.js";
import type { StoredPicture } from "./store.js";
import { addressOf, freeUnused } from "./thumbs.js";

// More would be no help, and fill the memory.
const MOST_SHOWN = 120;

type Without = Omit<Desk, "open">;

export class Gallery {
  readonly #dialog: HTMLDialogElement;
  readonly #desk: Without;
  /** Called after a picture was moved or removed. */
  readonly #changed: () => void;

  constructor(dialog: HTMLDialogElement, desk: Without, changed: () => void) {
    this.#dialog = dialog;
    this.#desk = desk;
    this.#changed = changed;
    dialog.addEventListener("close", () => {
      dialog.replaceChildren();
      freeUnused();
    });
    closeOnBackdrop(dialog);
  }

  /** Show pictures by their hashes; what was moved or removed is shown no longer. */
  open(title: string, hashes: () => string[]): void {
    const close = make("button", { type: "button", class: "second" }, words(this.#desk, "teach_close"));
    close.addEventListener("click", () => {
      this.#dialog.close();
    });
    const list = make("ul", { class: "gallery-list" });
    const more = make("p", { class: "plain" });
    this.#dialog.replaceChildren(make("header", {}, make("h2", { id: "gallery-title" }, title), close), list, more);
    const fill = (): void => {
      const pictures = hashes()
        .map((sha256) => this.#desk.album.get(sha256))
        .filter((picture) => picture !== undefined);
      list.replaceChildren(...pictures.slice(0, MOST_SHOWN).map((picture) => this.#item(picture, fill)));
      const rest = pictures.length - MOST_SHOWN;
      more.textContent = rest > 0 ? words(this.#desk, "teach_more", { count: rest }) : "";
      if (!pictures.length) more.textContent = words(this.#desk, "teach_none_left");
    };
    fill();
    this.#dialog.showModal();
  }

  #item(picture: StoredPicture, fill: () => void): HTMLElement {
    const { album } = this.#desk;
    const now = album.classOf(picture);
    const name = now === undefined ? words(this.#desk, "teach_left_out") : album.name(now);
    const again = (focus: string): void => {
      const place = [...find(this.#dialog, "ul").children].indexOf(item);
      fill();
      const items = find(this.#dialog, "ul").children;
      (items[Math.min(place, items.length - 1)] ?? this.#dialog).querySelector<HTMLElement>(focus)?.focus();
      this.#changed();
    };
    const choice = make("select", { "aria-label": words(this.#desk, "teach_class_of") });
    for (const each of album.classes) choice.append(make("option", { value: each.id, selected: each.id === now }, each.name));
    if (now === undefined) choice.prepend(make("option", { value: "", selected: true }, name));
    choice.addEventListener("change", () => {
      void album.decide(picture.sha256, "relabel", choice.value).then(() => {
        again("select");
      });
    });
    const remove = make("button", { type: "button", class: "second small" }, words(this.#desk, "teach_remove"));
    remove.addEventListener("click", () => {
      void album.removePicture(picture.sha256).then(() => {
        again("button");
      });
    });
    const item = make(
      "li",
      {},
      make("img", { src: addressOf(picture.blob), alt: words(this.#desk, "teach_picture_of", { label: name }), loading: "lazy" }),
      make("p", { class: "plain credit" }, ...originNodes(picture, this.#desk)),
      make("div", { class: "line" }, choice, remove),
    );
    return item;
  }
}

/** Close a dialog by a click beside it. */
export function closeOnBackdrop(dialog: HTMLDialogElement): void {
  dialog.addEventListener("click", (event) => {
    const box = dialog.getBoundingClientRect();
    const isInside =
      event.clientX >= box.left && event.clientX <= box.right && event.clientY >= box.top && event.clientY <= box.bottom;
    // A key pressed on a button in it is a click without a place.
    if (event.target === dialog && !isInside && event.detail > 0) dialog.close();
  });
}

/** Who a picture is from, and its licence. */
function originNodes({ origin }: StoredPicture, desk: Without): Node[] {
  if (origin.source === "folder" || origin.source === "camera") return [document.createTextNode(words(desk, "teach_own"))];
  const page = origin.page_url ?? "";
  const creator = webLink((origin.creator ?? "") || siteOf(page), page);
  const license = origin.license_id && origin.license_id !== "unknown" ? origin.license_id : words(desk, "teach_no_license");
  return [creator, document.createTextNode(tell(desk.language, "comma")), webLink(license, origin.license_url ?? "") ];
}
