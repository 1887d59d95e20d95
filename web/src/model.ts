/** A model in this process: it decodes, runs the network and says the answer. */

import { advise, indexOfLargest } from "./advice.js";
import { readCard, type ModelCard } from "./card.js";
import { decodePicture } from "./decode.js";
import { BadPrior, BrokenModel, NoExplanation } from "./errors.js";
import { cosines, meanOfNearest, weigh, type Reference } from "./familiarity.js";
import { fetchCode, fetchFile, hashOf, readSite, release, type Arrived, type SiteJson } from "./files.js";
import { handOver } from "./handed.js";
import { CodeLeftOut } from "./messages.js";
import { importStart, Network, type Output } from "./network.js";
import { checkNetwork } from "./onnx.js";
import { checkPrior } from "./prior.js";
import { frame, toSquare, type Box, type Pixels } from "./resize.js";
import { checkRunsHere } from "./runs_here.js";
import { asFloats, readTensors } from "./safetensors.js";
import { findWindow, partOf } from "./second_look.js";
import { readThumbnails } from "./thumbnails.js";
import type { Answer, Card, ClassifyOptions, Evidence, LoadOptions, Neighbour, Picture, Thumbnail } from "./types.js";

export const MODEL_JSON = "model/model.json";
const REFERENCE = "model/reference.safetensors.gz";
const THUMBNAILS = "model/thumbnails.safetensors";
export const WASM = "ort/ort-wasm-simd-threaded.wasm.gz";
/** The same without the functions that no network of ours runs: a third of it. A browser on one thread tries it first. */
const USED_WASM = "ort/used.wasm.gz";
export const START = "ort/start.mjs";
export const MOST_WASM = 64 << 20;
/** Rounding differs between machines, and more in an int8 network; a browser that draws wrongly is further off. */
const SELF_TEST_TOLERANCE = { "model.onnx": 1e-3, "model-int8.onnx": 0.05 };

/** What `load` takes, as far as a worker can be told. */
export interface OpenOptions {
  threads: number;
  /** Whether all of onnxruntime's code is needed. Without it, `CodeLeftOut` may come at any call. */
  wholeCode: boolean;
  /** Whether the service worker is to keep the site: then it need not fetch again what is here. */
  keeps?: boolean;
  decode?: LoadOptions["decode"];
  progress?: LoadOptions["progress"];
}

/** Loads and checks the model of a site's folder. */
export async function openModel(folder: URL, options: OpenOptions): Promise<Model> {
  checkRunsHere();
  const code = new URL(".", import.meta.url);
  const wasmPath = options.wholeCode ? WASM : USED_WASM;
  const hand = options.keeps ? handOver(folder) : undefined;
  // It names what else there is, so nothing is asked for before it.
  const reading = readSite(folder);
  // Of the code alone it is known where it is before anything is here.
  let [early, arrived]: [number, Arrived | undefined] = [0, undefined];
  // Another site speaks of its own code.
  const promisedCode =
    code.href === folder.href ? reading.then(({ files }) => files[wasmPath]?.unpacked_sha256) : undefined;
  promisedCode?.catch(() => undefined);
  const compiling = fetchCode({
    url: new URL(wasmPath, code),
    name: "network runtime",
    most: MOST_WASM,
    arrived: (bytes) => {
      if (arrived) arrived(bytes);
      else early += bytes;
    },
    hand,
    promised: promisedCode,
  });
  // Whatever is wrong with the site is told first.
  compiling.catch(() => undefined);
  const script = new URL(START, code);
  // It is imported when the network is here, and need not be fetched then.
  const starting = importStart(script);
  starting.catch(() => undefined);
  const site = await reading;
  const networkPath = `model/${site.network}.gz`;
  arrived = counter([MODEL_JSON, networkPath, REFERENCE, wasmPath], site, options.progress);
  if (early) arrived(early);
  // All at once: what is promised of the others is known when they are here.
  const readingCard = fetchFile(folder, site, MODEL_JSON, undefined, arrived);
  const known = readingCard.then(readCard);
  const hash = (name: string): Promise<string> => {
    const found = known.then((card) => promised(card, name));
    // It may fail before anybody asks for it, and is told all the same.
    found.catch(() => undefined);
    return found;
  };
  const [cardFile, card, onnx, tensors, wasm] = await Promise.all([
    readingCard,
    known,
    fetchFile(folder, site, networkPath, hash(site.network), arrived, hand),
    fetchFile(folder, site, REFERENCE, hash("reference.safetensors"), arrived, hand),
    compiling,
    starting,
  ]);
  const contents = await contentsOf(card, cardFile);
  if (site.contents !== null && site.contents !== contents) {
    throw new BrokenModel("The model is not the one that the site was made for: its contents differ.");
  }
  checkNetwork(onnx, site.network);
  const reference = readReference(tensors);
  if (card.views >= reference.rows) {
    throw new BrokenModel("The model's reference holds no pictures, only views; publish it again.");
  }
  const files = { onnx, file: site.network, wasm, script };
  const network = await Network.open(files, card.size, options.threads).catch((error: unknown) => {
    // It may have an operator that was left out with the code for it.
    throw !options.wholeCode && error instanceof BrokenModel ? new CodeLeftOut() : error;
  });
  // It has a copy.
  release(onnx);
  await network.check(card.labels.length, reference.dimensions);
  if (card.second_look && !network.explains) {
    throw new BrokenModel("The model looks twice, but its network cannot tell where to look.");
  }
  return new Model(folder, site, card, contents, reference, network, options.decode);
}

