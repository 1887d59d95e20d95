/**
 * The head, its strength and its temperature, chosen on held-out folds: as `choose_head` in `spotter/train/head.py`.
 */

import { fitTemperatures, negativeLogLikelihood, softmax } from "./calibrate.js";
import { CannotTeach } from "./errors.js";
import { areNumbers, balancedWeights, countTargets, fitLinear, logitsOfEach, type Linear, type Products, type Rows } from "./linear.js";

const STRENGTHS = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0];
/** When the largest class has more than so many times the pictures of the smallest, each class counts the same. */
const UNEVEN = 1.5;
/** With more pictures, one held-out fold is enough to choose a strength on. */
const MANY = 2000;
/**
 * Losses so close to the least are the same for all that so few pictures can tell; the strongest regularisation of
 * these does not change when a few pictures do, and the errors before and after that can be compared.
 */
const AS_GOOD = 0.05;
/** The share of held-out pictures that may lose their right answer to shifted views; two pictures may always. */
const MOST_COST = 0.01;

/** Views of pictures: their features, and which row each is a view of. */
export interface Views {
  features: Rows;
  of: number[];
}

/** Pictures to learn from and be judged on. */
export interface Table {
  features: Rows;
  targets: number[];
  folds: number[];
  classes: number;
}

/** What heads say of pictures that they did not see, and how the best of them learnt. */
export interface Fit {
  strength: number;
  balanced: boolean;
  temperature: number;
  /** Of the pictures (rows * classes) and of their shifted views, with temperatures that the other folds chose. */
  probabilities: Float64Array;
  shifted: Float64Array;
  /** On held-out pictures; on these and on shifted views of them, each half (NaN without views). */
  loss: number;
  spectrumLoss: number;
}

export interface Chosen extends Fit {
  croppedKept: boolean;
  shiftedKept: boolean;
  /** What the best heads without shifted views say of the pictures, as `probabilities`. */
  plain: Float64Array;
  /** Learnt from all pictures and the views that were kept, already divided by the temperature. */
  head: Linear;
}

/** What the work needs from outside: products of pictures, and somebody who is told after each step and may throw. */
export interface Help {
  products: Products;
  step: () => Promise<void>;
}

/** How many steps `chooseHead` takes. */
export function countSteps(folds: number, cropped: boolean, shifted: boolean): number {
  return folds * (1 + Number(cropped) + Number(shifted)) + 1;
}

/**
 * Fit heads with and without views, as far as there are any, and choose the best on held-out folds.
 *
 * Cropped views are learnt from if that lowers the loss on held-out pictures. Shifted ones are if that lowers the loss
 * on held-out pictures and shifted views of them, and costs at most `MOST_COST` of the pictures their right answer.
 *
 * @throws CannotTeach: the features or the losses are not numbers.
 */
export async function chooseHead(
  table: Table,
  cropped: Views | undefined,
  shifted: Views | undefined,
  help: Help,
): Promise<Chosen> {
  let best = await fit(table, undefined, shifted, false, help);
  let [croppedKept, shiftedKept] = [false, false];
  if (cropped) {
    const viewed = await fit(table, cropped, shifted, false, help);
    croppedKept = viewed.loss < best.loss;
    if (croppedKept) best = viewed;
  }
  const kept = croppedKept ? cropped : undefined;
  const plain = best.probabilities;
  if (shifted) {
    const robust = await fit(table, joinViews(kept, shifted), shifted, true, help);
    const most = countWrong(best, table) + Math.max(2, MOST_COST * table.targets.length);
    shiftedKept = robust.spectrumLoss < best.spectrumLoss && countWrong(robust, table) <= most;
    if (shiftedKept) best = robust;
  }
  const views = shiftedKept && shifted ? joinViews(kept, shifted) : kept;
  const { strength, balanced, temperature } = best;
  const everything = learntFrom(table, views, () => true);
  const [head] = await fitLinear(
    everything.rows,
    everything.targets,
    table.classes,
    [strength],
    [balanced],
    help.products,
  );
  await help.step();
  if (!head) throw notNumbers();
  const divide = (values: Float32Array): Float32Array => values.map((value) => value / temperature);
  return {
    ...best,
    croppedKept,
    shiftedKept,
    plain,
    head: { ...head, weight: divide(head.weight), bias: divide(head.bias) },
  };
}

export function isUneven(targets: number[], classes: number): boolean {
  const counts = countTargets(targets, classes);
  return Math.max(...counts) > UNEVEN * Math.min(...counts);
}

/** The row's most probable class; of equal ones the first. */
export function predictedOf(probabilities: Float64Array, classes: number, row: number): number {
  const own = probabilities.subarray(row * classes, (row + 1) * classes);
  return own.indexOf(Math.max(...own));
}

