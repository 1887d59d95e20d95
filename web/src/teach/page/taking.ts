/** Taking away what was learnt: as a finished site, for `spotter adopt`, or to a Space of the Hub. */

import type { SiteJson } from "../../files.js";
import { find } from "../../page/dom.js";
import { setBusy, whenPressed } from "../../page/busy.js";
import { words, type Desk } from "./desk.js";
import { isOpen } from "./licenses.js";
import { Putting } from "./putting.js";
import { whatWentWrong } from "./troubles.js";

export class Taking {
  readonly #part = {
    section: find(document, "#take"),
    title: find<HTMLInputElement>(document, "#site-title"),
    showOwn: find<HTMLInputElement>(document, "#show-own"),
    leftOut: find(document, "#left-out"),
    site: find<HTMLButtonElement>(document, "#site-zip"),
    lesson: find<HTMLButtonElement>(document, "#lesson-zip"),
    commands: find(document, "#commands"),
    copy: find<HTMLButtonElement>(document, "#copy-commands"),
    packed: find(document, "#packed"),
  };
  readonly #desk: Desk;
  readonly #putting: Putting;

  constructor(desk: Desk, about: SiteJson) {
    this.#desk = desk;
    this.#putting = new Putting(desk, about.hub, async () => {
      const { teacher, lesson } = await desk.tutor.learnt();
      const options = { title: this.#title, showOwn: this.#part.showOwn.checked };
      return { title: options.title, labels: lesson.labels, files: await teacher.siteFiles(lesson, options) };
    });
    const { title, site, lesson, copy, commands } = this.#part;
    title.addEventListener("input", () => {
      this.#showCommands();
    });
    whenPressed(site, () => this.#pack("site"));
    whenPressed(lesson, () => this.#pack("lesson"));
    copy.addEventListener("click", () => void this.#copy(commands.textContent));
  }

  /** Something was learnt. */
  show(labels: readonly string[]): void {
    const { section, title, leftOut } = this.#part;
    section.hidden = false;
    title.placeholder = this.#defaultTitle(labels);
    const unknown = this.#desk.album.lesson().pictures.filter(({ origin }) => {
      const isOwn = origin.source === "folder" || origin.source === "camera";
      return !isOwn && !isOpen(origin.license_id ?? "");
    });
    leftOut.textContent = unknown.length ? words(this.#desk, "teach_left_out_licenses", { count: unknown.length }) : "";
    this.#showCommands();
  }

  forget(): void {
    this.#part.section.hidden = true;
  }

  get #title(): string {
    const { title } = this.#part;
    return title.value.trim() || title.placeholder;
  }

  #defaultTitle(labels: readonly string[]): string {
    return labels.slice(0, 4).join(", ");
  }

  /** A name for files and addresses. */
  get #name(): string {
    const plain = this.#title.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
    return plain.replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "").slice(0, 40).replace(/-+$/, "") || "my-classifier";
  }

  #showCommands(): void {
    const name = this.#name;
    this.#putting.suggest(name);
    this.#part.commands.textContent =
      `spotter adopt ${name}.spotter-lesson.zip --to hf://YOU/${name}\n` +
      `spotter deploy hf://YOU/${name}-page --model hf://YOU/${name} --static`;
  }

  async #pack(what: "site" | "lesson"): Promise<void> {
    const { site, lesson, packed, showOwn } = this.#part;
    setBusy(true, site, lesson);
    packed.textContent = words(this.#desk, "teach_packing");
    try {
      const { teacher, lesson: album } = await this.#desk.tutor.learnt();
      const title = this.#title;
      const zip =
        what === "site"
          ? await teacher.siteZip(album, { title, showOwn: showOwn.checked })
          : await teacher.lessonZip(album, { title, name: this.#name });
      const file = what === "site" ? `${this.#name}.zip` : `${this.#name}.spotter-lesson.zip`;
      save(zip, file);
      packed.textContent = words(this.#desk, "teach_packed", { file, size: (zip.size / 1e6).toFixed(1) });
    } catch (error) {
      const { key, values } = whatWentWrong(error);
      packed.textContent = words(this.#desk, key, values);
    } finally {
      setBusy(false, site, lesson);
    }
  }

  async #copy(text: string): Promise<void> {
    const { copy, commands } = this.#part;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // Not allowed: then it is selected, ready to be copied by hand.
      getSelection()?.selectAllChildren(commands);
      return;
    }
    copy.textContent = words(this.#desk, "copied");
    setTimeout(() => {
      copy.textContent = words(this.#desk, "copy");
    }, 2000);
  }
}

function save(file: Blob, name: string): void {
  const address = URL.createObjectURL(file);
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  // The browser has begun to read it by then.
  setTimeout(() => {
    URL.revokeObjectURL(address);
  }, 60_000);
}