/** What the network gives for a picture, or for the part `box` of it, and where it looked: `seen`, in pixels. */
interface Look extends Output {
  width: number;
  height: number;
  seen: Box;
  familiarity: number;
  box?: Box;
}

/** A loaded model. It answers one call after the other. */
export class Model {
  readonly card: Card;
  private thumbnails: Promise<Map<number, Thumbnail>> | undefined;
  private last: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly folder: URL,
    private readonly site: SiteJson,
    private readonly model: ModelCard,
    contents: string,
    private readonly reference: Reference,
    private readonly network: Network,
    private readonly decode: LoadOptions["decode"],
  ) {
    const { name, title, labels, arch, size, resize, threshold, neighbours, certainty, summary, shares } = model;
    const examples = Object.entries(model.examples).filter(([, file]) => `model/${file}` in site.files);
    this.card = {
      ...{ name, title, labels, arch, size, resize, threshold, neighbours, certainty, summary, shares, contents },
      revision: site.revision,
      examples: Object.fromEntries(examples.map(([label, file]) => [label, `model/${file}`])),
      explains: network.explains,
      advice: [
        ...(model.costs ? ["decision", "expected_cost"] : []),
        ...(model.sets ? ["set"] : []),
        ...(model.prior.length ? ["prior", "unweighted"] : []),
        ...(model.second_look ? ["looked_at"] : []),
      ],
    };
  }

  async classify(picture: Picture, { prior }: ClassifyOptions = {}): Promise<Answer> {
    const shares = this.checkShares(prior);
    const { probabilities, familiarity, box, width, height } = await this.lookTwice(picture);
    const answer = this.say(probabilities, familiarity, shares);
    return box ? { ...answer, looked_at: sharesOf(box, width, height) } : answer;
  }

  // A wrong prior is a promise that fails, as in a worker.
  // eslint-disable-next-line @typescript-eslint/require-await
  async answerFrom(
    probabilities: ArrayLike<number>,
    familiarity: number,
    { prior }: ClassifyOptions = {},
  ): Promise<Answer> {
    return this.say(Array.from(probabilities), familiarity, this.checkShares(prior));
  }

  async explain(picture: Picture, label?: string): Promise<Evidence> {
    const { labels } = this.model;
    if (label !== undefined && !labels.includes(label)) {
      throw new NoExplanation(`There is no label '${label}'; there are: ${labels.join(", ")}.`);
    }
    if (!this.network.explains) {
      throw new NoExplanation(`A network of the kind '${this.model.arch}' cannot show where it looked.`);
    }
    const { probabilities, places, width, height, seen, box } = await this.lookTwice(picture, true);
    if (!places) throw new NoExplanation(`A network of the kind '${this.model.arch}' cannot show where it looked.`);
    const index = label === undefined ? indexOfLargest(probabilities) : labels.indexOf(label);
    const { rows, columns, values } = places;
    const evidence = evidenceFor(values, index, labels.length);
    const found = { label: labels[index] ?? "", width, height, box: seen, rows, columns, evidence };
    return box ? { ...found, looked_at: sharesOf(box, width, height) } : found;
  }

  async nearest(picture: Picture, count: number): Promise<Neighbour[]> {
    const { embedding } = await this.lookTwice(picture);
    this.thumbnails ??= this.readThumbnails();
    const thumbnails = await this.thumbnails.catch((error: unknown) => {
      // Whoever asks next tries again.
      this.thumbnails = undefined;
      throw error;
    });
    const found = cosines(embedding, this.reference, this.reference.rows - this.model.views);
    const rows = Array.from(found.keys()).sort((one, other) => at(found, other) - at(found, one) || one - other);
    return rows.slice(0, count).map((row) => {
      const thumbnail = thumbnails.get(row);
      return { row, cosine: at(found, row), ...(thumbnail ? { thumbnail } : {}) };
    });
  }

  async square(picture: Picture): Promise<Uint8Array> {
    return this.decoded(picture, (pixels) => Promise.resolve(this.squareOf(pixels)));
  }

  async selfTest(): Promise<{ agrees: boolean; largestDifference: number }> {
    const test = this.site.self_test;
    if (!test) throw new BrokenModel("The site has no picture to test itself on; make the site again.");
    const picture = await fetchFile(this.folder, this.site, test.file, undefined, () => undefined);
    const { probabilities } = await this.decoded(picture, (pixels) => this.look(pixels));
    if (test.probabilities.length !== probabilities.length) {
      throw new BrokenModel("The site's self-test is of other labels; make the site again.");
    }
    const differences = probabilities.map((each, label) => Math.abs(each - (test.probabilities[label] ?? NaN)));
    const largestDifference = Math.max(...differences);
    return { agrees: largestDifference <= SELF_TEST_TOLERANCE[this.site.network], largestDifference };
  }

  close(): void {
    void this.alone(() => this.network.close());
  }

  private checkShares(prior: ClassifyOptions["prior"]): number[] | undefined {
    if (prior && !this.model.shares.length) {
      throw new BadPrior("This revision does not say in which shares it learnt its labels; publish it again.");
    }
    return prior ? checkPrior(prior, this.model.labels) : undefined;
  }

  private say(probabilities: number[], familiarity: number, prior?: number[]): Answer {
    return advise(
      this.model,
      probabilities,
      familiarity,
      prior ?? (this.model.prior.length ? this.model.prior : undefined),
    );
  }

  /** The look at a picture that answers: the second one where the first is not familiar, and it is. */
  private lookTwice(picture: Picture, explained = false): Promise<Look> {
    return this.decoded(picture, async (pixels) => {
      const { width, height } = pixels;
      const { size, resize, second_look: again, threshold, labels } = this.model;
      const output = await this.look(pixels, explained || again !== undefined);
      const whole = { width, height, seen: frame(width, height, size, resize) };
      const first: Look = { ...output, ...whole, familiarity: this.familiarityOf(output) };
      if (!again || !output.places || first.familiarity >= threshold) return first;
      const label = indexOfLargest(output.probabilities);
      const evidence = evidenceFor(output.places.values, label, labels.length);
      const box = findWindow(again, evidence, output.places, pixels, size, resize);
      if (!box) return first;
      const second = await this.look(partOf(pixels, box), explained);
      const familiarity = this.familiarityOf(second) - again.margin;
      const [left, top, right, bottom] = frame(box[2] - box[0], box[3] - box[1], size, resize);
      const seen: Box = [box[0] + left, box[1] + top, box[0] + right, box[1] + bottom];
      return familiarity >= threshold ? { ...second, width, height, seen, familiarity, box } : first;
    });
  }

  private familiarityOf({ probabilities, embedding }: Output): number {
    const found = cosines(embedding, this.reference, this.reference.rows);
    return weigh(meanOfNearest(found, this.model.neighbours), probabilities, this.model.certainty);
  }

  private look(pixels: Pixels, withPlaces = false): Promise<Output> {
    return this.network.run(this.squareOf(pixels), withPlaces && this.network.explains);
  }

  private squareOf(pixels: Pixels): Uint8Array {
    return toSquare(pixels, this.model.size, this.model.resize);
  }

  /** Do something with the pixels of a picture. One at a time: several large pictures at once would fill the memory. */
  private decoded<T>(picture: Picture, work: (pixels: Pixels) => Promise<T>): Promise<T> {
    return this.alone(async () => {
      const decoded = await decodePicture(picture, this.decode);
      try {
        return await work(decoded.pixels);
      } finally {
        decoded.close();
      }
    });
  }

  private alone<T>(work: () => Promise<T>): Promise<T> {
    const done = this.last.then(work, work);
    this.last = done.catch(() => undefined);
    return done;
  }

  private async readThumbnails(): Promise<Map<number, Thumbnail>> {
    if (!(THUMBNAILS in this.site.files)) return new Map();
    const promise = promised(this.model, "thumbnails.safetensors");
    return readThumbnails(await fetchFile(this.folder, this.site, THUMBNAILS, promise, () => undefined));
  }
}

