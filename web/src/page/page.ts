/** The page of a site: its rooms, in the visitor's language. */

import { showAbout } from "./about.js";
import { find } from "./dom.js";
import { readFacts, type Facts } from "./facts.js";
import { fillTexts, loadLanguage, tell, type Language } from "./language.js";
import { ManyRoom } from "./many.js";
import { Model } from "./model.js";
import { isNew, keepForOffline } from "./offline.js";
import { OneRoom } from "./one.js";
import { readPrior } from "./prior.js";
import { showUse } from "./use.js";
import { workTabs } from "./tabs.js";
import { sayUnloaded, setUnloaded } from "./unloaded.js";

const root = document.documentElement;
const base = new URL(".", import.meta.url);
const asked = new URLSearchParams(location.search);
/** So long the self-test and the service worker wait for a first answer. */
const CALM_MS = 2000;

async function start(): Promise<void> {
  // A frame on another site is not to fill the visitor's disk.
  const keeps = !root.classList.contains("embed");
  const model = new Model(base, keeps && isNew());
  // It takes longest. Where that fails, whoever asks next is told.
  model.get().catch(() => undefined);
  const [language, facts] = await Promise.all([loadLanguage(base, root.lang), readFacts(base)]);
  fillTexts(document, language);
  root.classList.remove("foreign");
  setUnloaded(document, false);
  showFoot(language, facts);
  workLanguages(language);
  let answered = (): void => undefined;
  const answering = new Promise<void>((resolve) => {
    answered = () => {
      resolve();
      void one.test();
    };
  });
  const named = asked.get("prior");
  const prior = named !== null && facts.shares.length ? readPrior(named, facts.labels) : undefined;
  const known = (later: Facts): void => {
    showFoot(language, later);
  };
  const one = new OneRoom(document, { model, language, facts, known, prior, answered });
  if (named !== null && !prior) one.note(tell(language, "web_prior_wrong", { text: named.slice(0, 60) }));
  new ManyRoom(document, { model, language, prior });
  const rooms: Record<string, (room: HTMLElement) => void> = {
    "room-about": (room) => {
      showAbout(room, language, base);
    },
    "room-use": (room) => {
      showUse(room, language, base.href, document.title);
    },
  };
  workTabs(find(document, "#tabs"), (panel) => {
    const room = find(document, `#${panel}`);
    if (panel !== "room-one") one.stopCamera();
    if (!room.childElementCount) rooms[panel]?.(room);
  });
  acceptPaste((file) => one.take(file));
  reportHeight();
  await one.prepare();
  // Where that failed, a later try may not.
  await model.here;
  // Whoever has a picture is not to wait for more than it needs.
  await Promise.race([answering, new Promise((resolve) => setTimeout(resolve, CALM_MS))]);
  whenIdle(() => void one.test());
  if (keeps) whenIdle(() => void keepForOffline(base));
}

function showFoot(language: Language, facts: Facts): void {
  find(document, "#foot .told").textContent = language.error || facts.summary;
  find(document, "#foot .revision").textContent = facts.revision.slice(0, 12);
  const full = find<HTMLAnchorElement>(document, "#foot .full a");
  full.href = `./?lang=${language.tag}`;
}

function workLanguages(language: Language): void {
  for (const link of document.querySelectorAll<HTMLAnchorElement>("#foot .languages a")) {
    if (link.lang === language.tag) link.setAttribute("aria-current", "true");
    link.addEventListener("click", (event) => {
      event.preventDefault();
      try {
        localStorage.setItem("spotter-language", link.lang);
      } catch {
        // Then it is asked again next time; the address says it all the same.
      }
      const there = new URL(location.href);
      there.searchParams.set("lang", link.lang);
      location.assign(there);
    });
  }
}

/** Paste works anywhere on the page, not only by the button. */
function acceptPaste(take: (file: File) => Promise<void>): void {
  document.addEventListener("paste", (event) => {
    const file = [...(event.clipboardData?.files ?? [])].find((one) => one.type.startsWith("image/"));
    if (!file || find(document, "#room-one").hidden) return;
    event.preventDefault();
    void take(file);
  });
  // A picture that misses its place is no reason to leave the page.
  for (const kind of ["dragover", "drop"]) {
    addEventListener(kind, (event) => {
      event.preventDefault();
    });
  }
}

/** Tell the page around a frame how high this one is. */
function reportHeight(): void {
  if (window.parent === window) return;
  const box = find(document, "#page");
  new ResizeObserver(() => {
    window.parent.postMessage({ spotterHeight: Math.ceil(box.getBoundingClientRect().height) }, "*");
  }).observe(box);
}

function whenIdle(work: () => void): void {
  // Safari has no requestIdleCallback.
  if ("requestIdleCallback" in window) requestIdleCallback(work, { timeout: 3000 });
  else setTimeout(work, 500);
}

start().catch((error: unknown) => {
  console.warn(error);
  sayUnloaded(document, root.lang);
});
