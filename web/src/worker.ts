/** The worker that decodes pictures and runs the network, beside the page. Node takes `openModel` alone. */

import { CodeLeftOut, packError, type Question, type Reply } from "./messages.js";
import { openModel, type Model } from "./model.js";
import type { ClassifyOptions, Picture } from "./types.js";

export { openModel };

/** As far as a worker's scope is used here. */
interface Scope {
  postMessage(reply: Reply): void;
  addEventListener(kind: "message", listen: (event: MessageEvent<Question>) => void): void;
}

let model: Promise<Model> | undefined;
let hasWholeCode = true;

async function answer(scope: Scope, question: Question): Promise<unknown> {
  if (question.method === "open") {
    const [folder, threads, keeps, wholeCode] = question.parameters;
    const progress = (loaded: number, total: number): void => {
      scope.postMessage({ kind: "progress", loaded, total });
    };
    hasWholeCode = wholeCode;
    model = openModel(new URL(folder), { threads, keeps, wholeCode, progress });
    return (await model).card;
  }
  if (!model) throw new Error("The model was not opened.");
  const opened = await model;
  const [first, second, third] = question.parameters;
  switch (question.method) {
    case "classify":
      return opened.classify(first as Picture, second as ClassifyOptions | undefined);
    case "answerFrom":
      return opened.answerFrom(first as number[], second as number, third as ClassifyOptions | undefined);
    case "explain":
      return opened.explain(first as Picture, second as string | undefined);
    case "nearest":
      return opened.nearest(first as Picture, second as number);
    case "square":
      return opened.square(first as Picture);
    case "selfTest":
      return opened.selfTest();
  }
}

/**
 * Whether WebAssembly came to a function that is left out, or to another trap; onnxruntime may say it in its own error.
 * Where a function is called by its place in a table, a browser complains about its signature.
 */
function isTrap(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  return /RuntimeError.*(unreachable|signature)/i.test(`${error.name}: ${error.message}`) || isTrap(error.cause);
}

if ("WorkerGlobalScope" in globalThis) {
  const scope = globalThis as unknown as Scope;
  scope.addEventListener("message", ({ data }) => {
    answer(scope, data).then(
      (value) => {
        scope.postMessage({ kind: "done", id: data.id, value });
      },
      (error: unknown) => {
        const told = !hasWholeCode && isTrap(error) ? new CodeLeftOut() : error;
        scope.postMessage({ kind: "failed", id: data.id, error: packError(told) });
      },
    );
  });
  scope.postMessage({ kind: "ready" });
}