/** A box as shares of the width and the height of the picture. */
function sharesOf([left, top, right, bottom]: Box, width: number, height: number): NonNullable<Answer["looked_at"]> {
  return [left / width, top / height, right / width, bottom / height];
}

function evidenceFor(values: Float32Array, index: number, labels: number): Float32Array {
  const places = values.length / labels;
  const evidence = new Float32Array(places);
  for (let place = 0; place < places; place++) {
    // What speaks for all labels alike speaks for none.
    let sum = 0;
    for (let label = 0; label < labels; label++) sum = Math.fround(sum + at(values, label * places + place));
    evidence[place] = at(values, index * places + place) - Math.fround(sum / labels);
  }
  return evidence;
}

function at(values: Float32Array, index: number): number {
  return values[index] ?? NaN;
}

function readReference(data: Uint8Array): Reference {
  let tensor, values;
  try {
    tensor = readTensors(data).get("embeddings");
    if (!tensor) throw new TypeError("there are no embeddings");
    values = asFloats(tensor);
  } catch (error) {
    throw new BrokenModel("The model's reference.safetensors cannot be read.", { cause: error });
  }
  const [rows, dimensions] = tensor.shape;
  if (tensor.shape.length !== 2 || !rows || !dimensions || !values) {
    throw new BrokenModel("The model's reference.safetensors does not hold embeddings.");
  }
  for (let row = 0; row < rows; row++) {
    let squares = 0;
    for (let place = row * dimensions; place < (row + 1) * dimensions; place++) squares += at(values, place) ** 2;
    // Longer ones would make every picture familiar. Written so that NaN fails too.
    if (!(Math.abs(Math.sqrt(squares) - 1) < 0.01)) {
      throw new BrokenModel("The model's reference.safetensors holds embeddings that are not of length 1.");
    }
  }
  return { rows, dimensions, values };
}

