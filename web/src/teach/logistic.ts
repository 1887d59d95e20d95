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
/** Of the gradient's length, in the space of W; scikit-learn's is 1e-4 for the largest of its thousands of numbers. */
const TOLERANCE = 3e-4;
const MOST_SEARCH = 12;

/** A vector in the space of (W, b): its coefficients, their product with the kernel, and the part of the biases. */
interface Vector {
  own: Float64Array;
  seen: Float64Array;
  bias: Float64Array;
}

/** What was learnt of the bends of the loss on the way. */
interface Step {
  step: Vector;
  change: Vector;
  scale: number;
}

export function outputsOf(classes: number): number {
  return classes === 2 ? 1 : classes;
}

/**
 * The least of the mean loss + |W|^2 / (2 * strength * total weight), for each strength.
 *
 * @param strengths scikit-learn's `C`, from strong to weak regularisation: each search begins where the one before
 * ended, and with what that learnt.
 */
export function solve(problem: Problem, strengths: readonly number[]): Solution[] {
  const walk = new Walk(problem);
  return strengths.map((strength) => walk.to(strength));
}

/** L-BFGS. What it needs is made once: a walk takes dozens of steps, of thousands of numbers each. */
class Walk {
  private readonly outputs: number;
  private readonly total: number;
  private penalty = 0;
  private readonly at: Vector;
  private readonly direction: Vector;
  private gradient: Vector;
  private next: Vector;
  private history: Step[] = [];

  constructor(private readonly problem: Problem) {
    this.outputs = outputsOf(problem.classes);
    this.total = problem.weights.reduce((sum, each) => sum + each, 0);
    this.at = this.makeVector();
    this.direction = this.makeVector();
    this.gradient = this.makeVector();
    this.next = this.makeVector();
  }

  to(strength: number): Solution {
    this.changePenalty(1 / (strength * this.total));
    const { at, direction } = this;
    computeGradient(this.problem, at, this.penalty, this.total, this.outputs, this.gradient);
    for (let round = 0; round < MOST_STEPS; round++) {
      const length = Math.sqrt(dot(this.gradient, this.gradient));
      if (!(length > TOLERANCE)) break;
      descend(this.gradient, this.history, direction);
      const slope = dot(direction, this.gradient);
      if (!(slope < 0)) break;
      const first = this.history.length ? 1 : 1 / length;
      const size = searchLine(this.problem, at, direction, this.penalty, this.total, this.outputs, slope, first);
      if (!(size > 0)) break;
      add(at, direction, size);
      computeGradient(this.problem, at, this.penalty, this.total, this.outputs, this.next);
      this.remember(size);
      [this.gradient, this.next] = [this.next, this.gradient];
    }
    return { coefficients: at.own.slice(), bias: at.bias.slice() };
  }

  /** The last step, and what it changed of the gradient; of many steps, the oldest is forgotten. */
  private remember(size: number): void {
    const { history } = this;
    const last = (history.length === MEMORY ? history.shift() : undefined) ?? {
      step: this.makeVector(),
      change: this.makeVector(),
      scale: 0,
    };
    copyScaled(last.step, this.direction, size);
    copyScaled(last.change, this.next, 1);
    add(last.change, this.gradient, -1);
    const curvature = dot(last.step, last.change);
    last.scale = 1 / curvature;
    if (curvature > 0) history.push(last);
  }

  /** The penalty bends the loss along W alike everywhere. */
  private changePenalty(penalty: number): void {
    for (const each of this.history) {
      addWeights(each.change, each.step, penalty - this.penalty);
      each.scale = 1 / dot(each.step, each.change);
    }
    this.history = this.history.filter(({ scale }) => scale > 0);
    this.penalty = penalty;
  }

  private makeVector(): Vector {
    const size = this.problem.kernel.count * this.outputs;
    return { own: new Float64Array(size), seen: new Float64Array(size), bias: new Float64Array(this.outputs) };
  }
}

/** The direction of L-BFGS: the two loops of Nocedal (1980). */
function descend(gradient: Vector, history: Step[], direction: Vector): void {
  copyScaled(direction, gradient, -1);
  const shares: number[] = [];
  for (const { step, change, scale } of history.toReversed()) {
    const share = scale * dot(step, direction);
    shares.push(share);
    add(direction, change, -share);
  }
  const last = history.at(-1);
  if (last) copyScaled(direction, direction, 1 / (last.scale * dot(last.change, last.change)));
  for (const { step, change, scale } of history) {
    add(direction, step, (shares.pop() ?? 0) - scale * dot(change, direction));
  }
}

