/** The page that teaches: three steps, and what was learnt is taken away. */

import { find, make } from "../../page/dom.js";
import { chosenFiles, droppedFiles } from "../../page/drop.js";
import { fillTexts, loadLanguage, tell, type Language } from "../../page/language.js";
import { readSite, type SiteJson } from "../../files.js";
import { Adding } from "./adding.js";
import { Album } from "./album.js";
import { CameraDesk } from "./camera_desk.js";
import { Cards } from "./cards.js";
import type { Desk } from "./desk.js";
import { Gallery } from "./gallery.js";
import { Learning } from "./learning.js";
import { takeTurns } from "./only_tab.js";
import { Results } from "./results.js";
import { Search } from "./search.js";
import { NoRoom, NoStore, Store } from "./store.js";
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
  const store: Store = await Store.open(name, () => void page.lost());
  const page = new TeachPage(language, about, store);
  await takeTurns(name, {
    mine: () => void page.enter(),
    others: (take) => {
      page.leave(take);
    },
  });
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
  readonly #main = find(document, "#teach");
  readonly #elsewhere = find(document, "#elsewhere");
  #isHere = false;

  constructor(language: Language, about: SiteJson, store: Store) {
    this.#about = about;
    const album = new Album(store, about.contents ?? about.revision, () => {
      this.#show();
    });
    const said = find(document, "#said");
    const without = {
      language,
      site,
      album,
      tutor: new Tutor(site, album, showLoading(language)),
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
    this.#adding = new Adding(desk);
    const search = new Search(find<HTMLDialogElement>(document, "#search"), desk, (id, pictures) => {
      const files = pictures.map(({ blob, name, origin }) => ({ path: name, file: new File([blob], name), origin }));
      void this.#adding.take(id, files);
    });
    this.#cards = new Cards(find(document, "#classes"), desk, {
      take: (id, files) => this.#adding.take(id, files),
      search: (id) => {
        search.open(id);
      },
    });
    this.#trying = new Trying(desk);
    this.#taking = new Taking(desk, about);
    this.#results = new Results(desk, () => {
      this.#relearn();
    });
    this.#learning = new Learning(desk, (taught, isWhole) => {
      this.#results.show(taught);
      this.#trying.learnt(taught.labels);
      // What is taken away has learnt all that it can.
      if (isWhole) this.#taking.show(taught.labels);
      else this.#taking.forget();
    });
    this.#listen();
  }

  /** It is this tab's turn: what is kept may have changed in another. */
  async enter(): Promise<void> {
    const { album, tutor } = this.#desk;
    this.#isHere = true;
    const gone = await album.load();
    await this.#haveClasses();
    this.#elsewhere.hidden = true;
    this.#main.hidden = false;
    if (gone) this.#desk.say(tell(this.#desk.language, "teach_gone", { count: gone }));
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

  /** Another tab has the pictures. */
  leave(take: () => void): void {
    this.#isHere = false;
    this.#desk.camera.stop();
    for (const dialog of document.querySelectorAll("dialog")) dialog.close();
    this.#forget();
    const { language } = this.#desk;
    const here = make("button", { type: "button", class: "second" }, tell(language, "teach_go_on_here"));
    here.addEventListener("click", take);
    this.#elsewhere.replaceChildren(make("p", {}, tell(language, "teach_other_tab")), here);
    this.#elsewhere.hidden = false;
    this.#main.hidden = true;
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
      const to = this.#cards.current();
      if (event.dataTransfer) void droppedFiles(event.dataTransfer).then((files) => this.#adding.takeFolders(files, to));
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
      console.warn(reason);
      this.#desk.say(tell(language, reason instanceof NoRoom ? "teach_no_room_change" : "teach_failed"));
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
    await album.wipe();
    await this.#haveClasses();
    say(tell(language, "teach_wiped"));
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
    const { key, values } = error instanceof NoStore ? { key: "teach_no_store", values: {} } : whatWentWrong(error);
    stop(tell(language, key, values));
  } catch {
    // Nothing but the page itself is here.
    stop("The page could not be loaded. Are you online? Load it again in a moment.");
  }
});
