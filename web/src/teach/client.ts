/** The teacher as the page has it: its work is done in a worker. */

import { CannotRun } from "../errors.js";
import { unpackError } from "../messages.js";
import { checkRunsHere } from "../runs_here.js";
import { scriptProblem } from "../script_problem.js";
import { CannotTeach } from "./errors.js";
import type { Answers, Parameters, TeachError, TeachReply } from "./messages.js";
import type {
  Body,
  CannotTeachReason,
  MeasureOptions,
  OpenTeacher,
  TeachOptions,
  Teacher,
  WorkOptions,
} from "./types.js";

const PATIENCE_MS = 30_000;
const MOST_THREADS = 4;
const WORKER = "teach_worker.js";

interface Waiting {
  resolve: (value: never) => void;
  reject: (error: unknown) => void;
  progress: WorkOptions["progress"];
  keep: MeasureOptions["keep"] | undefined;
}

export const openTeacher: OpenTeacher = async (folder, options = {}) => {
  checkRunsHere();
  const talk = new Talk();
  try {
    const most = crossOriginIsolated ? Math.min(navigator.hardwareConcurrency, MOST_THREADS) : 1;
    const threads = Math.max(1, Math.min(options.threads ?? most, most));
    const body = await talk.open(folder.href, threads, options.progress);
    talk.endedByItself = options.ended;
    return makeTeacher(body, talk);
  } catch (error) {
    talk.end();
    throw error;
  }
};

function makeTeacher(body: Body, talk: Talk): Teacher {
  return {
    body,
    prepare: (file) => talk.ask("prepare", [file]),
    measure: async (pictures, options) => {
      const needed = pictures.map(({ sha256, blob, added, label, features }) => ({
        ...{ sha256, blob, added, label },
        ...(features ? { features } : {}),
      }));
      await talk.ask("measure", [needed, options.views ?? true], options);
    },
    learn: (lesson, options) => talk.ask("learn", [lesson], options),
    outlook: (options) => talk.ask("outlook", [], options),
    classify: (picture) => talk.ask("classify", [picture]),
    siteZip: (lesson, options) => talk.ask("siteZip", [lesson, options]),
    siteFiles: (lesson, options) => talk.ask("siteFiles", [lesson, options]),
    lessonZip: (lesson, options) => talk.ask("lessonZip", [lesson, options]),
    close: () => {
      talk.end();
    },
  };
}

function noWorker(): CannotRun {
  return new CannotRun("no-worker", "This browser or page does not let the teacher run beside the page.");
}

/** The talk with the worker: which answer belongs to which question. */
class Talk {
  endedByItself: TeachOptions["ended"];
  private readonly worker: Worker;
  private readonly waiting = new Map<number, Waiting>();
  private asked = 0;
  private ended: Error | undefined;
  private isReady = false;
  private readonly watch: ReturnType<typeof setTimeout>;

  constructor() {
    try {
      this.worker = new Worker(new URL(`./${WORKER}`, import.meta.url), { type: "module" });
    } catch {
      throw noWorker();
    }
    this.watch = setTimeout(() => void this.endWithoutWorker(), PATIENCE_MS);
    this.worker.addEventListener("message", ({ data }: MessageEvent<TeachReply>) => {
      this.hear(data);
    });
    this.worker.addEventListener("error", ({ message }) => {
      const memory = new CannotRun("memory", "There is not enough memory to learn; close other pages and try again.");
      if (/memory/i.test(message)) this.endByItself(memory);
      else if (this.isReady) this.endByItself(new CannotTeach("ended", "The teacher's worker has ended."));
      else void this.endWithoutWorker();
    });
  }

  open(folder: string, threads: number, progress: TeachOptions["progress"]): Promise<Body> {
    return this.ask("open", [folder, threads], progress ? { progress } : {});
  }

  ask<Method extends keyof Answers>(
    method: Method,
    parameters: Parameters[Method],
    { progress, signal, keep }: WorkOptions & { keep?: MeasureOptions["keep"] } = {},
  ): Promise<Answers[Method]> {
    if (this.ended) return Promise.reject(this.ended);
    if (signal?.aborted) return Promise.reject(signal.reason as Error);
    this.asked += 1;
    const id = this.asked;
    const answer = new Promise<Answers[Method]>((resolve, reject) => {
      const rejectOnce = (error: unknown): void => {
        reject((signal?.aborted ? signal.reason : error) as Error);
      };
      this.waiting.set(id, { resolve, reject: rejectOnce, progress, keep });
    });
    const stop = (): void => {
      this.worker.postMessage({ stop: id });
    };
    signal?.addEventListener("abort", stop);
    this.worker.postMessage({ id, method, parameters });
    return answer.finally(() => signal?.removeEventListener("abort", stop));
  }

  /** Stop the worker; whoever still waits is told why. */
  end(reason: Error = new Error("The teacher was closed.")): void {
    this.ended ??= reason;
    clearTimeout(this.watch);
    this.worker.terminate();
    for (const { reject } of this.waiting.values()) reject(this.ended);
    this.waiting.clear();
  }

  private endByItself(error: Error): void {
    this.end(error);
    this.endedByItself?.(error);
  }

  /** A worker that does not start is forbidden, or its script did not come as it should: no browser tells which. */
  private async endWithoutWorker(): Promise<void> {
    this.end((await scriptProblem(new URL(".", import.meta.url), WORKER)) ?? noWorker());
  }

  private fail(error: Error, waiting: Waiting | undefined): void {
    waiting?.reject(error);
    // WebAssembly that found no memory once has no good state to go on from.
    if (error instanceof CannotRun && error.reason === "memory") this.endByItself(error);
  }

  private hear(reply: TeachReply): void {
    if (reply.kind === "ready") {
      clearTimeout(this.watch);
      this.isReady = true;
      return;
    }
    const waiting = this.waiting.get(reply.id);
    if (reply.kind === "progress") waiting?.progress?.(reply.done, reply.total);
    else if (reply.kind === "keep") waiting?.keep?.(reply.sha256, reply.features);
    else {
      this.waiting.delete(reply.id);
      if (reply.kind === "done") waiting?.resolve(reply.value as never);
      else this.fail(unpack(reply.error), waiting);
    }
  }
}

function unpack(error: TeachError): Error {
  if (error.name !== "CannotTeach") return unpackError(error);
  return new CannotTeach(error.reason as CannotTeachReason, error.message, error.label);
}
