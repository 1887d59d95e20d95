/** A model in a worker: questions go there, answers come back. */

import { BrokenModel, CannotRun } from "./errors.js";
import { unpackError, type Opened, type Question, type Reply } from "./messages.js";
import type { Answer, Card, ClassifyOptions, Evidence, LoadOptions, Neighbour, Picture, Spotter } from "./types.js";

/** How long a worker may take to begin, and a network to be opened and tried once its files are here. */
const PATIENCE_MS = { start: 30_000, silence: 120_000 };
const MOST_THREADS = 4;

/** Starts a worker and loads the model of a folder in it. */
export async function loadInWorker(folder: URL, options: LoadOptions): Promise<Spotter> {
  const code = new URL("./worker.js", import.meta.url);
  const isOwn = code.origin === location.origin;
  const worker = startWorker(code, isOwn);
  const talk = new Talk(worker, options.progress);
  try {
    await talk.started;
    // Threads share memory, which browsers allow on isolated pages alone, and their script must be of this origin.
    const most = isOwn && crossOriginIsolated ? Math.min(navigator.hardwareConcurrency, MOST_THREADS) : 1;
    const threads = Math.max(1, Math.min(options.threads ?? most, most));
    const card = (await talk.open(folder.href, threads, options.keeps ?? false)) as Opened;
    return new Remote(card, talk);
  } catch (error) {
    talk.end();
    throw error;
  }
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
  readonly started: Promise<void>;
  private readonly waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  private asked = 0;
  private ended: Error | undefined;
  private watch: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly worker: Worker,
    private readonly progress: LoadOptions["progress"],
  ) {
    this.started = new Promise((resolve, reject) => {
      this.waiting.set(0, {
        resolve: () => {
          resolve();
        },
        reject,
      });
    });
    this.expect(PATIENCE_MS.start, noWorker());
    worker.addEventListener("message", ({ data }: MessageEvent<Reply>) => {
      this.hear(data);
    });
    worker.addEventListener("error", (event) => {
      const isMemory = /memory/i.test(event.message);
      const message = "There is not enough memory to run the model; close other pages and try again.";
      this.end(isMemory ? new CannotRun("memory", message) : noWorker());
    });
    worker.addEventListener("messageerror", () => {
      this.end(noWorker());
    });
  }

  async open(folder: string, threads: number, keeps: boolean): Promise<unknown> {
    const opened = this.send({ id: this.next(), method: "open", parameters: [folder, threads, keeps] });
    this.expectNews();
    try {
      return await opened;
    } finally {
      clearTimeout(this.watch);
    }
  }

  ask(method: Exclude<Question["method"], "open">, ...parameters: unknown[]): Promise<unknown> {
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
      this.progress?.(reply.loaded, reply.total);
      return;
    }
    const id = reply.kind === "ready" ? 0 : reply.id;
    const waiting = this.waiting.get(id);
    this.waiting.delete(id);
    if (reply.kind === "ready") clearTimeout(this.watch);
    if (reply.kind === "failed") waiting?.reject(unpackError(reply.error));
    else waiting?.resolve(reply.kind === "done" ? reply.value : undefined);
  }

  private expect(patience: number, otherwise: Error): void {
    clearTimeout(this.watch);
    this.watch = setTimeout(() => {
      this.end(otherwise);
    }, patience);
  }

  private expectNews(): void {
    const seconds = PATIENCE_MS.silence / 1000;
    this.expect(PATIENCE_MS.silence, new BrokenModel(`The model gave no sign of life for ${seconds} s.`));
  }
}

class Remote implements Spotter {
  constructor(
    readonly card: Card,
    private readonly talk: Talk,
  ) {}

  classify(picture: Picture, options?: ClassifyOptions): Promise<Answer> {
    return this.talk.ask("classify", picture, options) as Promise<Answer>;
  }

  answerFrom(probabilities: ArrayLike<number>, familiarity: number, options?: ClassifyOptions): Promise<Answer> {
    return this.talk.ask("answerFrom", Array.from(probabilities), familiarity, options) as Promise<Answer>;
  }

  explain(picture: Picture, label?: string): Promise<Evidence> {
    return this.talk.ask("explain", picture, label) as Promise<Evidence>;
  }

  nearest(picture: Picture, count: number): Promise<Neighbour[]> {
    return this.talk.ask("nearest", picture, count) as Promise<Neighbour[]>;
  }

  square(picture: Picture): Promise<Uint8Array> {
    return this.talk.ask("square", picture) as Promise<Uint8Array>;
  }

  selfTest(): Promise<{ agrees: boolean; largestDifference: number }> {
    return this.talk.ask("selfTest") as Promise<{ agrees: boolean; largestDifference: number }>;
  }

  close(): void {
    this.talk.end();
  }
}
