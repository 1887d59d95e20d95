/** A model in a worker: questions go there, answers come back. */

import { BrokenModel, CannotRun } from "./errors.js";
import { CodeLeftOut, unpackError, type Method, type Opened, type Question, type Reply } from "./messages.js";
import { scriptProblem } from "./script_problem.js";
import type { Answer, Card, ClassifyOptions, Evidence, LoadOptions, Neighbour, Picture, Spotter } from "./types.js";

/** How long a worker may take to begin, and a network to be opened and tried once its files are here. */
const PATIENCE_MS = { start: 30_000, silence: 120_000 };
const MOST_THREADS = 4;
const WORKER = "worker.js";

/** Starts a worker and loads the model of a folder in it. */
export async function loadInWorker(folder: URL, options: LoadOptions): Promise<Spotter> {
  const code = new URL(`./${WORKER}`, import.meta.url);
  const isOwn = code.origin === location.origin;
  // Threads share memory, which browsers allow on isolated pages alone, and their script must be of this origin.
  const most = isOwn && crossOriginIsolated ? Math.min(navigator.hardwareConcurrency, MOST_THREADS) : 1;
  const threads = Math.max(1, Math.min(options.threads ?? most, most));
  const open = async (wholeCode: boolean): Promise<Opening> => {
    const talk = new Talk(startWorker(code, isOwn), options);
    try {
      return { talk, card: await talk.open(folder.href, threads, options.keeps ?? false, wholeCode) };
    } catch (error) {
      talk.end();
      throw error;
    }
  };
  const openWhole = (): Promise<Opening> => open(true);
  // Where one of several threads finds that code is missing, the others would wait for it for ever.
  const opened = threads > 1 ? await openWhole() : await open(false).catch(unlessLeftOut(openWhole));
  return new Remote(opened, openWhole, options.lost);
}

interface Opening {
  talk: Talk;
  card: Opened;
}

/** What to do where code is missing; any other error stays one. */
function unlessLeftOut<Result>(otherwise: () => Promise<Result>): (error: unknown) => Promise<Result> {
  return async (error) => {
    if (error instanceof CodeLeftOut) return otherwise();
    throw error;
  };
}

function startWorker(code: URL, isOwn: boolean): Worker {
  if (typeof Worker === "undefined") throw noWorker();
  try {
    if (isOwn) return new Worker(code, { type: "module" });
    // A worker's script must be of this page's origin, but may import from others.
    const script = URL.createObjectURL(new Blob([`import ${JSON.stringify(code.href)};`], { type: "text/javascript" }));
    const worker = new Worker(script, { type: "module" });
    setTimeout(() => {
      URL.revokeObjectURL(script);
    }, PATIENCE_MS.start);
    return worker;
  } catch {
    throw noWorker();
  }
}

function noWorker(): CannotRun {
  return new CannotRun(
    "no-worker",
    "This browser or page does not let the model run beside the page; use another browser.",
  );
}

