/** The worker of the teacher: questions of the page in, answers out. */

import { packError, type ErrorRecord } from "../messages.js";
import { checkRunsHere } from "../runs_here.js";
import { BodyNetwork } from "./body.js";
import { Engine } from "./engine.js";
import { CannotTeach } from "./errors.js";
import { preparePicture } from "./prepare.js";
import type { Answers, Call, TeachError, TeachReply } from "./messages.js";
import type { Body } from "./types.js";

/** As far as a worker's scope is used here. */
interface Scope {
  postMessage(reply: TeachReply): void;
  addEventListener(kind: "message", listen: (event: MessageEvent<Call | { stop: number }>) => void): void;
}

const scope = globalThis as unknown as Scope;
const stops = new Map<number, AbortController>();
let engine: Promise<Engine> | undefined;
let last: Promise<unknown> = Promise.resolve();

async function open(id: number, folder: string, threads: number): Promise<Body> {
  checkRunsHere();
  const progress = (done: number, total: number): void => {
    scope.postMessage({ kind: "progress", id, done, total });
  };
  engine = BodyNetwork.open(new URL(folder), { threads, progress }).then((network) => new Engine(network));
  return (await engine).body;
}

async function answer(call: Call, signal: AbortSignal): Promise<Answers[keyof Answers]> {
  const { id } = call;
  if (call.method === "open") return open(id, ...call.parameters);
  if (call.method === "prepare") return preparePicture(...call.parameters);
  if (!engine) throw new Error("The teacher was not opened.");
  const opened = await engine;
  const progress = (done: number, total: number): void => {
    scope.postMessage({ kind: "progress", id, done, total });
  };
  switch (call.method) {
    case "measure":
      await opened.measure(call.parameters[0], {
        ...{ progress, signal, views: call.parameters[1] },
        keep: (sha256, features) => {
          scope.postMessage({ kind: "keep", id, sha256, features });
        },
      });
      return undefined;
    case "learn":
      return opened.learn(call.parameters[0], { progress, signal });
    case "outlook":
      return opened.outlook({ progress, signal });
    case "classify":
      return opened.classify(call.parameters[0]);
    case "siteZip":
      return opened.siteZip(...call.parameters);
    case "siteFiles":
      return opened.siteFiles(...call.parameters);
    case "lessonZip":
      return opened.lessonZip(...call.parameters);
  }
}

function pack(error: unknown): TeachError {
  const packed: ErrorRecord = packError(error);
  return error instanceof CannotTeach ? { ...packed, label: error.label } : packed;
}

scope.addEventListener("message", ({ data }) => {
  if ("stop" in data) {
    stops.get(data.stop)?.abort();
    return;
  }
  const stop = new AbortController();
  stops.set(data.id, stop);
  const run = (): Promise<Answers[keyof Answers]> => {
    stop.signal.throwIfAborted();
    return answer(data, stop.signal);
  };
  // One thing after the other; adding a picture and asking about one wait for nothing that takes long.
  const isShort = data.method === "prepare" || data.method === "classify";
  const done = isShort ? answer(data, stop.signal) : last.then(run, run);
  if (!isShort) last = done.catch(() => undefined);
  done
    .then(
      (value) => {
        scope.postMessage({ kind: "done", id: data.id, value });
      },
      (error: unknown) => {
        scope.postMessage({ kind: "failed", id: data.id, error: pack(error) });
      },
    )
    .finally(() => stops.delete(data.id));
});
scope.postMessage({ kind: "ready" });
