/** One picture: chosen, dropped, pasted or seen by the camera, and the answer to it. On the page and in the element. */

import type { Answer, Spotter } from "../types.js";
import { answerWords, startWords, type Words } from "./answer.js";
import { showBars, showEmptyBars } from "./bars.js";
import { setBusy, whenPressed } from "./busy.js";
import { cameraProblem, closeCamera, openCamera, takePicture } from "./camera.js";
import { find, make } from "./dom.js";
import { droppedFile } from "./drop.js";
import { showExamples } from "./examples.js";
import { readFacts, type Facts } from "./facts.js";
import { tell, type Language } from "./language.js";
import { answerLive, type Answerer } from "./live.js";
import type { Model } from "./model.js";
import { showPicture } from "./picture_canvas.js";
import { modelProblem, pictureProblem, problemWords, sizeProblem, type Problem } from "./problem.js";
import { ASKED_ROWS, reasonsOf } from "./reasons.js";
import { showWords } from "./words.js";

// While the camera runs, the same answer in other figures is shown at most so often.
const CALM_MS = 1000;

/** What the room needs to know. */
export interface RoomOptions {
  model: Model;
  language: Language;
  facts: Facts;
  prior?: Record<string, number> | undefined;
  /** Told what is known of the model where it came late. */
  known?: (facts: Facts) => void;
  /** Called after each answer to a picture. */
  answered?: () => void;
}

/** The room, over the elements of `spotter/web/templates/one.html` in `root`. */
export class OneRoom {
  readonly #part;
  readonly #options: RoomOptions;
  readonly #language: Language;
  #facts: Facts;
  #picture: Blob | undefined;
  #stream: MediaStream | undefined;
  // Grows with every new picture and every end of the camera: who began before it is over.
  #turn = 0;
  // The turn in which the camera was asked for, until it is there.
  #opening: number | undefined;
  #shownAt = 0;
  // What holds for all answers, and what the last press of a button came to.
  readonly #notes = new Set<string>();
  #said = "";
  // What ends the camera where the page is left, as long as it is on or asked for.
  #leaving: AbortController | undefined;

