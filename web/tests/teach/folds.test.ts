import { expect, test } from "vitest";
import { assignFolds, dealFolds } from "../../src/teach/folds.js";
import { MersenneTwister } from "../../src/teach/mt19937.js";

// Each expectation is what numpy 2.4 and scikit-learn 1.9 give.
const TARGETS = [0, 1, 0, 1, 1, 2, 0, 2, 0, 0, 0, 2, 1, 2, 2, 0, 1, 1, 1, 1, 0, 1, 0, 0, 1, 2, 0, 2, 0, 1];
const GROUPS = [0, 0, 0, 1, 2, 3, 4, 5, 3, 6, 7, 8, 9, 10, 11, 8, 12, 3, 3, 13, 14, 15, 16, 17, 7, 18, 19, 13, 5, 6];
const FOLDS = [0, 0, 0, 3, 1, 3, 4, 2, 3, 1, 3, 4, 2, 1, 1, 4, 0, 3, 3, 4, 0, 2, 1, 1, 3, 0, 2, 4, 2, 1];
const LABELS = ["a", "b", "c"];

test("the random numbers are numpy's", () => {
  const random = new MersenneTwister(42);
  expect([random.uint32(), random.uint32(), random.uint32()]).toEqual([1608637542, 3421126067, 4083286876]);
  expect(new MersenneTwister(42).random()).toBe(0.3745401188473625);
  const shuffled = new MersenneTwister(42).shuffle(Array.from({ length: 12 }, (_, at) => at));
  expect(shuffled).toEqual([10, 9, 0, 8, 5, 2, 1, 11, 4, 7, 3, 6]);
});

test("the folds are scikit-learn's", () => {
  expect(assignFolds(TARGETS, GROUPS, LABELS)).toEqual(FOLDS);
});

test("an edit moves no other picture", () => {
  const now = TARGETS.map((target, row) => (row === 3 ? -1 : row === 4 ? 0 : target));
  expect(dealFolds(TARGETS, now, GROUPS, LABELS)).toEqual(FOLDS.map((fold, row) => (row === 3 ? -1 : fold)));
});

test("a class of one picture and its copies cannot be held out", () => {
  expect(() => assignFolds([0, 0, 1, 1], [0, 1, 2, 2], ["a", "b"])).toThrow("too few different pictures");
});
