/** The page that teaches: three steps, and what was learnt is taken away. */

import { find, make } from "../../page/dom.js";
import { chosenFiles, droppedFiles, hasFiles } from "../../page/drop.js";
import { fillTexts, loadLanguage, tell, type Language } from "../../page/language.js";
import { sayUnloaded } from "../../page/unloaded.js";
import { readSite, type SiteJson } from "../../files.js";
import { Adding } from "./adding.js";
import { Album } from "./album.js";
import { Begun } from "./begun.js";
import { CameraDesk } from "./camera_desk.js";
import { Cards } from "./cards.js";
import type { Desk } from "./desk.js";
import { Gallery } from "./gallery.js";
import { Learning } from "./learning.js";
import { MemoryStore } from "./memory.js";
import { takeTurns } from "./only_tab.js";
import { Results } from "./results.js";
import { Search } from "./search.js";
import { NoRoom, NoStore, NotMine, Store, type Shelf } from "./store.js";
import { Taking } from "./taking.js";
import { whatIsMissing, whatWentWrong } from "./troubles.js";
import { Trying } from "./trying.js";
import { Tutor } from "./tutor.js";

const root = document.documentElement;
const site = new URL(".", import.meta.url);
const DRAWN = "teach/drawn/";

async function start(): Promise<void> {
  const language = await loadLanguage(site, root.lang);
  fillTexts(document, language);
  root.classList.remove("foreign");
  workFoot(language);
  // Browsers have neither locks nor hashes for pages without https.
  if (!window.isSecureContext) {
    stop(tell(language, "web_insecure"));
    return;
  }
  const about = await readSite(site);
  const name = `spotter teach ${site.pathname}`;
  const store = await openStore(name, () => {
    if (keeps) void page.lost();
  });
  const keeps = store instanceof Store;
  const page = new TeachPage(language, about, { store, keeps }, new Begun(keeps ? name : undefined));
  if (!keeps) {
    // No other tab sees what this one has, and browsers that have no database for a page may have no locks either.
    page.warn();
    await page.enter();
    return;
  }
  await takeTurns(name, {
    mine: () => void page.enter(),
    end: () => page.end(),
    others: (take) => {
      page.leave(take);
    },
  });
}

async function openStore(name: string, lost: () => void): Promise<Shelf> {
  try {
    return await Store.open(name, lost);
  } catch (error) {
    if (!(error instanceof NoStore)) throw error;
    console.info("Nothing is kept:", error);
    return new MemoryStore();
  }
}

class TeachPage {
  readonly #desk: Desk;
  readonly #cards: Cards;
  readonly #adding: Adding;
  readonly #learning: Learning;
  readonly #results: Results;
  readonly #trying: Trying;
  readonly #taking: Taking;
  readonly #about: SiteJson;
  readonly #store: Shelf;
  readonly #begun: Begun;
  readonly #main = find(document, "#teach");
  readonly #elsewhere = find(document, "#elsewhere");
  #isHere = false;
  // How many files were not added when another tab took over.
  #unadded = 0;

