import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { loadInWorker } from "../src/client.js";
import { CodeLeftOut, packError, type Question, type Reply } from "../src/messages.js";

const FOLDER = new URL("https://example.org/model/");
const picture = new Blob();

/** Stands for a worker: it answers all but "explain", which needs all of the code. */
class OneWorker extends EventTarget {
  static readonly all: OneWorker[] = [];
  isEnded = false;
  private hasWholeCode = false;

  constructor() {
    super();
    OneWorker.all.push(this);
    this.reply({ kind: "ready" });
  }

  postMessage(question: Question): void {
    const { id } = question;
    if (question.method === "open") this.hasWholeCode = question.parameters[3];
    const isMissing = question.method === "explain" && !this.hasWholeCode;
    if (isMissing) this.reply({ kind: "failed", id, error: packError(new CodeLeftOut()) });
    else this.reply({ kind: "done", id, value: { method: question.method } });
  }

  terminate(): void {
    this.isEnded = true;
  }

  private reply(data: Reply): void {
    setTimeout(() => {
      if (!this.isEnded) this.dispatchEvent(new MessageEvent("message", { data }));
    });
  }
}

beforeEach(() => {
  OneWorker.all.length = 0;
  vi.stubGlobal("Worker", OneWorker);
  vi.stubGlobal("location", { origin: "null" });
  vi.stubGlobal("crossOriginIsolated", false);
});

afterEach(() => {
  vi.unstubAllGlobals();
});

test("a question that needs more code is asked again where all of it is", async () => {
  const model = await loadInWorker(FOLDER, {});
  expect(await model.classify(picture)).toEqual({ method: "classify" });
  expect(OneWorker.all).toHaveLength(1);
  expect(await model.explain(picture)).toEqual({ method: "explain" });
  expect(await model.explain(picture)).toEqual({ method: "explain" });
  expect(OneWorker.all.map(({ isEnded }) => isEnded)).toEqual([true, false]);
});

test("questions at the same time share the worker that has all of it", async () => {
  const model = await loadInWorker(FOLDER, {});
  const asked = [model.explain(picture), model.classify(picture), model.explain(picture), model.classify(picture)];
  const methods = (await Promise.all(asked)).map((answer) => (answer as unknown as { method: string }).method);
  expect(methods).toEqual(["explain", "classify", "explain", "classify"]);
  expect(OneWorker.all).toHaveLength(2);
  model.close();
  await vi.waitFor(() => {
    expect(OneWorker.all.every(({ isEnded }) => isEnded)).toBe(true);
  });
});

test("whoever loaded a model is told when it has ended by itself, and not when it was closed", async () => {
  const lost = vi.fn();
  const closed = await loadInWorker(FOLDER, { lost });
  closed.close();
  await expect(closed.classify(picture)).rejects.toThrow("was closed");
  expect(lost).not.toHaveBeenCalled();
  const model = await loadInWorker(FOLDER, { lost });
  const ended = Object.assign(new Event("error"), { message: "out of memory" });
  OneWorker.all.at(-1)?.dispatchEvent(ended);
  expect(lost).toHaveBeenCalledOnce();
  await expect(model.classify(picture)).rejects.toThrow("not enough memory");
});

test("whoever loaded a model is told when the worker that has all of the code does not come", async () => {
  const lost = vi.fn();
  const model = await loadInWorker(FOLDER, { lost });
  vi.stubGlobal("Worker", undefined);
  await expect(model.explain(picture)).rejects.toThrow("beside the page");
  expect(lost).toHaveBeenCalledOnce();
});
