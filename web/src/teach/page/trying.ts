/** Trying what was learnt: with the camera, at once, or with a file. */

import { advise } from "../../advice.js";
import { answerWords, type Words } from "../../page/answer.js";
import { showBars } from "../../page/bars.js";
import { cameraProblem } from "../../page/camera.js";
import { find } from "../../page/dom.js";
import { droppedFile } from "../../page/drop.js";
import { answerLive, type Answerer } from "../../page/live.js";
import { showPicture } from "../../page/picture_canvas.js";
import { pictureProblem, sizeProblem, type Problem } from "../../page/problem.js";
import { showWords } from "../../page/words.js";
import type { Answer } from "../../types.js";
import { words, type Desk } from "./desk.js";

// The same answer in other figures is written anew, and spoken, at most so often.
const CALM_MS = 1000;

export class Trying {
  readonly #part;
  readonly #desk: Desk;
  #labels: string[] = [];
  #picture: Blob | undefined;
  // Grows with every new picture and every end of the camera: who began before it is over.
  #turn = 0;
  #shownAt = 0;

  constructor(desk: Desk) {
    this.#desk = desk;
    this.#part = {
      box: find(document, "#try-box"),
      video: find<HTMLVideoElement>(document, "#try-box video"),
      shown: find<HTMLCanvasElement>(document, "#try-box canvas"),
      camera: find<HTMLButtonElement>(document, "#try-camera"),
      choose: find<HTMLButtonElement>(document, "#try-file"),
      input: find<HTMLInputElement>(document, "#try-input"),
      answer: find(document, "#answer"),
      spoken: find(document, "#spoken"),
      bars: find(document, "#bars"),
    };
    this.#listen();
  }

  /** Something was learnt: the camera goes on with it, and the picture gets its new answer. */
  learnt(labels: string[]): void {
    const isFirst = !this.#labels.length;
    this.#labels = labels;
    if (isFirst) this.#part.answer.replaceChildren();
    if (this.#picture && !this.#desk.camera.isIn(this.#part.video)) void this.#answer(this.#picture);
  }

  /** Nothing is learnt any longer. */
  forget(): void {
    this.#labels = [];
    this.#turn += 1;
    this.#picture = undefined;
    const { answer, bars, shown, video } = this.#part;
    if (this.#desk.camera.isIn(video)) this.#desk.camera.stop();
    answer.replaceChildren();
    bars.replaceChildren();
    shown.hidden = true;
  }

  #listen(): void {
    const { camera, choose, input, box } = this.#part;
    camera.addEventListener("click", () => void this.#toggle());
    choose.addEventListener("click", () => {
      input.value = "";
      input.click();
    });
    input.addEventListener("change", () => {
      const file = input.files?.[0];
      if (file) void this.#take(file);
    });
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
      event.stopPropagation();
      box.classList.remove("dragged");
      const file = droppedFile(event.dataTransfer);
      if (file) void this.#take(file);
      else this.#refuse({ key: "web_no_file" });
    });
  }

  /** Say why what was given is no picture to try. */
  #refuse({ key, values }: Problem): void {
    this.#desk.camera.stop();
    this.#turn += 1;
    this.#picture = undefined;
    this.#part.shown.hidden = true;
    this.#say("unreadable", words(this.#desk, key, values));
  }

  async #take(file: File): Promise<void> {
    this.#desk.camera.stop();
    const wrong = sizeProblem(file);
    if (wrong) {
      this.#refuse(wrong);
      return;
    }
    // The camera may be waiting for the visitor's leave.
    this.#turn += 1;
    this.#picture = file;
    const { shown } = this.#part;
    // Before anything is learnt it waits, in sight, for its answer.
    const answering = this.#isReady() ? this.#answer(file) : undefined;
    const isShown = await showPicture(shown, file);
    if (this.#picture === file) shown.hidden = !isShown;
    await answering;
  }

  async #answer(file: Blob): Promise<void> {
    const turn = ++this.#turn;
    try {
      const teacher = await this.#desk.tutor.get();
      const answer = await teacher.classify(file);
      if (turn !== this.#turn) return;
      showWords(this.#part.answer, answerWords(answer, this.#desk.language));
      showBars(this.#part.bars, answer, this.#desk.language);
    } catch (error) {
      const problem = await pictureProblem(error, file);
      if (turn === this.#turn) this.#say("unreadable", words(this.#desk, problem.key, problem.values));
    }
  }

  async #toggle(): Promise<void> {
    const { camera, video, shown, bars } = this.#part;
    if (this.#desk.camera.isIn(video)) {
      this.#desk.camera.stop();
      return;
    }
    if (!this.#isReady()) return;
    const turn = ++this.#turn;
    try {
      const isShown = await this.#desk.camera.show(video, () => {
        this.#turn += 1;
        video.hidden = true;
        camera.textContent = words(this.#desk, "name_camera");
      });
      if (!isShown) return;
    } catch (error) {
      if (turn !== this.#turn) return;
      this.#say("web_no_camera", words(this.#desk, cameraProblem(error)));
      return;
    }
    this.#picture = undefined;
    shown.hidden = true;
    video.hidden = false;
    camera.textContent = words(this.#desk, "web_stop_camera");
    bars.replaceChildren();
    await this.#live(() => turn !== this.#turn);
  }

  async #live(isOver: () => boolean): Promise<void> {
    const { video, answer: place } = this.#part;
    const teacher = await this.#desk.tutor.get();
    const answerer: Answerer = {
      classify: (frame) => teacher.classify(frame),
      // A model that was taught here has neither costs nor sets of labels.
      answerFrom: ({ labels, probabilities, familiarity, last: { threshold } }) =>
        advise({ labels: [...labels], threshold }, probabilities, familiarity),
      labelsOf: ({ probabilities }) => Object.keys(probabilities),
    };
    const isAway = (): boolean => isOver() || !this.#labels.length;
    // Figures that change with each frame are nothing to be read out.
    place.setAttribute("aria-live", "off");
    try {
      await answerLive(video, answerer, isAway, (answer) => {
        this.#showLive(answer);
      });
    } finally {
      place.setAttribute("aria-live", "polite");
    }
  }

  #showLive(answer: Answer): void {
    const { answer: place, bars, spoken } = this.#part;
    const { language } = this.#desk;
    const told = answerWords(answer, language);
    const before = place.querySelector("h2")?.textContent ?? "";
    const isSame = before.replace(/[0-9]+/g, "") === told.heading.replace(/[0-9]+/g, "");
    showBars(bars, answer, language);
    if (isSame && performance.now() - this.#shownAt < CALM_MS) return;
    this.#shownAt = performance.now();
    showWords(place, told);
    if (!isSame) spoken.textContent = told.heading;
  }

  #isReady(): boolean {
    if (this.#labels.length) return true;
    this.#say("teach_not_learnt", "", "hint");
    return false;
  }

  #say(heading: string, more: string, kind: Words["kind"] = "unsure"): void {
    this.#part.bars.replaceChildren();
    showWords(this.#part.answer, { heading: words(this.#desk, heading), more, kind });
  }
}
