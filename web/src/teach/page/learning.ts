/** Learning: the button, how far it is, and the error that it found. */

import { find, make } from "../../page/dom.js";
import { asWritten } from "../../page/language.js";
import type { Problem } from "../../page/problem.js";
import type { Outlook, Taught } from "../types.js";
import { setBusy, whenPressed } from "../../page/busy.js";
import { words, type Desk } from "./desk.js";
import { whatIsMissing, whatWentWrong } from "./troubles.js";
import { until } from "./until.js";

// Why learning ends where the visitor wanted it to.
const STOPPED = new DOMException("stopped", "AbortError");

export class Learning {
  readonly #part = {
    learn: find<HTMLButtonElement>(document, "#learn"),
    stop: find<HTMLButtonElement>(document, "#stop"),
    learnt: find(document, "#learnt"),
    tried: find<HTMLVideoElement>(document, "#try-box video"),
  };
  readonly #desk: Desk;
  readonly #told: (taught: Taught, isLast: boolean) => void;
  #ending: AbortController | undefined;
  #again = false;
  // What was learnt from the pictures alone, while views of them are made.
  #soon: Taught | undefined;

  /** @param told called with what was learnt, and whether nothing more is learnt behind it. */
  constructor(desk: Desk, told: (taught: Taught, isLast: boolean) => void) {
    this.#desk = desk;
    this.#told = told;
    whenPressed(this.#part.learn, () => this.learn());
    this.#part.stop.addEventListener("click", () => {
      this.#again = false;
      this.#ending?.abort(STOPPED);
    });
  }

  /** Learn from what is there now; if it is learning already, once more behind that. */
  async learn(): Promise<void> {
    const missing = whatIsMissing(this.#desk.album);
    if (missing) {
      this.#refuse(missing);
      return;
    }
    if (this.#ending) {
      this.#again = true;
      // What is still to come would be out of date.
      if (this.#soon) this.#ending.abort(new DOMException("again", "AbortError"));
      return;
    }
    const isAskedAgain = (): boolean => this.#again;
    do {
      this.#again = false;
      await this.#learnOnce();
    } while (isAskedAgain());
  }

  /** Nothing is learnt any longer. */
  forget(): void {
    this.#again = false;
    this.#ending?.abort(new DOMException("forgotten", "AbortError"));
    this.#haveNothing();
  }

  /** What was learnt is gone, and why. */
  lose(problem: Problem): void {
    this.#haveNothing();
    this.#refuse(problem);
  }

  /** What was learnt is no longer of all the pictures. */
  outdate(): void {
    const { learn } = this.#part;
    if (learn.dataset.learnt) learn.textContent = words(this.#desk, "teach_learn_again");
  }

  #haveNothing(): void {
    const { learn, learnt } = this.#part;
    learnt.replaceChildren();
    learn.textContent = words(this.#desk, "teach_learn");
    delete learn.dataset.learnt;
  }

  async #learnOnce(): Promise<void> {
    const { learn, stop, learnt } = this.#part;
    const { tutor, camera } = this.#desk;
    // A film that is shown beside it would take half of the machine.
    if (!camera.isIn(this.#part.tried)) camera.stop();
    const ending = (this.#ending = new AbortController());
    const bar = make("progress", { max: 1, "aria-label": words(this.#desk, "teach_learning_now") });
    const told = document.createTextNode(words(this.#desk, "teach_learning_now"));
    const working = make("div", { class: "working" }, make("p", {}, told), bar);
    // What takes no time needs no bar, and what was said stays where it is.
    const slow = window.setTimeout(() => {
      learnt.prepend(working);
      stop.hidden = false;
    }, 300);
    setBusy(true, learn);
    try {
      const show = (done: number, total: number): void => {
        bar.max = total;
        bar.value = done;
        told.data = words(this.#desk, this.#soon ? "teach_views" : "teach_looking", { done, total });
      };
      const teaching = tutor.learn(ending.signal, show, (soon) => {
        if (ending.signal.aborted) return;
        this.#soon = soon;
        this.#show(soon);
        learnt.prepend(working);
        stop.hidden = false;
        this.#told(soon, false);
      });
      // Whoever stops it does not wait for what cannot be stopped: a disk, say.
      const taught = await until(ending.signal, teaching);
      this.#show(taught);
      this.#told(taught, true);
      void this.#lookOut(ending.signal);
    } catch (error) {
      working.remove();
      if (!ending.signal.aborted) this.#refuse(whatWentWrong(error));
      else if (ending.signal.reason === STOPPED) this.#stopped();
    } finally {
      clearTimeout(slow);
      working.remove();
      const hadFocus = stop.matches(":focus");
      stop.hidden = true;
      if (hadFocus) learn.focus();
      setBusy(false, learn);
      this.#ending = undefined;
      this.#soon = undefined;
    }
  }

  /** What was learnt from the pictures alone stays, and may be taken away. */
  #stopped(): void {
    this.#note(words(this.#desk, this.#soon ? "teach_stopped_early" : "teach_stopped"));
    if (this.#soon) this.#told(this.#soon, true);
  }

  #show(taught: Taught): void {
    const { language, tutor } = this.#desk;
    const { learn, learnt } = this.#part;
    const { wrong, judged, error, interval } = taught;
    const percents = interval.map((share) => asWritten(percentOf(share), language));
    const values = { wrong, judged, percent: asWritten(percentOf(error), language), low: percents[0] ?? "", high: percents[1] ?? "" };
    learn.dataset.learnt = "yes";
    learn.textContent = words(this.#desk, "teach_learn_again");
    const heading = words(this.#desk, wrong ? "teach_error" : "teach_no_error", values);
    const notes = [words(this.#desk, "teach_interval", values)];
    if (taught.groups.length) notes.push(words(this.#desk, "teach_groups", { count: taught.groups.length }));
    if (taught.twins.length) notes.push(words(this.#desk, "teach_twins", { count: taught.twins.length }));
    if (!tutor.keepsFeatures) notes.push(words(this.#desk, "teach_features_no_room"));
    learnt.replaceChildren(make("h3", {}, heading), ...notes.map((note) => make("p", {}, note)));
  }

  /** What more pictures would bring, only when it can be said. */
  async #lookOut(signal: AbortSignal): Promise<void> {
    let outlook: Outlook;
    try {
      outlook = await this.#desk.tutor.outlook(signal);
    } catch (error) {
      // It is an extra: what was learnt stands without it.
      console.info("There is no outlook:", error);
      return;
    }
    if (!outlook.can) return;
    const { language } = this.#desk;
    const values = { now: asWritten(percentOf(outlook.now), language), then: asWritten(percentOf(outlook.then), language) };
    const key = outlook.worthIt ? "teach_outlook" : "teach_outlook_little";
    this.#part.learnt.append(make("p", { class: "outlook" }, words(this.#desk, key, values)));
  }

  #refuse({ key, values }: Problem): void {
    this.#note(words(this.#desk, key, values));
  }

  /** What was learnt before stays, and is said below. */
  #note(text: string): void {
    const { learnt } = this.#part;
    for (const before of learnt.querySelectorAll(".wrong")) before.remove();
    learnt.prepend(make("p", { class: "wrong" }, text));
  }
}

/** A share in per cent; small ones with a decimal. */
export function percentOf(share: number): string {
  const percent = 100 * share;
  return percent < 9.95 && percent > 0 ? percent.toFixed(1) : percent.toFixed(0);
}