/** The talk with a worker: which answer belongs to which question. */
class Talk {
  private readonly started: Promise<void>;
  private readonly waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  private asked = 0;
  private ended: Error | undefined;
  private watch: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly worker: Worker,
    private readonly told: Pick<LoadOptions, "progress" | "lost">,
  ) {
    this.started = new Promise((resolve, reject) => {
      this.waiting.set(0, {
        resolve: () => {
          resolve();
        },
        reject,
      });
    });
    this.watch = setTimeout(() => void this.endWithoutWorker(), PATIENCE_MS.start);
    worker.addEventListener("message", ({ data }: MessageEvent<Reply>) => {
      this.hear(data);
    });
    worker.addEventListener("error", (event) => {
      const isMemory = /memory/i.test(event.message);
      const message = "There is not enough memory to run the model; close other pages and try again.";
      if (isMemory) this.end(new CannotRun("memory", message));
      else void this.endWithoutWorker();
      this.told.lost?.();
    });
    worker.addEventListener("messageerror", () => {
      this.end(noWorker());
      this.told.lost?.();
    });
  }

  async open(folder: string, threads: number, keeps: boolean, wholeCode: boolean): Promise<Opened> {
    // Asked before it has begun: the page may be busy when it has, and it would wait for that.
    const opened = this.send({ id: this.next(), method: "open", parameters: [folder, threads, keeps, wholeCode] });
    // What became of it is told below.
    opened.catch(() => undefined);
    await this.started;
    this.expectNews();
    try {
      return (await opened) as Opened;
    } finally {
      clearTimeout(this.watch);
    }
  }

  ask(method: Method, ...parameters: unknown[]): Promise<unknown> {
    return this.send({ id: this.next(), method, parameters });
  }

  /** Stop the worker; whoever still waits is told why. */
  end(reason: Error = new Error("The model was closed.")): void {
    this.ended ??= reason;
    clearTimeout(this.watch);
    this.worker.terminate();
    for (const { reject } of this.waiting.values()) reject(this.ended);
    this.waiting.clear();
  }

  /** A worker that does not start is forbidden, or its script did not come as it should: no browser tells which. */
  private async endWithoutWorker(): Promise<void> {
    this.end((await scriptProblem(new URL(".", import.meta.url), WORKER)) ?? noWorker());
  }

  private next(): number {
    this.asked += 1;
    return this.asked;
  }

  private send(question: Question): Promise<unknown> {
    if (this.ended) return Promise.reject(this.ended);
    return new Promise((resolve, reject) => {
      this.waiting.set(question.id, { resolve, reject });
      try {
        this.worker.postMessage(question);
      } catch (error) {
        this.waiting.delete(question.id);
        reject(error instanceof Error ? error : new Error(String(error)));
      }
    });
  }

  private hear(reply: Reply): void {
    if (reply.kind === "progress") {
      this.expectNews();
      this.told.progress?.(reply.loaded, reply.total);
      return;
    }
    const id = reply.kind === "ready" ? 0 : reply.id;
    const waiting = this.waiting.get(id);
    this.waiting.delete(id);
    if (reply.kind === "ready") clearTimeout(this.watch);
    if (reply.kind === "failed") waiting?.reject(unpackError(reply.error));
    else waiting?.resolve(reply.kind === "done" ? reply.value : undefined);
  }

  private expectNews(): void {
    clearTimeout(this.watch);
    this.watch = setTimeout(() => {
      this.end(new BrokenModel(`The model gave no sign of life for ${PATIENCE_MS.silence / 1000} s.`));
    }, PATIENCE_MS.silence);
  }
}

class Remote implements Spotter {
  readonly card: Card;
  private talk: Promise<Talk>;

  constructor(
    { card, talk }: Opening,
    private readonly openWhole: () => Promise<Opening>,
    private readonly lost: LoadOptions["lost"],
  ) {
    this.card = card;
    this.talk = Promise.resolve(talk);
  }

  classify(picture: Picture, options?: ClassifyOptions): Promise<Answer> {
    return this.ask("classify", picture, options) as Promise<Answer>;
  }

  answerFrom(probabilities: ArrayLike<number>, familiarity: number, options?: ClassifyOptions): Promise<Answer> {
    return this.ask("answerFrom", Array.from(probabilities), familiarity, options) as Promise<Answer>;
  }

  explain(picture: Picture, label?: string): Promise<Evidence> {
    return this.ask("explain", picture, label) as Promise<Evidence>;
  }

  nearest(picture: Picture, count: number): Promise<Neighbour[]> {
    return this.ask("nearest", picture, count) as Promise<Neighbour[]>;
  }

  square(picture: Picture): Promise<Uint8Array> {
    return this.ask("square", picture) as Promise<Uint8Array>;
  }

  selfTest(): Promise<{ agrees: boolean; largestDifference: number }> {
    return this.ask("selfTest") as Promise<{ agrees: boolean; largestDifference: number }>;
  }

  close(): void {
    const end = (talk: Talk): void => {
      talk.end();
    };
    this.talk.then(end, () => undefined);
  }

  /** Ask; where code is missing for the answer, ask a worker that has all of it, now and from now on. */
  private async ask(method: Method, ...parameters: unknown[]): Promise<unknown> {
    const asked = this.talk;
    const talk = await asked;
    const again = async (): Promise<unknown> => {
      if (this.talk === asked) {
        talk.end(new CodeLeftOut());
        this.talk = this.openWhole().then((opened) => opened.talk);
        // Whoever asked is told why.
        this.talk.catch(() => this.lost?.());
      }
      return (await this.talk).ask(method, ...parameters);
    };
    return talk.ask(method, ...parameters).catch(unlessLeftOut(again));
  }
}