  constructor(root: ParentNode, options: RoomOptions) {
    this.#options = options;
    this.#language = options.language;
    this.#facts = options.facts;
    this.#part = {
      box: find(root, "#picture"),
      drop: find<HTMLLabelElement>(root, "#picture .drop"),
      input: find<HTMLInputElement>(root, "#picture input"),
      shown: find<HTMLCanvasElement>(root, ".shown"),
      video: find<HTMLVideoElement>(root, ".live"),
      remove: find<HTMLButtonElement>(root, ".remove"),
      sources: find(root, ".sources:not(.shooting)"),
      shooting: find(root, ".shooting"),
      upload: find<HTMLButtonElement>(root, ".upload"),
      camera: find<HTMLButtonElement>(root, ".camera"),
      paste: find<HTMLButtonElement>(root, ".paste"),
      capture: find<HTMLButtonElement>(root, ".capture"),
      stop: find<HTMLButtonElement>(root, ".stop"),
      examples: find(root, "#examples"),
      answer: find(root, "#answer"),
      spoken: find(root, "#spoken"),
      loading: find(root, "#loading"),
      notice: find(root, "#notice"),
      bars: find(root, "#bars"),
      ask: find<HTMLButtonElement>(root, "#ask-why"),
      why: find(root, "#why"),
    };
    this.#listen();
    this.#showExamples();
    this.#start();
  }

  /** Load the model now; where that fails, say so and offer to try again. */
  async prepare(): Promise<Spotter | undefined> {
    const { model } = this.#options;
    const unlisten = model.listen((loaded, total) => {
      this.#progress(loaded, total);
    });
    try {
      const spotter = await model.get();
      this.#part.loading.classList.add("done");
      if (!this.#facts.isWhole) await this.#learnFacts();
      return spotter;
    } catch (error) {
      this.#part.loading.classList.add("done");
      this.#offerAgain(error);
      return undefined;
    } finally {
      unlisten();
    }
  }

  /** Say something that holds for all answers. */
  note(text: string): void {
    this.#notes.add(text);
    this.#showNotes();
  }

  /** Say where this browser gives the network other pixels than it should, or where that could not be found out. */
  async test(): Promise<void> {
    let key = "web_disagrees";
    try {
      if (await this.#options.model.agrees()) return;
    } catch (error) {
      console.warn(error);
      key = "web_untested";
    }
    this.note(tell(this.#language, key));
  }

  /** Classify a file. */
  async take(file: Blob): Promise<void> {
    this.#endCamera();
    this.#say("");
    const turn = ++this.#turn;
    const { shown, answer, bars, box, drop, remove, why, ask } = this.#part;
    const wrong = sizeProblem(file);
    why.replaceChildren();
    ask.hidden = true;
    const hadFocus = drop.matches(":focus-within");
    drop.hidden = shown.hidden = true;
    remove.hidden = false;
    if (hadFocus) remove.focus();
    box.classList.add("full");
    this.#picture = file;
    if (wrong) {
      this.#refuse(wrong);
      return;
    }
    showWords(answer, this.#words("looking"));
    showEmptyBars(bars, this.#facts.labels.length);
    // The answer comes first: large pictures take their time to be drawn.
    const answering = this.#answer(file, turn);
    if ((await showPicture(shown, file)) && turn === this.#turn) shown.hidden = false;
    await answering;
  }

  /** Let go of the camera, if it runs, or is to run as soon as the visitor has allowed it. */
  stopCamera(): void {
    if (this.#opening === this.#turn) this.#turn += 1;
    if (!this.#stream) return;
    this.#endCamera();
    this.#start();
    showWords(this.#part.answer, this.#words("web_camera_off", "hint"));
  }

  async #answer(file: Blob, turn: number): Promise<void> {
    const { prior, answered } = this.#options;
    const spotter = await this.prepare();
    if (!spotter || turn !== this.#turn) return;
    try {
      const answer = await spotter.classify(file, prior ? { prior } : {});
      if (turn !== this.#turn) return;
      this.#show(answer);
      this.#part.ask.hidden = false;
      answered?.();
    } catch (error) {
      if (turn !== this.#turn) return;
      await this.#explainFailure(error, file);
    }
  }

  async #explainFailure(error: unknown, file: Blob): Promise<void> {
    let problem: Problem;
    try {
      problem = await pictureProblem(error, file);
    } catch {
      // It is not about the picture.
      this.#offerAgain(error);
      return;
    }
    this.#refuse(problem);
  }

  /** What of the facts did not come at first has come with the model. */
  async #learnFacts(): Promise<void> {
    this.#facts = await readFacts(this.#options.model.base);
    this.#options.known?.(this.#facts);
    this.#showExamples();
    if (!this.#picture && !this.#stream) this.#start();
  }

  /** Examples are chosen like other pictures. */
  #showExamples(): void {
    showExamples(this.#part.examples, this.#facts.examples, this.#language, (coming) => void this.#takeExample(coming));
  }

  /** What is chosen while it travels is what one wants. */
  async #takeExample(coming: Promise<Blob | string>): Promise<void> {
    const { answer, bars, ask, why } = this.#part;
    this.stopCamera();
    this.#say("");
    const turn = ++this.#turn;
    ask.hidden = true;
    why.replaceChildren();
    showWords(answer, this.#words("looking"));
    showEmptyBars(bars, this.#facts.labels.length);
    const found = await coming;
    if (turn !== this.#turn) return;
    if (typeof found !== "string") {
      await this.take(found);
      return;
    }
    this.#start();
    showWords(answer, problemWords("no_answer", found, this.#language));
  }

  #show(answer: Answer): void {
    showWords(this.#part.answer, answerWords(answer, this.#language));
    showBars(this.#part.bars, answer, this.#language);
  }

  #refuse({ key, values }: Problem): void {
    const heading = tell(this.#language, "unreadable");
    showWords(this.#part.answer, { heading, more: tell(this.#language, key, values), kind: "unsure" });
    this.#part.bars.replaceChildren();
  }

  #offerAgain(error: unknown): void {
    const again = make("button", { type: "button" }, tell(this.#language, "web_again"));
    again.addEventListener("click", () => {
      this.#part.loading.classList.remove("done");
      this.#options.model.forget();
      if (this.#picture) void this.take(this.#picture);
      else {
        this.#start();
        void this.prepare();
      }
    });
    this.#part.bars.replaceChildren();
    showWords(this.#part.answer, modelProblem(error, this.#language), again);
  }

  #start(): void {
    const { answer, bars, ask, why, shown, box, drop, remove, input } = this.#part;
    this.#turn += 1;
    this.#picture = undefined;
    input.value = "";
    shown.hidden = ask.hidden = remove.hidden = true;
    drop.hidden = false;
    box.classList.remove("full");
    bars.replaceChildren();
    why.replaceChildren();
    showWords(answer, startWords(this.#facts.labels, this.#language));
  }

  #progress(loaded: number, total: number): void {
    const [bar, text] = this.#part.loading.children;
    if (!(bar instanceof HTMLProgressElement) || !text || !total) return;
    bar.value = loaded / total;
    const values = { done: (loaded / 1e6).toFixed(1), total: (total / 1e6).toFixed(1) };
    text.textContent = tell(this.#language, "web_loading", values);
  }

  /** Say what a button came to; what was said so before is over. */
  #say(text: string): void {
    this.#said = text;
    this.#showNotes();
  }

  #showNotes(): void {
    const text = [...this.#notes, this.#said].filter((note) => note).join("\n");
    // Screen readers read it again whenever it is set.
    if (this.#part.notice.textContent !== text) this.#part.notice.textContent = text;
  }

  #words(key: string, kind: Words["kind"] = "hint"): Words {
    return { heading: tell(this.#language, key), more: "", kind };
  }

  #listen(): void {
    const { box, input, remove, upload, camera, paste, capture, stop, ask } = this.#part;
    input.addEventListener("change", () => {
      const file = input.files?.[0];
      if (file) void this.take(file);
    });
    upload.addEventListener("click", () => {
      input.value = "";
      input.click();
    });
    remove.addEventListener("click", () => {
      this.#start();
      upload.focus();
    });
    camera.addEventListener("click", () => void this.#openCamera());
    stop.addEventListener("click", () => {
      this.stopCamera();
      camera.focus();
    });
    capture.addEventListener("click", () => void this.#capture());
    paste.addEventListener("click", () => void this.#paste());
    whenPressed(ask, () => this.#why());
    for (const kind of ["dragenter", "dragover"]) {
      box.addEventListener(kind, (event) => {
        event.preventDefault();
        box.classList.add("dragged");
      });
    }
    box.addEventListener("dragleave", () => {
      box.classList.remove("dragged");
    });
    box.addEventListener("drop", (event) => {
      event.preventDefault();
      box.classList.remove("dragged");
      this.#drop(event.dataTransfer);
    });
  }

  /** Listens to the page around it no longer than it has to: an element may be gone by then, and another in its place. */
  #stopWhereLeft(): AbortController {
    const leaving = new AbortController();
    const { signal } = leaving;
    const hidden = (): void => {
      // Some browsers hide a page while they ask whether it may have the camera.
      if (document.hidden && this.#stream) this.stopCamera();
    };
    const left = (): void => {
      this.stopCamera();
    };
    document.addEventListener("visibilitychange", hidden, { signal });
    addEventListener("pagehide", left, { signal });
    return leaving;
  }

  #drop(dropped: DataTransfer | null): void {
    const file = droppedFile(dropped);
    if (file) {
      void this.take(file);
      return;
    }
    this.#endCamera();
    this.#start();
    // Of a picture on another page, browsers give its address alone.
    this.#refuse({ key: dropped?.files.length ? "web_folder" : "web_no_file" });
  }

  async #paste(): Promise<void> {
    // The browser may ask first, and meanwhile something else may be chosen.
    const turn = this.#turn;
    let picture: Blob | undefined;
    try {
      picture = await clipboardPicture();
    } catch {
      this.#say(tell(this.#language, "web_paste_refused"));
      return;
    }
    if (!picture) this.#say(tell(this.#language, "web_paste_empty"));
    else if (turn === this.#turn) await this.take(picture);
  }

  async #openCamera(): Promise<void> {
    this.#endCamera();
    this.#start();
    this.#say("");
    const turn = (this.#opening = this.#turn);
    const leaving = (this.#leaving = this.#stopWhereLeft());
    const { video, drop, box, sources, shooting, answer, bars, capture } = this.#part;
    try {
      const stream = await openCamera(video, () => turn === this.#turn && !document.hidden);
      if (!stream) return;
      this.#stream = stream;
      // Unplugged, or taken away in the browser's settings.
      stream.getVideoTracks()[0]?.addEventListener("ended", () => {
        this.stopCamera();
      });
    } catch (error) {
      if (turn !== this.#turn) return;
      showWords(answer, problemWords("web_no_camera", cameraProblem(error), this.#language));
      return;
    } finally {
      if (this.#opening === turn) this.#opening = undefined;
      if (turn !== this.#turn || !this.#stream) leaving.abort();
    }
    box.classList.add("full");
    drop.hidden = sources.hidden = true;
    video.hidden = shooting.hidden = false;
    capture.focus();
    // Figures that change with each frame are nothing to be read out.
    answer.setAttribute("aria-live", "off");
    showWords(answer, this.#words("web_point"));
    showEmptyBars(bars, this.#facts.labels.length);
    await this.#live(turn);
  }

  async #live(turn: number): Promise<void> {
    const spotter = await this.prepare();
    if (!spotter) {
      const { answer } = this.#part;
      const said = [...answer.childNodes];
      this.#endCamera();
      answer.replaceChildren(...said);
      return;
    }
    const isOver = (): boolean => turn !== this.#turn;
    const options = this.#options.prior ? { prior: this.#options.prior } : {};
    const answerer: Answerer = {
      classify: (frame) => spotter.classify(frame, options),
      answerFrom: ({ probabilities, familiarity }) => spotter.answerFrom(probabilities, familiarity, options),
      labelsOf: () => spotter.card.labels,
    };
    try {
      await answerLive(this.#part.video, answerer, isOver, (answer) => {
        this.#showSteadied(answer);
      });
    } catch (error) {
      if (isOver()) return;
      this.#endCamera();
      this.#offerAgain(error);
    }
  }

  #showSteadied(answer: Answer): void {
    const { spoken, answer: place, bars } = this.#part;
    const words = answerWords(answer, this.#language);
    const name = answer.familiar ? (answer.set ?? [answer.label]).join() : "";
    const said = `${words.kind} ${name}`;
    const now = performance.now();
    if (spoken.dataset.said !== said || now - this.#shownAt >= CALM_MS) {
      showWords(place, words);
      this.#shownAt = now;
    }
    if (spoken.dataset.said !== said) spoken.textContent = words.heading;
    spoken.dataset.said = said;
    showBars(bars, answer, this.#language);
  }

  async #capture(): Promise<void> {
    const picture = await takePicture(this.#part.video);
    await this.take(picture);
    this.#part.remove.focus();
  }

  #endCamera(): void {
    const { video, sources, shooting, answer, spoken } = this.#part;
    this.#turn += 1;
    this.#leaving?.abort();
    if (this.#stream) closeCamera(video, this.#stream);
    this.#stream = undefined;
    video.hidden = shooting.hidden = true;
    sources.hidden = false;
    answer.setAttribute("aria-live", "polite");
    spoken.textContent = "";
    delete spoken.dataset.said;
  }

  async #why(): Promise<void> {
    const { ask, why } = this.#part;
    const picture = this.#picture;
    const turn = this.#turn;
    if (!picture) return;
    setBusy(true, ask);
    // What is below makes room now, and does not jump when the reasons come.
    why.replaceChildren(make("p", { class: "room" }, tell(this.#language, "looking")));
    try {
      const spotter = await this.#options.model.get();
      const evidence = spotter.card.explains ? await spotter.explain(picture) : undefined;
      const near = await spotter.nearest(picture, ASKED_ROWS).catch((error: unknown) => {
        // Where it looked is known all the same.
        console.warn(error);
        return undefined;
      });
      const reasons = await reasonsOf(picture, evidence, near, this.#language);
      if (turn !== this.#turn) return;
      const hadFocus = ask.matches(":focus");
      ask.hidden = true;
      why.replaceChildren(reasons);
      // What is read or reached next comes after them.
      if (hadFocus) why.focus({ preventScroll: true });
    } catch (error) {
      // The answer holds, whatever keeps its reasons away.
      const { heading, more } = modelProblem(error, this.#language);
      if (turn === this.#turn) why.replaceChildren(make("p", {}, heading), make("p", {}, more));
    } finally {
      setBusy(false, ask);
    }
  }
}

/** The picture in the clipboard, if there is one. @throws DOMException where the browser does not give it. */
async function clipboardPicture(): Promise<Blob | undefined> {
  for (const item of await navigator.clipboard.read()) {
    const kind = item.types.find((type) => type.startsWith("image/"));
    if (kind) return item.getType(kind);
  }
  return undefined;
}
