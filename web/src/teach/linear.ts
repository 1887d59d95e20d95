/** A linear head on pooled features, as `fit_linear` in `spotter/train/head.py`: standardised, several strengths. */

import { outputsOf, solve, type Kernel, type Solution } from "./logistic.js";

/** Features of pictures, (width) each. */
export type Rows = readonly Float32Array[];

/** rows -> their products with each other, float32 (count * count); `values` is (count * width). */
export type Products = (values: Float32Array, count: number, width: number) => Promise<Float32Array>;

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
  const count = rows.length;
  const kernel = { count, values: await products(standard.points, count, standard.width) };
  if (count < standard.width) addNoise(kernel);
  return balances.flatMap((balanced) => {
    const weights = balanced ? balancedWeights(targets, classes) : new Float64Array(count).fill(1);
    let found: Solution | undefined;
    // Each fit starts where the one before ended.
    return strengths.map((strength) => {
      found = solve({ kernel, targets, weights, classes }, strength, found);
      return { ...toPlainFeatures(found, standard, classes), strength, balanced };
    });
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
  /** (count * width): each feature has mean 0 and spread 1. */
  points: Float32Array;
  mean: Float64Array;
  spread: Float64Array;
  width: number;
}

/* The loops below run for every number: "!" where an index is known to be inside. */
/* eslint-disable @typescript-eslint/no-non-null-assertion */

export function dot(one: Float32Array, other: Float32Array): number {
  let sum = 0;
  for (let at = 0; at < one.length; at++) sum += one[at]! * other[at]!;
  return sum;
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
  rows.forEach((row, number) => {
    for (let at = 0; at < width; at++) points[number * width + at] = (row[at]! - mean[at]!) / spread[at]!;
  });
  return { points, mean, spread, width };
}

function addNoise({ count, values }: Kernel): void {
  let trace = 0;
  for (let at = 0; at < values.length; at += count + 1) trace += values[at]!;
  for (let at = 0; at < values.length; at += count + 1) values[at]! += (NOISE * trace) / count + 1e-12;
}

/** The weights, with the standardisation folded in. */
function toPlainFeatures(
  { coefficients, bias }: Solution,
  { points, mean, spread, width }: Standard,
  classes: number,
): { weight: Float32Array; bias: Float32Array } {
  const outputs = outputsOf(classes);
  const sums = new Float64Array(outputs * width);
  const count = coefficients.length / outputs;
  for (let k = 0; k < outputs; k++) {
    const own = sums.subarray(k * width, (k + 1) * width);
    const share = (row: number): number => (row < count ? coefficients[row * outputs + k]! : 0);
    // Four rows at a time, as reading and writing the sums takes the time; past the last row nothing is added.
    for (let row = 0; row < count; row += 4) {
      const [a, b, c, d] = [share(row), share(row + 1), share(row + 2), share(row + 3)];
      const [first, second, third, fourth] = [0, 1, 2, 3].map((next) => Math.min(row + next, count - 1) * width);
      for (let at = 0; at < width; at++) {
        own[at]! +=
          a * points[first! + at]! + b * points[second! + at]! + c * points[third! + at]! + d * points[fourth! + at]!;
      }
    }
  }
  const plainBias = Float64Array.from(bias);
  for (let k = 0; k < outputs; k++) {
    for (let at = 0; at < width; at++) {
      sums[k * width + at]! /= spread[at]!;
      plainBias[k]! -= sums[k * width + at]! * mean[at]!;
    }
  }
  if (outputs === classes) return { weight: Float32Array.from(sums), bias: Float32Array.from(plainBias) };
  // One row for two classes; half of it each way gives the same probabilities.
  const halfEachWay = (values: Float64Array): Float32Array =>
    Float32Array.from([...values.map((value) => -value / 2), ...values.map((value) => value / 2)]);
  return { weight: halfEachWay(sums), bias: halfEachWay(plainBias) };
}
