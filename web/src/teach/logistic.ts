/**
 * Logistic regression with an L2 penalty: the same optimum as scikit-learn's `LogisticRegression`.
 *
 * The best weights are a sum of the pictures' features, W = points^T A, so only the products of pictures matter (the
 * kernel trick): with G = points points^T, the logits are G A + b. L-BFGS walks in the space of W, but every vector of
 * it is held as its coefficients and their product with G; so a step costs one product with G.
 */

/** Products of pictures: symmetric, (count * count). */
export interface Kernel {
  count: number;
  values: Float32Array;
}

/**
 * Coefficients (count * outputs) of pictures, and a bias for each output. Two classes need one output, for the second.
 */
export interface Solution {
  coefficients: Float64Array;
  bias: Float64Array;
  /** What a like problem begins with. */
  trail: Trail;
}

/** Where a walk ended, by which penalty, and what it learnt of the bends of the loss on its way. */
interface Trail {
  at: Vector;
  penalty: number;
  history: Step[];
}

interface Step {
  step: Vector;
  change: Vector;
  scale: number;
}

export interface Problem {
  kernel: Kernel;
  targets: ArrayLike<number>;
  /** What each picture counts. */
  weights: Float64Array;
  classes: number;
}

const MEMORY = 20;
const MOST_STEPS = 500;
/** Of the gradient, in the space of W; scikit-learn's is 1e-4 for its largest number. */
const TOLERANCE = 1e-4;
const MOST_SEARCH = 12;

/** A vector in the space of (W, b): its coefficients, their product with the kernel, and the part of the biases. */
interface Vector {
  own: Float64Array;
  seen: Float64Array;
  bias: Float64Array;
}

export function outputsOf(classes: number): number {
  return classes === 2 ? 1 : classes;
}

/**
 * The least of the mean loss + |W|^2 / (2 * strength * total weight).
 *
 * @param strength scikit-learn's `C`. @param start where to begin: the solution of a like problem.
 */
export function solve(problem: Problem, strength: number, start?: Solution): Solution {
  const { kernel, classes } = problem;
  const outputs = outputsOf(classes);
  const total = problem.weights.reduce((sum, each) => sum + each, 0);
  const penalty = 1 / (strength * total);
  const zero = (): Vector => makeVector(kernel.count, outputs);
  const at = start ? scaled(start.trail.at, 1) : zero();
  const history = start ? underPenalty(start.trail, penalty) : [];
  let gradient = gradientAt(problem, at, penalty, total, outputs);
  for (let round = 0; round < MOST_STEPS; round++) {
    const length = Math.sqrt(dot(gradient, gradient));
    if (!(length > TOLERANCE)) break;
    const direction = descend(gradient, history, zero);
    if (!(dot(direction, gradient) < 0)) break;
    const size = searchLine(problem, at, direction, penalty, total, outputs, history.length ? 1 : 1 / length);
    if (!(size > 0)) break;
    const step = scaled(direction, size);
    add(at, step, 1);
    const next = gradientAt(problem, at, penalty, total, outputs);
    const change = scaled(next, 1);
    add(change, gradient, -1);
    gradient = next;
    const curvature = dot(step, change);
    if (curvature > 0) history.push({ step, change, scale: 1 / curvature });
    if (history.length > MEMORY) history.shift();
  }
  return { coefficients: at.own, bias: at.bias, trail: { at, penalty, history } };
}

/** The steps of a walk as they were with another penalty, which bends the loss along W alike everywhere. */
function underPenalty({ penalty, history }: Trail, now: number): Step[] {
  return history.flatMap(({ step, change }) => {
    const changed = scaled(change, 1);
    addWeights(changed, step, now - penalty);
    const curvature = dot(step, changed);
    return curvature > 0 ? [{ step, change: changed, scale: 1 / curvature }] : [];
  });
}

/** The direction of L-BFGS: the two loops of Nocedal (1980). */
function descend(
  gradient: Vector,
  history: Step[],
  zero: () => Vector,
): Vector {
  const direction = zero();
  add(direction, gradient, -1);
  const shares: number[] = [];
  for (const { step, change, scale } of history.toReversed()) {
    const share = scale * dot(step, direction);
    shares.push(share);
    add(direction, change, -share);
  }
  const last = history.at(-1);
  if (last) scale(direction, 1 / (last.scale * dot(last.change, last.change)));
  for (const { step, change, scale } of history) {
    add(direction, step, (shares.pop() ?? 0) - scale * dot(change, direction));
  }
  return direction;
}