  constructor(language: Language, about: SiteJson, { store, keeps }: { store: Shelf; keeps: boolean }, begun: Begun) {
    this.#about = about;
    this.#store = store;
    this.#begun = begun;
    const album = new Album(store, about.contents ?? about.revision, () => {
      this.#show();
    });
    const said = find(document, "#said");
    const without = {
      language,
      site,
      album,
      keeps,
      tutor: new Tutor(site, album, showLoading(language), (error) => {
        this.#results.forget();
        this.#trying.forget();
        this.#taking.forget();
        this.#learning.lose(whatWentWrong(error));
      }),
      camera: new CameraDesk(),
      say: (text: string) => {
        said.textContent = text;
      },
    };
    const gallery = new Gallery(find<HTMLDialogElement>(document, "#gallery"), without, () => {
      this.#relearn();
    });
    this.#desk = {
      ...without,
      open: (title, hashes) => {
        gallery.open(title, hashes);
      },
    };
    const desk = this.#desk;
    this.#adding = new Adding(desk, begun);
    const search = new Search(find<HTMLDialogElement>(document, "#search"), desk, (id, pictures) => {
      const files = pictures.map(({ blob, name, origin }) => ({ path: name, file: new File([blob], name), origin }));
      void this.#adding.take(id, files);
    });
    this.#cards = new Cards(find(document, "#classes"), desk, {
      take: (id, chosen) => this.#adding.take(id, chosen),
      renamed: () => {
        this.#relearn();
      },
      remove: (id) => this.#removeClass(id),
      search: (id) => {
        search.open(id);
      },
    });
    this.#trying = new Trying(desk);
    this.#taking = new Taking(desk, about);
    this.#results = new Results(desk, () => {
      this.#relearn();
    });
    this.#learning = new Learning(desk, (taught, isLast) => {
      this.#results.show(taught);
      this.#trying.learnt(taught.labels);
      // What is taken away has learnt all that it was to.
      if (isLast) this.#taking.show(taught.labels);
      else this.#taking.forget();
    });
    this.#listen();
  }

  /** It is this tab's turn: what is kept may have changed in another. */
  async enter(): Promise<void> {
    const { album, language, say, tutor } = this.#desk;
    this.#isHere = true;
    this.#store.goOn();
    const gone = await album.load();
    await this.#haveClasses();
    this.#elsewhere.hidden = this.#desk.keeps;
    this.#main.hidden = false;
    const begun = this.#begun.read();
    this.#begun.forget();
    const said = gone ? [tell(language, "teach_gone", { count: gone })] : [];
    if (begun) said.push(tell(language, "teach_begun", { ...begun }));
    if (said.length) say(said.join(" "));
    try {
      await tutor.get();
      find(document, "#loading").classList.add("done");
    } catch (error) {
      const { key, values } = whatWentWrong(error);
      find(document, "#loading").classList.add("done");
      this.#desk.say(tell(this.#desk.language, key, values));
      return;
    }
    // As it was when the tab was closed.
    if (!album.isAnyWithoutFeatures() && !whatIsMissing(album)) await this.#learning.learn();
  }

  /** Nothing is kept on this device. */
  warn(): void {
    const { album, language } = this.#desk;
    this.#elsewhere.replaceChildren(make("p", {}, tell(language, "teach_no_store")));
    this.#elsewhere.hidden = false;
    addEventListener("beforeunload", (event) => {
      if (album.size) event.preventDefault();
    });
  }

  /** The browser closed what it keeps: show what is there still. */
  async lost(): Promise<void> {
    const { album, language, say } = this.#desk;
    let gone = 0;
    try {
      gone = await album.load();
      await this.#haveClasses();
    } catch (error) {
      if (!(error instanceof NoRoom)) throw error;
    }
    const said = [tell(language, "teach_store_closed")];
    if (gone) said.push(tell(language, "teach_gone", { count: gone }));
    say(said.join(" "));
  }

  /** Another tab is to have the pictures: nothing is changed here any longer when this ends. */
  async end(): Promise<void> {
    if (!this.#isHere) return;
    this.#isHere = false;
    const { camera, tutor } = this.#desk;
    camera.stop();
    for (const dialog of document.querySelectorAll("dialog")) dialog.close();
    this.#main.hidden = true;
    tutor.stopAhead();
    this.#forget();
    const stopping = this.#adding.stop();
    await this.#store.rest();
    this.#unadded = await stopping;
  }

  /** Another tab has the pictures. */
  leave(take: () => void): void {
    const { language } = this.#desk;
    const told = make("p", {}, tell(language, "teach_other_tab"));
    const here = make("button", { type: "button", class: "second" }, tell(language, "teach_go_on_here"));
    here.addEventListener("click", () => {
      here.disabled = true;
      take();
    });
    this.#elsewhere.replaceChildren(told, here);
    this.#elsewhere.hidden = false;
    this.#main.hidden = true;
    // Where the other tab did not ask, it has not ended yet.
    void this.end().then(() => {
      if (!this.#unadded) return;
      told.append(" ", tell(language, "teach_not_added", { count: this.#unadded }));
      this.#unadded = 0;
    });
  }

  #show(): void {
    const { album } = this.#desk;
    this.#cards.show();
    find(document, "#nothing-yet").hidden = album.size > 0;
    find(document, "#wipe").hidden = album.size === 0;
    find<HTMLButtonElement>(document, "#add-class").disabled = album.isFull;
    this.#learning.outdate();
  }

  /** After a decision: only where something was learnt before, and can be again. */
  #relearn(): void {
    if (find(document, "#learn").dataset.learnt) void this.#learning.learn();
  }

  #forget(): void {
    this.#learning.forget();
    this.#results.forget();
    this.#trying.forget();
    this.#taking.forget();
  }

  /** Those of all pictures, and two to begin with: with one there is nothing to tell apart. */
  async #haveClasses(): Promise<void> {
    const { album, language } = this.#desk;
    const name = (number: number): string => tell(language, "teach_class", { number });
    await album.restoreClasses(name);
    while (album.classes.length < 2) await album.addClass(album.freeName(name));
  }

  #listen(): void {
    const { album, language } = this.#desk;
    const folder = find<HTMLInputElement>(document, "#folder");
    folder.addEventListener("change", () => {
      void this.#adding.takeFolders(folder.files ? chosenFiles(folder.files) : [], this.#cards.current());
      folder.value = "";
    });
    find(document, "#choose-folder").addEventListener("click", () => {
      folder.click();
    });
    find(document, "#add-class").addEventListener("click", () => {
      void album.addClass(album.freeName((number) => tell(language, "teach_class", { number }))).then(({ id }) => {
        this.#cards.focus(id);
      });
    });
    find(document, "#bears").addEventListener("click", () => void this.#drawBears());
    find(document, "#wipe").addEventListener("click", () => void this.#wipe());
    const place = find(document, "#show");
    const drop = find(document, "#nothing-yet");
    for (const kind of ["dragenter", "dragover"]) {
      place.addEventListener(kind, (event) => {
        event.preventDefault();
        drop.classList.add("dragged");
      });
    }
    place.addEventListener("dragleave", () => {
      drop.classList.remove("dragged");
    });
    place.addEventListener("drop", (event) => {
      event.preventDefault();
      drop.classList.remove("dragged");
      const dropped = event.dataTransfer;
      if (dropped && hasFiles(dropped)) void this.#adding.takeFolders(droppedFiles(dropped), this.#cards.current());
      else this.#desk.say(tell(language, "web_no_file"));
    });
    // A picture that misses its place is no reason to leave the page.
    for (const kind of ["dragover", "drop"]) {
      addEventListener(kind, (event) => {
        event.preventDefault();
      });
    }
    document.addEventListener("paste", (event) => {
      const files = [...(event.clipboardData?.files ?? [])].filter((file) => file.type.startsWith("image/"));
      const to = this.#cards.current();
      if (!files.length || !this.#isHere || to === undefined) return;
      event.preventDefault();
      void this.#adding.take(to, files.map((file) => ({ path: file.name, file })));
    });
    addEventListener("unhandledrejection", ({ reason }) => {
      // The page says already that another tab has the pictures.
      if (reason instanceof NotMine) return;
      const { key, values } = reason instanceof NoRoom ? { key: "teach_no_room_change", values: {} } : whatWentWrong(reason);
      this.#desk.say(tell(language, key, values));
    });
  }

  /** Pictures that came with the site. */
  async #drawBears(): Promise<void> {
    const { language, say } = this.#desk;
    const button = find<HTMLButtonElement>(document, "#bears");
    button.disabled = true;
    try {
      const paths = Object.keys(this.#about.files).filter((path) => path.startsWith(DRAWN));
      const files = await Promise.all(
        paths.map(async (path) => {
          const answer = await fetch(new URL(path, site));
          if (!answer.ok) throw new TypeError(path);
          const name = path.slice(DRAWN.length);
          return { path: `bears/${name.replace(/-[^-]*$/, "")}/${name}`, file: new File([await answer.blob()], name) };
        }),
      );
      await this.#adding.takeFolders(files, undefined);
      find(document, "#learn").focus();
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
      say(tell(language, "web_no_network"));
    } finally {
      button.disabled = false;
    }
  }

  async #wipe(): Promise<void> {
    const { album, language, say, camera } = this.#desk;
    if (!window.confirm(tell(language, "teach_wipe_sure", { count: album.size }))) return;
    camera.stop();
    this.#forget();
    const left = await this.#stopAdding();
    await album.wipe();
    await this.#haveClasses();
    say([tell(language, "teach_wiped"), ...left].join(" "));
  }

  async #removeClass(id: string): Promise<void> {
    const { album, say } = this.#desk;
    const left = await this.#stopAdding();
    await album.removeClass(id);
    this.#relearn();
    if (left.length) say(left.join(" "));
  }

  /** End what is being added, as it would go on in what was removed; what is said of it. */
  async #stopAdding(): Promise<string[]> {
    this.#desk.tutor.stopAhead();
    const count = await this.#adding.stop();
    this.#begun.forget();
    return count ? [tell(this.#desk.language, "teach_adding_stopped", { count })] : [];
  }
}

function showLoading(language: Language): (loaded: number, total: number) => void {
  const place = find(document, "#loading");
  return (loaded, total) => {
    const [bar, text] = place.children;
    if (!(bar instanceof HTMLProgressElement) || !text || !total) return;
    bar.value = loaded / total;
    const values = { done: (loaded / 1e6).toFixed(1), total: (total / 1e6).toFixed(1) };
    text.textContent = tell(language, "web_loading", values);
  };
}

function workFoot(language: Language): void {
  for (const link of document.querySelectorAll<HTMLAnchorElement>("#foot .languages a")) {
    if (link.lang === language.tag) link.setAttribute("aria-current", "true");
    link.addEventListener("click", () => {
      try {
        localStorage.setItem("spotter-language", link.lang);
      } catch {
        // Then it is asked again next time; the address says it all the same.
      }
    });
  }
}

/** Nothing works here, and why. */
function stop(text: string): void {
  find(document, "#teach").hidden = true;
  const place = find(document, "#elsewhere");
  place.replaceChildren(make("p", {}, text));
  place.hidden = false;
}

start().catch(async (error: unknown) => {
  console.warn(error);
  root.classList.remove("foreign");
  try {
    const language = await loadLanguage(site, root.lang);
    const { key, values } = whatWentWrong(error);
    stop(tell(language, key, values));
  } catch {
    // Nothing but the page itself is here.
    find(document, "#teach").hidden = true;
    sayUnloaded(document, root.lang);
  }
});
