/** A linear head on pooled features, as `fit_linear` in `spotter/train/head.py`: standardised, several strengths. */

import { outputsOf, solve, type Kernel } from "./logistic.js";

/** Features of pictures, (width) each. */
export type Rows = readonly Float32Array[];

/** `values` is (rows * width). */
export interface Matrix {
  rows: number;
  width: number;
  values: Float32Array;
}

/** The products of each row of one matrix with each row of another: (rows * other rows). */
export type Products = (one: Matrix, other: Matrix) => Promise<Float32Array>;

/** Rows whose products are computed at a time. */
const BLOCK = 64;

/** The products of each row of a matrix with each other: (rows * rows). They are symmetric: half of them is computed. */
export async function productsOfAll({ rows, width, values }: Matrix, products: Products): Promise<Float32Array> {
  const from = (first: number, end: number): Matrix => ({
    rows: end - first,
    width,
    values: values.subarray(first * width, end * width),
  });
  const all = new Float32Array(rows * rows);
  for (let first = 0; first < rows; first += BLOCK) {
    const block = from(first, Math.min(first + BLOCK, rows));
    const others = from(first, rows);
    const found = await products(block, others);
    for (let row = 0; row < block.rows; row++) {
      const own = found.subarray(row * others.rows, (row + 1) * others.rows);
      all.set(own, (first + row) * rows + first);
      for (let at = block.rows; at < own.length; at++) all[(first + at) * rows + first + row] = own[at] ?? 0;
    }
  }
  return all;
}

/** Logits of plain features: `weight` (classes * width), `bias` (classes). */
export interface Linear {
  weight: Float32Array;
  bias: Float32Array;
  strength: number;
  balanced: boolean;
}

/** A trace of noise, as in Python: it keeps the products from being singular. */
const NOISE = 1e-5;
const LEAST_SPREAD = 1e-6;

/**
 * Fit a head for each balance and strength, from strong to weak regularisation.
 *
 * @param targets of each row, each class at least once.
 */
export async function fitLinear(
  rows: Rows,
  targets: ArrayLike<number>,
  classes: number,
  strengths: readonly number[],
  balances: readonly boolean[],
  products: Products,
): Promise<Linear[]> {
  const standard = standardise(rows);
  const { points } = standard;
  const count = rows.length;
  const kernel = { count, values: await productsOfAll(points, products) };
  if (count < points.width) addNoise(kernel);
  const found = balances.flatMap((balanced) => {
    const weights = balanced ? balancedWeights(targets, classes) : new Float64Array(count).fill(1);
    const solutions = solve({ kernel, targets, weights, classes }, strengths);
    return solutions.map((solution, at) => ({ ...solution, strength: strengths[at] ?? NaN, balanced }));
  });
  // The weights of all heads at once: sums of pictures.
  const outputs = outputsOf(classes);
  const shares = transpose(joinColumns(found.map(({ coefficients }) => coefficients), count, outputs));
  const sums = await products(shares, transpose(points));
  return found.map(({ bias, strength, balanced }, at) => {
    const own = sums.subarray(at * outputs * points.width, (at + 1) * outputs * points.width);
    return { ...toPlainFeatures(own, bias, standard, classes), strength, balanced };
  });
}

/** Logits, (count * classes), of rows. */
export function logitsOf({ weight, bias }: Linear, rows: Rows): Float64Array {
  const classes = bias.length;
  const logits = new Float64Array(rows.length * classes);
  rows.forEach((row, number) => {
    for (let label = 0; label < classes; label++) {
      const own = weight.subarray(label * row.length, (label + 1) * row.length);
      logits[number * classes + label] = dot(row, own) + (bias[label] ?? 0);
    }
  });
  return logits;
}

/** As `logitsOf`, for each of several heads. */
export async function logitsOfEach(heads: Linear[], rows: Rows, products: Products): Promise<Float64Array[]> {
  if (!rows.length) return heads.map(() => new Float64Array(0));
  const classes = heads[0]?.bias.length ?? 0;
  const { values, width } = joinRows(heads.map(({ weight }) => weight));
  const all = { values, width: width / classes, rows: heads.length * classes };
  const found = await products(joinRows(rows), all);
  return heads.map(({ bias }, number) => {
    const logits = new Float64Array(rows.length * classes);
    for (let at = 0; at < logits.length; at++) {
      const [row, label] = [Math.floor(at / classes), at % classes];
      logits[at] = (found[row * all.rows + number * classes + label] ?? NaN) + (bias[label] ?? NaN);
    }
    return logits;
  });
}

export function joinRows(rows: Rows): Matrix {
  const width = rows[0]?.length ?? 0;
  const values = new Float32Array(rows.length * width);
  rows.forEach((row, number) => {
    values.set(row, number * width);
  });
  return { rows: rows.length, width, values };
}

