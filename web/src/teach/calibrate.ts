/**
 * Calibration: the temperature by which logits are divided, chosen on held-out pictures as in `spotter/train/head.py`.
 */

/** Of the temperature's logarithm: two of three temperatures lie between 0.82 and 1.22. */
const PRIOR_SPREAD = 0.2;
/** A probability of less than 1e-12 counts as that. */
const LEAST = 1e-12;
const MOST_LOSS = -Math.log(LEAST);
const CANDIDATES = Array.from({ length: 81 }, (_, at) => 2 ** (-2 + (4 * at) / 80));

export interface Temperatures {
  /** From all pictures. */
  temperature: number;
  /** For each fold, from the others. */
  ofFold: Map<number, number>;
}

/** All are 1 if they do not lower the loss. @param logits (pictures * classes), of heads that did not see them. */
export function fitTemperatures(
  logits: Float64Array,
  targets: number[],
  folds: number[],
  classes: number,
): Temperatures {
  const numbers = [...new Set(folds)].sort((one, other) => one - other);
  const ofFold = new Map(
    numbers.map((fold) => {
      const rows = Array.from(folds.keys()).filter((row) => folds[row] !== fold);
      return [fold, fitTemperature(logits, targets, rows, classes)] as const;
    }),
  );
  const all = Array.from(targets.keys());
  const scaled = negativeLogLikelihood(
    softmax(logits, classes, (row) => ofFold.get(folds[row] ?? 0) ?? 1),
    targets,
    all,
    classes,
  );
  const plain = negativeLogLikelihood(softmax(logits, classes), targets, all, classes);
  if (scaled < plain) return { temperature: fitTemperature(logits, targets, all, classes), ofFold };
  return { temperature: 1, ofFold: new Map(numbers.map((fold) => [fold, 1])) };
}

/** The divisor with the least loss, given that it is hardly far from 1. */
function fitTemperature(logits: Float64Array, targets: number[], rows: number[], classes: number): number {
  let best = 1;
  let least = Infinity;
  for (const candidate of CANDIDATES) {
    // Where all pictures are right, the loss alone would ask for the smallest divisor; a prior knows better.
    const penalty = (Math.log(candidate) / PRIOR_SPREAD) ** 2 / 2;
    const loss = lossAt(logits, targets, rows, classes, candidate) + penalty;
    if (loss < least) [best, least] = [candidate, loss];
  }
  return best;
}

/* It runs for each candidate and picture: "!" where an index is known to be inside. */
/* eslint-disable @typescript-eslint/no-non-null-assertion */

/** The sum of -log of the probability given to the right class, when logits are divided by `divisor`. */
function lossAt(logits: Float64Array, targets: number[], rows: number[], classes: number, divisor: number): number {
  let loss = 0;
  for (const row of rows) {
    const right = logits[row * classes + targets[row]!]!;
    let total = 0;
    for (let at = row * classes; at < (row + 1) * classes; at++) total += Math.exp((logits[at]! - right) / divisor);
    loss += Math.min(Math.log(total), MOST_LOSS);
  }
  return loss;
}

/* eslint-enable @typescript-eslint/no-non-null-assertion */

/** Row-wise softmax of (rows * classes) logits, each row divided by its divisor. */
export function softmax(
  logits: Float64Array,
  classes: number,
  divisor: (row: number) => number = () => 1,
): Float64Array {
  const probabilities = new Float64Array(logits.length);
  for (let row = 0; row * classes < logits.length; row++) {
    const own = logits.subarray(row * classes, (row + 1) * classes);
    const by = divisor(row);
    const most = Math.max(...own);
    const shares = Array.from(own, (logit) => Math.exp((logit - most) / by));
    const total = shares.reduce((sum, share) => sum + share, 0);
    probabilities.set(
      shares.map((share) => share / total),
      row * classes,
    );
  }
  return probabilities;
}

/** Mean -log of the probability given to the right class, over some rows; `weights` say what each row counts. */
export function negativeLogLikelihood(
  probabilities: Float64Array,
  targets: ArrayLike<number>,
  rows: number[],
  classes: number,
  weights?: Float64Array,
): number {
  let sum = 0;
  let total = 0;
  for (const row of rows) {
    const right = probabilities[row * classes + (targets[row] ?? 0)] ?? NaN;
    const weight = weights ? (weights[row] ?? 1) : 1;
    sum -= weight * Math.log(Math.min(Math.max(right, LEAST), 1));
    total += weight;
  }
  return sum / total;
}