/* The loops below run for every number: "!" where an index is known to be inside. */
/* eslint-disable @typescript-eslint/no-non-null-assertion */

/** How far to go: Newton's method along the line, on which the logits are known without another product. */
function searchLine(
  { targets, weights, classes, kernel: { count } }: Problem,
  at: Vector,
  direction: Vector,
  penalty: number,
  total: number,
  outputs: number,
  first: number,
): number {
  const ownSlope = penalty * dotOfWeights(at, direction);
  const ownBend = penalty * dotOfWeights(direction, direction);
  const probabilities = new Float64Array(classes);
  const slopes = (size: number): [slope: number, bend: number] => {
    let slope = 0;
    let bend = 0;
    for (let row = 0; row < count; row++) {
      for (let k = 0; k < outputs; k++) {
        const place = row * outputs + k;
        probabilities[k] = at.seen[place]! + at.bias[k]! + size * (direction.seen[place]! + direction.bias[k]!);
      }
      toProbabilities(probabilities, outputs);
      let mean = 0;
      let square = 0;
      let right = 0;
      for (let k = 0; k < outputs; k++) {
        const move = direction.seen[row * outputs + k]! + direction.bias[k]!;
        const probability = probabilities[outputs === 1 ? 1 : k]!;
        mean += probability * move;
        square += probability * move * move;
        if (targets[row] === (outputs === 1 ? 1 : k)) right = move;
      }
      slope += weights[row]! * (mean - right);
      bend += weights[row]! * (square - mean * mean);
    }
    return [slope / total + ownSlope + size * ownBend, bend / total + ownBend];
  };
  let [low, high, size] = [0, Infinity, first];
  const [start] = slopes(0);
  for (let round = 0; round < MOST_SEARCH; round++) {
    const [slope, bend] = slopes(size);
    if (Math.abs(slope) <= 0.1 * Math.abs(start)) break;
    if (slope > 0) high = size;
    else low = size;
    const next = size - slope / bend;
    size = next > low && next < high ? next : high === Infinity ? 2 * size : (low + high) / 2;
  }
  return size;
}

function gradientAt(problem: Problem, at: Vector, penalty: number, total: number, outputs: number): Vector {
  const { kernel, targets, weights, classes } = problem;
  const gradient = makeVector(kernel.count, outputs);
  const residuals = new Float64Array(kernel.count * outputs);
  const probabilities = new Float64Array(classes);
  for (let row = 0; row < kernel.count; row++) {
    for (let k = 0; k < outputs; k++) probabilities[k] = at.seen[row * outputs + k]! + at.bias[k]!;
    toProbabilities(probabilities, outputs);
    for (let k = 0; k < outputs; k++) {
      const label = outputs === 1 ? 1 : k;
      const residual = (weights[row]! / total) * (probabilities[label]! - (targets[row] === label ? 1 : 0));
      residuals[row * outputs + k] = residual;
      gradient.bias[k]! += residual;
    }
  }
  multiply(kernel, residuals, outputs, gradient.seen);
  for (let place = 0; place < residuals.length; place++) {
    gradient.own[place] = residuals[place]! + penalty * at.own[place]!;
    gradient.seen[place]! += penalty * at.seen[place]!;
  }
  return gradient;
}

/** In place: logits of the outputs to probabilities of the classes. */
function toProbabilities(values: Float64Array, outputs: number): void {
  if (outputs === 1) {
    values[1] = 1 / (1 + Math.exp(-values[0]!));
    values[0] = 1 - values[1];
    return;
  }
  let most = -Infinity;
  for (let k = 0; k < outputs; k++) most = Math.max(most, values[k]!);
  let sum = 0;
  for (let k = 0; k < outputs; k++) sum += values[k] = Math.exp(values[k]! - most);
  for (let k = 0; k < outputs; k++) values[k]! /= sum;
}