export function promised(card: ModelCard, name: string): string {
  const hash = Object.hasOwn(card.sha256, name) ? card.sha256[name] : undefined;
  if (hash === undefined) throw new BrokenModel(`The model's model.json has no hash for ${name}; publish it again.`);
  return hash;
}

/** The name of all that a `model.json` promises, as `promised_name` in `spotter/stores/base.py`. */
export async function contentsOf(card: ModelCard, file: Uint8Array<ArrayBuffer>): Promise<string> {
  const hashes = Object.entries({ ...card.sha256, "model.json": await hashOf(file) });
  const lines = hashes.sort(([one], [other]) => (one < other ? -1 : 1)).map(([name, hash]) => `${hash}  ${name}\n`);
  return (await hashOf(new TextEncoder().encode(lines.join("")))).slice(0, 40);
}

/** Adds up what has arrived of some files, and tells how much of how much is here. */
export function counter(paths: string[], site: SiteJson, progress: LoadOptions["progress"]): Arrived {
  const total = paths.reduce((sum, path) => sum + (site.files[path]?.bytes ?? 0), 0);
  let loaded = 0;
  return (bytes) => {
    loaded += bytes;
    // A server that unpacks sends more than what lies there.
    progress?.(Math.min(loaded, total), total);
  };
}
