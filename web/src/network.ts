/** The network: onnxruntime-web on WebAssembly. */

import { InferenceSession, Tensor, env } from "onnxruntime-web/wasm";
import { BrokenModel } from "./errors.js";
import { asCannotRun } from "./runs_here.js";
import { scriptProblem } from "./script_problem.js";

/** What starts the WebAssembly, as `site.json` has it: ours, and what it imports. */
const STARTING = ["ort/start.mjs", "ort/ort-wasm-simd-threaded.mjs"];

/** What it gives for one picture. `places` covers the picture with rows * columns numbers for each label. */
export interface Output {
  probabilities: number[];
  embedding: Float32Array;
  places?: { rows: number; columns: number; values: Float32Array };
}

export interface NetworkFiles {
  onnx: Uint8Array;
  /** What it is called in messages. */
  file: string;
  wasm: WebAssembly.Module;
  /** `ort/start.mjs`, which starts the WebAssembly, and its threads. */
  script: URL;
}

/** A network that takes squares of `size` pixels. One picture at a time. */
export class Network {
  private constructor(
    private readonly session: InferenceSession,
    private readonly size: number,
  ) {}

  /** @throws BrokenModel: it is no network. @throws CannotRun: this browser cannot run it. */
  static async open(files: NetworkFiles, size: number, threads: number): Promise<Network> {
    return new Network(await openSession(files, threads), size);
  }

  get explains(): boolean {
    return this.session.outputNames.includes("activation");
  }

  /** Run the network on size * size * 3 bytes. */
  async run(square: Uint8Array, withPlaces = false): Promise<Output> {
    const pixels = new Tensor("uint8", square, [1, this.size, this.size, 3]);
    const names = ["probabilities", "embedding", ...(withPlaces ? ["activation"] : [])];
    let found: InferenceSession.ReturnType;
    try {
      found = await this.session.run({ pixels }, names);
    } catch (error) {
      throw asCannotRun(error);
    }
    const [probabilities, embedding] = [floats(found.probabilities), floats(found.embedding)];
    const output: Output = { probabilities: Array.from(probabilities), embedding };
    const places = found.activation;
    if (withPlaces && places) {
      const [, labels, rows, columns] = places.dims;
      if (places.dims.length !== 4 || labels !== probabilities.length || !rows || !columns) {
        throw new BrokenModel("The model's network gives a map of evidence that does not fit its labels.");
      }
      output.places = { rows, columns, values: floats(places) };
    }
    return output;
  }

  /**
   * Run one grey picture through, so that a network that does not fit its card is found now.
   *
   * @throws BrokenModel
   */
  async check(labels: number, dimensions: number): Promise<void> {
    const wanted = ["probabilities", "embedding"];
    if (!wanted.every((name) => this.session.outputNames.includes(name))) {
      throw new BrokenModel("The model's network cannot run on a picture of the size in model.json.");
    }
    let output: Output;
    try {
      output = await this.run(new Uint8Array(this.size * this.size * 3).fill(127), this.explains);
    } catch (error) {
      if (error instanceof Error && ["BrokenModel", "CannotRun"].includes(error.name)) throw error;
      throw new BrokenModel("The model's network cannot run on a picture of the size in model.json.", { cause: error });
    }
    const { probabilities, embedding, places } = output;
    if (probabilities.length !== labels || embedding.length !== dimensions) {
      throw new BrokenModel("The model's network does not fit its labels or its reference embeddings.");
    }
    const all = [probabilities, Array.from(embedding), Array.from(places?.values ?? [])];
    if (!all.every((numbers) => numbers.every(Number.isFinite))) {
      throw new BrokenModel("The model's network gives answers that are not numbers.");
    }
    const total = probabilities.reduce((sum, each) => sum + each, 0);
    if (Math.min(...probabilities) < 0 || !(Math.abs(total - 1) < 0.01)) {
      throw new BrokenModel("The model's network gives probabilities that do not add up to 1.");
    }
    // Longer ones would make every picture familiar.
    if (!(Math.hypot(...embedding) < 1.01)) {
      throw new BrokenModel("The model's network gives embeddings that are longer than 1.");
    }
  }

  async close(): Promise<void> {
    await this.session.release();
  }
}

type Give = (code: WebAssembly.Module) => void;

/**
 * Import `ort/start.mjs`, and what it imports.
 *
 * @returns what takes the compiled code. @throws BrokenModel: one is missing or changed. @throws CannotRun: one did not come.
 */
export async function importStart(script: URL): Promise<Give> {
  try {
    const { give } = (await import(script.href)) as { give?: Give };
    if (!give) throw new TypeError("There is no 'give' in it.");
    return give;
  } catch (error) {
    for (const path of STARTING) {
      const problem = await scriptProblem(new URL("..", script), path);
      if (problem) throw problem;
    }
    throw error;
  }
}

/** @throws BrokenModel: it is no network. @throws CannotRun: this browser cannot run it. */
export async function openSession(
  { onnx, file, wasm, script }: NetworkFiles,
  threads: number,
): Promise<InferenceSession> {
  const give = await importStart(script);
  give(wasm);
  env.wasm.wasmPaths = { mjs: script };
  env.wasm.numThreads = threads;
  env.wasm.proxy = false;
  env.logLevel = "error";
  try {
    return await InferenceSession.create(onnx, {
      executionProviders: ["wasm"],
      // Bytes that pass for ONNX in our own look could be read in its other format instead.
      extra: { session: { load_model_format: "ONNX" } },
    });
  } catch (error) {
    const reason = asCannotRun(error);
    if (reason !== error) throw reason;
    throw new BrokenModel(`The model's ${file} cannot be opened as a network (${shortly(error)}).`, { cause: error });
  }
}

export function floats(tensor: Tensor | undefined): Float32Array {
  if (!(tensor?.data instanceof Float32Array)) {
    throw new BrokenModel("The model's network gives answers that are not numbers.");
  }
  return tensor.data;
}

function shortly(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).slice(0, 120);
}
