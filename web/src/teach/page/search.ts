/** A window that searches Openverse and Wikimedia Commons for pictures of a class. */

import { make, siteOf, webLink } from "../../page/dom.js";
import { tell } from "../../page/language.js";
import type { Origin } from "../types.js";
import { words, type Desk } from "./desk.js";
import { SourceTrouble, type Found, type Source } from "./found.js";
import { closeOnBackdrop } from "./gallery.js";
import { UNKNOWN_LICENSE } from "./licenses.js";
import { openverse } from "./openverse.js";
import { askSource, fetchPicture } from "./sources.js";
import { addressOf, freeUnused } from "./thumbs.js";
import { wikimedia } from "./wikimedia.js";

const SOURCES: readonly { source: Source; title: string }[] = [
  { source: openverse, title: "Openverse" },
  { source: wikimedia, title: "Wikimedia Commons" },
];
const AT_ONCE = 4;

/** A picture that was found, with its bytes and its place among the results. */
export interface FoundPicture {
  blob: Blob;
  name: string;
  origin: Origin;
}

interface Tile {
  found: Found;
  blob: Blob;
  rank: number;
  box: HTMLInputElement;
}

export class Search {
  readonly #dialog: HTMLDialogElement;
  readonly #desk: Desk;
  readonly #take: (id: string, pictures: FoundPicture[]) => void;
  #ending = new AbortController();

  constructor(dialog: HTMLDialogElement, desk: Desk, take: (id: string, pictures: FoundPicture[]) => void) {
    this.#dialog = dialog;
    this.#desk = desk;
    this.#take = take;
    dialog.addEventListener("close", () => {
      this.#ending.abort(new DOMException("closed", "AbortError"));
      dialog.replaceChildren();
      freeUnused();
    });
    closeOnBackdrop(dialog);
  }

  /** Open it for a class. */
  open(id: string): void {
    const name = this.#desk.album.name(id);
    const query = make("input", { type: "text", class: "name", value: name, required: true, maxlength: 200, "aria-label": this.#tell("teach_search_for") });
    const source = make("select", { "aria-label": this.#tell("teach_search_where") });
    for (const { source: each, title } of SOURCES) source.append(make("option", { value: each.name }, title));
    const go = make("button", { type: "submit", class: "first" }, this.#tell("teach_search"));
    const close = make("button", { type: "button", class: "second" }, this.#tell("teach_close"));
    const form = make("form", { class: "line" }, query, source, go);
    const heading = make("h2", { id: "search-title" }, this.#tell("teach_search_title", { label: name }));
    const add = make("button", { type: "button", class: "first", hidden: true });
    const more = make("button", { type: "button", class: "second", hidden: true }, this.#tell("teach_search_more"));
    const list = make("ul", { class: "gallery-list" });
    const state = make("p", { role: "status" });
    this.#dialog.replaceChildren(
      make("header", {}, heading, close),
      make("p", { class: "plain" }, this.#tell("teach_search_hint")),
      form,
      state,
      list,
      make("div", { class: "line foot-line" }, add, more),
    );
    close.addEventListener("click", () => {
      this.#dialog.close();
    });
    const tiles: Tile[] = [];
    let page = 0;
    const asked = { query: "", source: SOURCES[0]?.source ?? openverse };
    const count = (): void => {
      const chosen = tiles.filter(({ box }) => box.checked).length;
      add.hidden = !tiles.length;
      add.disabled = !chosen;
      add.textContent = this.#tell("teach_search_add", { count: chosen });
    };
    const run = async (): Promise<void> => {
      this.#ending.abort(new DOMException("again", "AbortError"));
      const ending = (this.#ending = new AbortController());
      more.hidden = true;
      state.textContent = this.#tell("teach_searching");
      try {
        const found = await askSource(asked.source, asked.query, page, ending.signal);
        const rank = page * 20;
        page += 1;
        const lost = await this.#fetchAll(found, ending.signal, (each, blob, place) => {
          const tile = this.#tile(each, blob, rank + place, count);
          tiles.push(tile);
          list.append(tile.box.closest("li") ?? tile.box);
          count();
        });
        const told = found.length || tiles.length ? "" : this.#tell("teach_search_none", { query: asked.query });
        state.textContent = lost ? this.#tell("teach_search_lost", { count: lost }) : told;
        more.hidden = !found.length || !asked.source.address(asked.query, page);
      } catch (error) {
        if (ending.signal.aborted) return;
        if (!(error instanceof SourceTrouble)) throw error;
        const title = SOURCES.find(({ source: each }) => each === asked.source)?.title ?? "";
        state.textContent = this.#tell(`teach_source_${error.reason}`, { source: title });
        more.hidden = !tiles.length;
      }
    };
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const words = query.value.trim();
      if (!words) return;
      asked.query = words;
      asked.source = SOURCES.find(({ source: each }) => each.name === source.value)?.source ?? openverse;
      page = 0;
      tiles.length = 0;
      list.replaceChildren();
      freeUnused();
      count();
      void run();
    });
    more.addEventListener("click", () => void run());
    add.addEventListener("click", () => {
      const at = new Date().toISOString();
      const chosen = tiles
        .filter(({ box }) => box.checked)
        .map(({ found, blob, rank }) => ({ blob, name: found.title ?? found.id, origin: originOf(found, asked.query, rank, at) }));
      this.#dialog.close();
      this.#take(id, chosen);
    });
    this.#dialog.showModal();
    query.select();
  }

  /** Fetch pictures, some at a time, in any order; returns how many could not be. */
  async #fetchAll(found: readonly Found[], signal: AbortSignal, got: (found: Found, blob: Blob, place: number) => void): Promise<number> {
    const waiting = [...found.entries()];
    let lost = 0;
    const work = async (): Promise<void> => {
      for (let next = waiting.shift(); next; next = waiting.shift()) {
        const [place, each] = next;
        try {
          const blob = await fetchPicture(each, signal);
          if (await canBeShown(blob)) got(each, blob, place);
          else lost += 1;
        } catch (error) {
          if (!(error instanceof SourceTrouble)) throw error;
          lost += 1;
        }
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    return lost;
  }

  #tile(found: Found, blob: Blob, rank: number, changed: () => void): Tile {
    const label = found.title ?? this.#tell("picture");
    const box = make("input", { type: "checkbox", checked: true, "aria-label": label });
    box.addEventListener("change", changed);
    const isUnknown = found.license_id === UNKNOWN_LICENSE;
    const credit = make(
      "p",
      { class: "plain credit" },
      webLink((found.creator ?? "") || siteOf(found.page_url ?? ""), found.page_url ?? ""),
      tell(this.#desk.language, "comma"),
      isUnknown ? this.#tell("teach_no_license") : webLink(found.license_id, found.license_url ?? ""),
    );
    make("li", {}, make("label", { class: "pick" }, make("img", { src: addressOf(blob), alt: "" }), box), credit);
    return { found, blob, rank, box };
  }

  #tell(key: string, values: Record<string, string | number> = {}): string {
    return words(this.#desk, key, values);
  }
}

async function canBeShown(blob: Blob): Promise<boolean> {
  try {
    (await createImageBitmap(blob)).close();
    return true;
  } catch {
    return false;
  }
}

function originOf(found: Found, query: string, rank: number, at: string): Origin {
  const origin: Origin & { fetch_url?: string } = { ...found, query, rank, at };
  // Where the smaller copy came from is nothing to be kept: `image_url` says where the picture is.
  delete origin.fetch_url;
  return origin;
}