async function fit(
  table: Table,
  views: Views | undefined,
  shifted: Views | undefined,
  spectrum: boolean,
  help: Help,
): Promise<Fit> {
  const { targets, folds, classes } = table;
  if (!areNumbers(table.features)) throw notNumbers();
  const uneven = isUneven(targets, classes);
  const weights = uneven ? balancedWeights(targets, classes) : new Float64Array(targets.length).fill(1);
  const numbers = [...new Set(folds)].sort((one, other) => one - other);
  const choosing = targets.length <= MANY ? numbers : numbers.slice(0, 1);
  const judged = shifted ?? { features: [], of: [] };
  const pairs = (uneven ? [false, true] : [false]).flatMap((balanced) =>
    STRENGTHS.map((strength) => ({ strength, balanced })),
  );
  const found = pairs.map((pair) => ({
    ...pair,
    plain: new Float64Array(targets.length * classes),
    shifted: new Float64Array(judged.of.length * classes),
  }));
  for (const fold of choosing) await judgeFold(table, views, judged, fold, found, help);

  const lossOf = (logits: Float64Array, of: number[]): number => {
    const rows = Array.from(of.keys()).filter((row) => choosing.includes(folds[of[row] ?? 0] ?? 0));
    const pick = (values: ArrayLike<number>): Float64Array => Float64Array.from(of, (row) => values[row] ?? NaN);
    return negativeLogLikelihood(softmax(logits, classes), pick(targets), rows, classes, pick(weights));
  };
  const losses = found.map((each) => {
    const loss = lossOf(each.plain, Array.from(targets.keys()));
    const spectrumLoss = shifted ? (loss + lossOf(each.shifted, judged.of)) / 2 : NaN;
    return { ...each, loss, spectrumLoss, chosen: spectrum ? spectrumLoss : loss };
  });
  const least = Math.min(...losses.map(({ chosen }) => chosen));
  const [best] = losses
    .filter(({ chosen }) => chosen <= (1 + AS_GOOD) * least)
    .sort((one, other) => one.strength - other.strength || one.chosen - other.chosen);
  if (!best) throw notNumbers();
  for (const fold of numbers.slice(choosing.length)) await judgeFold(table, views, judged, fold, [best], help);
  const { temperature, ofFold } = fitTemperatures(best.plain, targets, folds, classes);
  const divisor = (row: number): number => ofFold.get(folds[row] ?? 0) ?? 1;
  return {
    strength: best.strength,
    balanced: best.balanced,
    temperature,
    probabilities: softmax(best.plain, classes, divisor),
    shifted: softmax(best.shifted, classes, (view) => divisor(judged.of[view] ?? 0)),
    loss: best.loss,
    spectrumLoss: best.spectrumLoss,
  };
}

/** Logits for each strength and balance, by which a fold is judged by heads that did not see it. */
async function judgeFold(
  table: Table,
  views: Views | undefined,
  judged: Views,
  fold: number,
  found: { strength: number; balanced: boolean; plain: Float64Array; shifted: Float64Array }[],
  { products, step }: Help,
): Promise<void> {
  const { features, folds, classes } = table;
  const others = learntFrom(table, views, (row) => folds[row] !== fold);
  const strengths = [...new Set(found.map(({ strength }) => strength))];
  const balances = [...new Set(found.map(({ balanced }) => balanced))];
  const heads = await fitLinear(others.rows, others.targets, classes, strengths, balances, products);
  const out = Array.from(features.keys()).filter((row) => folds[row] === fold);
  const outViews = Array.from(judged.of.keys()).filter((view) => folds[judged.of[view] ?? 0] === fold);
  const plain = await logitsOfEach(heads, pickRows(features, out), products);
  const shifted = await logitsOfEach(heads, pickRows(judged.features, outViews), products);
  for (const each of found) {
    const at = heads.findIndex(({ strength, balanced }) => strength === each.strength && balanced === each.balanced);
    put(each.plain, plain[at] ?? new Float64Array(0), out, classes);
    put(each.shifted, shifted[at] ?? new Float64Array(0), outViews, classes);
  }
  await step();
}

function learntFrom(
  table: Table,
  views: Views | undefined,
  isIn: (row: number) => boolean,
): { rows: Rows; targets: number[] } {
  const rows = Array.from(table.features.keys()).filter(isIn);
  const there = views ? Array.from(views.of.keys()).filter((view) => isIn(views.of[view] ?? 0)) : [];
  const of = [...rows, ...there.map((view) => views?.of[view] ?? 0)];
  return {
    rows: [...pickRows(table.features, rows), ...pickRows(views?.features ?? [], there)],
    targets: of.map((row) => table.targets[row] ?? 0),
  };
}

function joinViews(first: Views | undefined, second: Views): Views {
  if (!first) return second;
  return { features: [...first.features, ...second.features], of: [...first.of, ...second.of] };
}

function pickRows(rows: Rows, numbers: number[]): Rows {
  return numbers.flatMap((number) => rows[number] ?? []);
}

function put(target: Float64Array, values: Float64Array, rows: number[], classes: number): void {
  rows.forEach((row, number) => {
    target.set(values.subarray(number * classes, (number + 1) * classes), row * classes);
  });
}

function countWrong({ probabilities }: Fit, { targets, classes }: Table): number {
  return targets.filter((target, row) => predictedOf(probabilities, classes, row) !== target).length;
}

function notNumbers(): CannotTeach {
  return new CannotTeach("not-numbers", "Nothing could be learnt: the features or the losses are not numbers.");
}