/** target = kernel * values, each (count * outputs). */
function multiply(kernel: Kernel, values: Float64Array, outputs: number, target: Float64Array): void {
  if (outputs === 1) multiplyOne(kernel, values, target);
  else for (let first = 0; first < outputs; first += 3) multiplyThree(kernel, values, outputs, first, target);
}

function multiplyOne({ count, values: kernel }: Kernel, column: Float64Array, target: Float64Array): void {
  for (let row = 0, start = 0; row < count; row++, start += count) {
    // Four sums at a time, or each addition would wait for the one before.
    let [a, b, c, d] = [0, 0, 0, 0];
    let at = 0;
    for (; at + 3 < count; at += 4) {
      a += kernel[start + at]! * column[at]!;
      b += kernel[start + at + 1]! * column[at + 1]!;
      c += kernel[start + at + 2]! * column[at + 2]!;
      d += kernel[start + at + 3]! * column[at + 3]!;
    }
    for (; at < count; at++) a += kernel[start + at]! * column[at]!;
    target[row] = a + b + c + d;
  }
}

/**
 * Three outputs, or what is left of them, of two rows at a time: six sums of which none waits for another, and each
 * number that is read is used more than once.
 */
function multiplyThree(
  { count, values: kernel }: Kernel,
  values: Float64Array,
  outputs: number,
  first: number,
  target: Float64Array,
): void {
  const used = Math.min(3, outputs - first);
  const columns = new Float64Array(count * 3);
  for (let row = 0; row < count; row++) {
    for (let k = 0; k < used; k++) columns[row * 3 + k] = values[row * outputs + first + k]!;
  }
  const sums = new Float64Array(6);
  for (let row = 0; row < count; row += 2) {
    const rows = Math.min(2, count - row);
    const upper = row * count;
    const lower = upper + (rows - 1) * count;
    let [a, b, c, d, e, f] = [0, 0, 0, 0, 0, 0];
    for (let at = 0, place = 0; at < count; at++, place += 3) {
      // No arrays here: they would be made for every number.
      const one = kernel[upper + at]!;
      const other = kernel[lower + at]!;
      const x = columns[place]!;
      const y = columns[place + 1]!;
      const z = columns[place + 2]!;
      a += one * x;
      b += one * y;
      c += one * z;
      d += other * x;
      e += other * y;
      f += other * z;
    }
    [sums[0], sums[1], sums[2], sums[3], sums[4], sums[5]] = [a, b, c, d, e, f];
    for (let next = 0; next < rows; next++) {
      for (let k = 0; k < used; k++) target[(row + next) * outputs + first + k] = sums[next * 3 + k]!;
    }
  }
}

function makeVector(count: number, outputs: number): Vector {
  const size = count * outputs;
  return { own: new Float64Array(size), seen: new Float64Array(size), bias: new Float64Array(outputs) };
}

/** The inner product in the space of (W, b). */
function dot(one: Vector, other: Vector): number {
  let sum = dotOfWeights(one, other);
  for (let k = 0; k < one.bias.length; k++) sum += one.bias[k]! * other.bias[k]!;
  return sum;
}

function dotOfWeights(one: Vector, other: Vector): number {
  let sum = 0;
  for (let at = 0; at < one.own.length; at++) sum += one.own[at]! * other.seen[at]!;
  return sum;
}

function add(target: Vector, other: Vector, share: number): void {
  addWeights(target, other, share);
  for (let k = 0; k < other.bias.length; k++) target.bias[k]! += share * other.bias[k]!;
}

/** All but the biases. */
function addWeights(target: Vector, { own, seen }: Vector, share: number): void {
  for (let at = 0; at < own.length; at++) {
    target.own[at]! += share * own[at]!;
    target.seen[at]! += share * seen[at]!;
  }
}

function scale(target: Vector, share: number): void {
  for (const values of [target.own, target.seen, target.bias]) {
    for (let at = 0; at < values.length; at++) values[at]! *= share;
  }
}

function scaled(vector: Vector, share: number): Vector {
  const copy = { own: vector.own.slice(), seen: vector.seen.slice(), bias: vector.bias.slice() };
  scale(copy, share);
  return copy;
}