/** What a row counts, so that each class counts the same. */
export function balancedWeights(targets: ArrayLike<number>, classes: number): Float64Array {
  const counts = countTargets(targets, classes);
  return Float64Array.from(targets, (target) => targets.length / (classes * (counts[target] ?? 1)));
}

export function countTargets(targets: ArrayLike<number>, classes: number): number[] {
  const counts = new Array<number>(classes).fill(0);
  for (const target of Array.from(targets)) counts[target] = (counts[target] ?? 0) + 1;
  return counts;
}

interface Standard {
  /** Each feature has mean 0 and spread 1. */
  points: Matrix;
  mean: Float64Array;
  spread: Float64Array;
}

/* The loops below run for every number: "!" where an index is known to be inside. */
/* eslint-disable @typescript-eslint/no-non-null-assertion */

export function dot(one: Float32Array, other: Float32Array): number {
  // Four sums at a time, or each addition would wait for the one before.
  let [a, b, c, d] = [0, 0, 0, 0];
  let at = 0;
  for (; at + 3 < one.length; at += 4) {
    a += one[at]! * other[at]!;
    b += one[at + 1]! * other[at + 1]!;
    c += one[at + 2]! * other[at + 2]!;
    d += one[at + 3]! * other[at + 3]!;
  }
  for (; at < one.length; at++) a += one[at]! * other[at]!;
  return a + b + c + d;
}

/** Features divided by their length. */
export function embed(features: Float32Array): Float32Array {
  const length = Math.max(Math.sqrt(dot(features, features)), 1e-12);
  const embedding = new Float32Array(features.length);
  for (let at = 0; at < features.length; at++) embedding[at] = features[at]! / length;
  return embedding;
}

export function areNumbers(rows: Rows): boolean {
  for (const row of rows) {
    for (const value of row) if (!Number.isFinite(value)) return false;
  }
  return true;
}

function standardise(rows: Rows): Standard {
  const width = rows[0]?.length ?? 0;
  const mean = new Float64Array(width);
  const spread = new Float64Array(width);
  for (const row of rows) for (let at = 0; at < width; at++) mean[at]! += row[at]!;
  for (let at = 0; at < width; at++) mean[at]! /= rows.length;
  for (const row of rows) {
    for (let at = 0; at < width; at++) {
      const off = row[at]! - mean[at]!;
      spread[at]! += off * off;
    }
  }
  for (let at = 0; at < width; at++) spread[at] = Math.sqrt(spread[at]! / rows.length) + LEAST_SPREAD;
  const points = new Float32Array(rows.length * width);
  const shares = spread.map((each) => 1 / each);
  rows.forEach((row, number) => {
    const start = number * width;
    for (let at = 0; at < width; at++) points[start + at] = (row[at]! - mean[at]!) * shares[at]!;
  });
  return { points: { rows: rows.length, width, values: points }, mean, spread };
}

function addNoise({ count, values }: Kernel): void {
  let trace = 0;
  for (let at = 0; at < values.length; at += count + 1) trace += values[at]!;
  for (let at = 0; at < values.length; at += count + 1) values[at]! += (NOISE * trace) / count + 1e-12;
}

/** The weights of outputs (outputs * width) for plain features: the standardisation is folded in. */
function toPlainFeatures(
  weights: Float32Array,
  bias: Float64Array,
  { mean, spread }: Standard,
  classes: number,
): { weight: Float32Array; bias: Float32Array } {
  const width = mean.length;
  const plain = new Float64Array(weights.length);
  const plainBias = Float64Array.from(bias);
  for (let k = 0; k < bias.length; k++) {
    for (let at = 0; at < width; at++) {
      const weight = (plain[k * width + at] = weights[k * width + at]! / spread[at]!);
      plainBias[k]! -= weight * mean[at]!;
    }
  }
  if (bias.length === classes) return { weight: Float32Array.from(plain), bias: Float32Array.from(plainBias) };
  // One row for two classes; half of it each way gives the same probabilities.
  const halfEachWay = (values: Float64Array): Float32Array =>
    Float32Array.from([...values.map((value) => -value / 2), ...values.map((value) => value / 2)]);
  return { weight: halfEachWay(plain), bias: halfEachWay(plainBias) };
}

/** Matrices of (rows * width) side by side. */
function joinColumns(parts: Float64Array[], rows: number, width: number): Matrix {
  const joined = { rows, width: parts.length * width, values: new Float32Array(parts.length * rows * width) };
  parts.forEach((part, number) => {
    for (let row = 0; row < rows; row++) {
      joined.values.set(part.subarray(row * width, (row + 1) * width), row * joined.width + number * width);
    }
  });
  return joined;
}

function transpose({ rows, width, values }: Matrix): Matrix {
  const turned = new Float32Array(values.length);
  for (let row = 0; row < rows; row++) {
    for (let at = 0; at < width; at++) turned[at * rows + row] = values[row * width + at]!;
  }
  return { rows: width, width: rows, values: turned };
}