/* The loops below run for every number: "!" where an index is known to be inside. */
/* eslint-disable @typescript-eslint/no-non-null-assertion */

/**
 * How far to go: Newton's method along the line, on which the logits are known without another product.
 *
 * @param start the slope at the beginning. @param first a step to try.
 */
function searchLine(
  { targets, weights, classes, kernel: { count } }: Problem,
  at: Vector,
  direction: Vector,
  penalty: number,
  total: number,
  outputs: number,
  start: number,
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
  for (let round = 0; round < MOST_SEARCH; round++) {
    const [slope, bend] = slopes(size);
    if (Math.abs(slope) <= 0.3 * Math.abs(start)) break;
    if (slope > 0) high = size;
    else low = size;
    const next = size - slope / bend;
    size = next > low && next < high ? next : high === Infinity ? 2 * size : (low + high) / 2;
  }
  return size;
}

function computeGradient(
  { kernel, targets, weights, classes }: Problem,
  at: Vector,
  penalty: number,
  total: number,
  outputs: number,
  gradient: Vector,
): void {
  gradient.bias.fill(0);
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
 * Three outputs, or what is left of them, of four rows at a time: twelve sums of which none waits for another, and each
 * number that is read is used three or four times.
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
  const sums = new Float64Array(12);
  for (let row = 0; row < count; row += 4) {
    const rows = Math.min(4, count - row);
    // Of the last few rows, one may be read more than once.
    const [p, q] = [row * count, (row + Math.min(1, rows - 1)) * count];
    const [r, s] = [(row + Math.min(2, rows - 1)) * count, (row + rows - 1) * count];
    let [a, b, c, d, e, f] = [0, 0, 0, 0, 0, 0];
    let [g, h, i, j, k, l] = [0, 0, 0, 0, 0, 0];
    for (let at = 0, place = 0; at < count; at++, place += 3) {
      // No arrays here: they would be made for every number.
      const x = columns[place]!;
      const y = columns[place + 1]!;
      const z = columns[place + 2]!;
      const one = kernel[p + at]!;
      a += one * x;
      b += one * y;
      c += one * z;
      const two = kernel[q + at]!;
      d += two * x;
      e += two * y;
      f += two * z;
      const three = kernel[r + at]!;
      g += three * x;
      h += three * y;
      i += three * z;
      const four = kernel[s + at]!;
      j += four * x;
      k += four * y;
      l += four * z;
    }
    sums.set([a, b, c, d, e, f, g, h, i, j, k, l]);
    for (let next = 0; next < rows; next++) {
      for (let output = 0; output < used; output++) {
        target[(row + next) * outputs + first + output] = sums[next * 3 + output]!;
      }
    }
  }
}

/** The inner product in the space of (W, b). */
function dot(one: Vector, other: Vector): number {
  let sum = dotOfWeights(one, other);
  for (let k = 0; k < one.bias.length; k++) sum += one.bias[k]! * other.bias[k]!;
  return sum;
}

function dotOfWeights(one: Vector, other: Vector): number {
  const [{ own }, { seen }] = [one, other];
  // Four sums at a time, or each addition would wait for the one before.
  let [a, b, c, d] = [0, 0, 0, 0];
  let at = 0;
  for (; at + 3 < own.length; at += 4) {
    a += own[at]! * seen[at]!;
    b += own[at + 1]! * seen[at + 1]!;
    c += own[at + 2]! * seen[at + 2]!;
    d += own[at + 3]! * seen[at + 3]!;
  }
  for (; at < own.length; at++) a += own[at]! * seen[at]!;
  return a + b + c + d;
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

function copyScaled(target: Vector, source: Vector, share: number): void {
  for (let at = 0; at < target.own.length; at++) {
    target.own[at] = share * source.own[at]!;
    target.seen[at] = share * source.seen[at]!;
  }
  for (let k = 0; k < target.bias.length; k++) target.bias[k] = share * source.bias[k]!;
}
