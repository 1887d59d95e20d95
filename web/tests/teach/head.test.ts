import { expect, test } from "vitest";
import { fitTemperatures, softmax } from "../../src/teach/calibrate.js";
import { chooseHead } from "../../src/teach/head.js";
import { dot, fitLinear, logitsOf, type Matrix, type Products } from "../../src/teach/linear.js";
import { MersenneTwister } from "../../src/teach/mt19937.js";

const products: Products = (one, other) => {
  const rowsOf = ({ rows, width, values }: Matrix): Float32Array[] =>
    Array.from({ length: rows }, (_, row) => values.subarray(row * width, (row + 1) * width));
  const others = rowsOf(other);
  return Promise.resolve(Float32Array.from(rowsOf(one).flatMap((row) => others.map((each) => dot(row, each)))));
};

const ROWS = [
  [-0.89, -1.98, -0.35], [0.66, 0.93, 1.4], [-0.39, -0.3, -1.05], [-0.92, -2.01, 2.15], [-0.51, -0.44, -1.25],
  [1.28, -1.91, -0.01], [-0.9, 0.39, -0.51], [-0.68, -0.33, 0.63], [0.07, 0.3, -0.63], [0.14, -0.97, -0.16],
  [-0.81, -1.73, 0.18], [0.1, -1.93, 0.66],
]; // prettier-ignore
const OTHER_ROWS = [
  [-0.89, -1.98, -0.35], [0.66, 0.93, 1.4], [0.61, -0.9, -0.65], [-1.42, -1.71, 1.95], [-0.01, -0.74, -1.05],
  [1.78, -2.21, 0.19], [-0.9, 0.39, -0.51], [-0.68, -0.33, 0.63], [1.07, -0.3, -0.23], [-0.36, -0.67, -0.36],
  [-0.31, -2.03, 0.38], [0.6, -2.23, 0.86],
]; // prettier-ignore

// Each expectation is what scikit-learn 1.9 gives for C = 0.3, to five digits.
test.each([
  {
    rows: ROWS,
    classes: 2,
    wanted: [
      [0.64887, 0.35113],
      [0.20337, 0.79663],
      [0.73235, 0.26765],
    ],
  },
  {
    rows: OTHER_ROWS,
    classes: 3,
    wanted: [
      [0.54654, 0.25882, 0.19464],
      [0.17252, 0.56673, 0.26075],
      [0.2119, 0.30688, 0.48122],
    ],
  },
])("the head of $classes classes is scikit-learn's", async ({ rows, classes, wanted }) => {
  const features = rows.map((row) => Float32Array.from(row));
  const targets = rows.map((_, row) => row % classes);
  const [head] = await fitLinear(features, targets, classes, [0.3], [false], products);
  const found = head ? softmax(logitsOf(head, features.slice(0, 3)), classes) : [];
  wanted.flat().forEach((value, at) => {
    expect(found[at]).toBeCloseTo(value, 3);
  });
});

test("a head is the same, whether weaker ones were fitted before it or not", async () => {
  const features = OTHER_ROWS.map((row) => Float32Array.from(row));
  const targets = OTHER_ROWS.map((_, row) => row % 3);
  const strengths = [0.001, 0.01, 0.1, 1];
  const together = await fitLinear(features, targets, 3, strengths, [false, true], products);
  expect(together.map(({ strength, balanced }) => [strength, balanced])).toEqual(
    [false, true].flatMap((balanced) => strengths.map((strength) => [strength, balanced])),
  );
  for (const { strength, balanced, weight, bias } of together) {
    const [alone] = await fitLinear(features, targets, 3, [strength], [balanced], products);
    for (const [found, wanted] of [
      [weight, alone?.weight],
      [bias, alone?.bias],
    ]) {
      found?.forEach((value, at) => {
        expect(value).toBeCloseTo(wanted?.[at] ?? NaN, 2);
      });
    }
  }
});

test("heads that are too sure get a temperature above 1, and one that does not help is 1", () => {
  const targets = Array.from({ length: 12 }, (_, row) => row % 2);
  const folds = targets.map((_, row) => Math.floor(row / 4));
  // One of four is wrong, in each fold.
  const sure = Float64Array.from(targets.flatMap((target, row) => ((target === 1) === row % 4 > 0 ? [0, 9] : [9, 0])));
  const found = fitTemperatures(sure, targets, folds, 2);
  expect(found.temperature).toBeGreaterThan(1);
  expect([...found.ofFold.keys()]).toEqual([0, 1, 2]);
  expect(fitTemperatures(new Float64Array(24), targets, folds, 2).temperature).toBe(1);
});

test("shifted views that help are learnt from", async () => {
  const random = new MersenneTwister(1);
  // Nearly of a normal distribution.
  const noise = (): number => Array.from({ length: 12 }, () => random.random()).reduce((sum, each) => sum + each, -6);
  const point = (target: number, shift: number): Float32Array =>
    Float32Array.from({ length: 6 }, (_, at) => noise() + (at === 0 ? 4 * target : at === 1 ? shift : 0));
  const targets = Array.from({ length: 40 }, (_, row) => row % 2);
  const features = targets.map((target) => point(target, 6 * target));
  // A camera that takes away what tells best.
  const shifted = { features: targets.map((target) => point(target, -6 * target)), of: targets.map((_, row) => row) };
  const folds = targets.map((_, row) => Math.floor(row / 2) % 5);
  let steps = 0;
  const step = (): Promise<void> => {
    steps++;
    return Promise.resolve();
  };
  const chosen = await chooseHead({ features, targets, folds, classes: 2 }, undefined, shifted, { products, step });
  expect(chosen.shiftedKept).toBe(true);
  expect(chosen.plain).not.toEqual(chosen.probabilities);
  expect(steps).toBe(11);
});

test("features that are no numbers are refused", async () => {
  const features = [[NaN], [1], [2], [3]].map((row) => Float32Array.from(row));
  const table = { features, targets: [0, 1, 0, 1], folds: [0, 0, 1, 1], classes: 2 };
  const help = { products, step: () => Promise.resolve() };
  await expect(chooseHead(table, undefined, undefined, help)).rejects.toThrow("not numbers");
});
