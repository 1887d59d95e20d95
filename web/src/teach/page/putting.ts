/** Putting what was learnt on a Space of the Hub: the sign-in, the Space's name, and what came of it. */

import { find, make, webLink } from "../../page/dom.js";
import type { Problem } from "../../page/problem.js";
import type { SiteFile } from "../types.js";
import { setBusy, whenPressed } from "../../page/busy.js";
import { words, type Desk } from "./desk.js";
import { NameTaken, Unwanted, isName, putOnSpace } from "./hub_space.js";
import { SignInRefused, clientId, finishSignIn, signIn, signOut, visitor, type HubPlace } from "./hub_visit.js";
import { whatWentWrong } from "./troubles.js";

/** What is to be put there. */
export interface Finished {
  title: string;
  labels: readonly string[];
  files: readonly SiteFile[];
}

// What the Hub's own answers mean here.
const ANSWERS: Partial<Record<number, string>> = {
  400: "teach_hub_bad_name",
  401: "teach_hub_again",
  402: "teach_hub_pay",
  403: "teach_hub_forbidden",
  409: "teach_hub_changed",
  412: "teach_hub_changed",
  429: "teach_hub_busy",
};

export class Putting {
  readonly #part = {
    box: find(document, "#hub"),
    text: find(document, "#hub-text"),
    signIn: find<HTMLButtonElement>(document, "#hub-sign-in"),
    signed: find(document, "#hub-signed"),
    who: find(document, "#hub-who"),
    signOut: find<HTMLButtonElement>(document, "#hub-sign-out"),
    name: find<HTMLInputElement>(document, "#hub-name"),
    put: find<HTMLButtonElement>(document, "#hub-put"),
    state: find(document, "#hub-state"),
  };
  readonly #desk: Desk;
  readonly #hub: HubPlace | undefined;
  readonly #finish: () => Promise<Finished>;

  /** @param hub as the site names it. @param finish makes the site. */
  constructor(desk: Desk, hub: HubPlace | undefined, finish: () => Promise<Finished>) {
    this.#desk = desk;
    this.#hub = clientId() === undefined ? undefined : hub;
    this.#finish = finish;
    if (!this.#hub) return;
    const place = this.#hub;
    const { box, signIn: enter, signOut: leave, put } = this.#part;
    box.hidden = false;
    if (window.top !== window) {
      this.#offerOwnTab();
      return;
    }
    if (!desk.keeps) {
      this.#offerDownload();
      return;
    }
    whenPressed(enter, () => this.#signIn(place));
    leave.addEventListener("click", () => {
      signOut();
      this.#show();
      enter.focus();
    });
    whenPressed(put, () => this.#put(place));
    this.#show();
    void this.#return(place);
  }

  /** What the Space is called unless somebody says otherwise. */
  suggest(name: string): void {
    this.#part.name.placeholder = name;
  }

  /** The Hub does not let itself be shown in a frame. */
  #offerOwnTab(): void {
    const { text, signIn: enter, state } = this.#part;
    enter.hidden = true;
    text.textContent = words(this.#desk, "teach_hub_frame");
    const link = make("a", { href: location.origin + location.pathname, target: "_blank" }, words(this.#desk, "open_full"));
    state.replaceChildren(link);
  }

  /** The Hub comes back to a page without pictures; and where cookies are forbidden, a tab notes no sign-in. */
  #offerDownload(): void {
    const { text, signIn: enter } = this.#part;
    enter.hidden = true;
    text.textContent = words(this.#desk, "teach_hub_unkept");
  }

  #show(): void {
    const { signIn: enter, signed, who } = this.#part;
    const known = visitor();
    enter.hidden = known !== undefined;
    signed.hidden = known === undefined;
    who.textContent = known ? words(this.#desk, "teach_hub_signed", { name: known.name }) : "";
  }

  async #signIn(hub: HubPlace): Promise<void> {
    const { signIn: enter } = this.#part;
    setBusy(true, enter);
    try {
      // The Hub's answer comes to the page without what its address said of the language.
      localStorage.setItem("spotter-language", this.#desk.language.tag);
      await signIn(hub);
    } catch (error) {
      this.#refuse(problemOf(error, ""));
    } finally {
      setBusy(false, enter);
    }
  }

  /** The Hub came back, or it did not. */
  async #return(hub: HubPlace): Promise<void> {
    try {
      const known = await finishSignIn(hub);
      if (!known) return;
      this.#show();
      this.#desk.say(words(this.#desk, "teach_hub_signed_in", { name: known.name }));
    } catch (error) {
      const { key, values } = problemOf(error, "");
      this.#refuse({ key, ...(values ? { values } : {}) });
      // What can be taken away is shown when something was learnt.
      this.#desk.say(words(this.#desk, key, values));
    }
  }

  async #put(hub: HubPlace): Promise<void> {
    const { put, state, name: field } = this.#part;
    const name = field.value.trim() || field.placeholder;
    const known = visitor();
    if (!known) {
      this.#show();
      this.#refuse({ key: "teach_hub_again" });
      return;
    }
    if (!isName(name)) {
      this.#refuse({ key: "teach_hub_bad_name", values: { name } });
      field.focus();
      return;
    }
    setBusy(true, put);
    state.textContent = words(this.#desk, "teach_hub_putting");
    try {
      const made = await this.#finish();
      const mayReplace = (space: string): boolean => window.confirm(words(this.#desk, "teach_hub_replace", { space }));
      const address = await putOnSpace(hub, known, { name, ...made, mayReplace });
      const link = webLink(`${known.name}/${name}`, address);
      state.replaceChildren(words(this.#desk, "teach_hub_done"), " ", link);
    } catch (error) {
      this.#refuse(problemOf(error, name));
      this.#show();
    } finally {
      setBusy(false, put);
    }
  }

  #refuse({ key, values }: Problem): void {
    this.#part.state.textContent = words(this.#desk, key, values);
  }
}

/** Why there is no sign-in, or no Space. */
function problemOf(error: unknown, name: string): Problem {
  if (error instanceof SignInRefused) return { key: error.message === "access_denied" ? "teach_hub_denied" : "teach_hub_refused" };
  if (error instanceof NameTaken) return { key: "teach_hub_taken", values: { name } };
  if (error instanceof Unwanted) return { key: "teach_hub_kept" };
  if (error instanceof TypeError) return { key: "teach_hub_no_network" };
  // The client's own class would have to be loaded for this, and may be what does not come.
  if (!isOfHub(error)) return whatWentWrong(error);
  console.warn(error);
  if (error.statusCode === 401) signOut();
  return { key: ANSWERS[error.statusCode] ?? "teach_hub_failed", values: { name, status: error.statusCode } };
}

/** Whether it is a `HubApiError`. */
function isOfHub(error: unknown): error is Error & { statusCode: number } {
  return error instanceof Error && "statusCode" in error && typeof error.statusCode === "number";
}
