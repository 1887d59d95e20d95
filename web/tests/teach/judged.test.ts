import { expect, test } from "vitest";
import { confusionOf, doubtfulLabels, wilsonInterval } from "../../src/teach/doubts.js";
import { areaUnderRoc, chooseFamiliarity } from "../../src/teach/out_of_distribution.js";
import { foresee } from "../../src/teach/outlook.js";
import type { Judgement } from "../../src/teach/types.js";

const LABELS = ["a", "b"];

function judgement(sha256: string, label: string, ofA: number): Judgement {
  return {
    ...{ sha256, label, probabilities: [ofA, 1 - ofA], predicted: ofA >= 0.5 ? "a" : "b" },
    ...{ fold: 0, familiarity: 1 },
  };
}

test("the interval is Wilson's", () => {
  const [low, high] = wilsonInterval(7, 376);
  expect(low).toBeCloseTo(0.009046709496627465, 12);
  expect(high).toBeCloseTo(0.03792409493805017, 12);
});

test("doubtful labels: those called something else come first, sure ones not at all", () => {
  const judged = [
    judgement("1", "a", 0.6),
    judgement("2", "a", 0.4),
    judgement("3", "b", 0.9),
    judgement("4", "a", 0.95),
  ];
  expect(doubtfulLabels(judged, LABELS).map(({ sha256, suggested }) => [sha256, suggested])).toEqual([
    ["3", "a"],
    ["2", "b"],
    ["1", null],
  ]);
  expect(confusionOf(judged, LABELS)).toEqual([
    [["1", "4"], ["2"]],
    [["3"], []],
  ]);
});

test("equal scores count half in the area under the curve", () => {
  expect(areaUnderRoc([2, 3], [0, 1])).toBe(1);
  expect(areaUnderRoc([1, 1], [1, 1])).toBe(0.5);
  expect(areaUnderRoc([1, 2], [1])).toBe(0.75);
});

test("a picture is compared with other folds than its own", () => {
  const cosines = Float32Array.from([1, 0.9, 0.2, 0.3, 0.9, 1, 0.4, 0.5, 0.2, 0.4, 1, 0.8, 0.3, 0.5, 0.8, 1]);
  const known = chooseFamiliarity({
    ...{ pictures: 4, of: [], cosines, targets: [0, 1, 0, 1], folds: [0, 0, 1, 1], classes: 2 },
    ...{ probabilities: new Float64Array(8).fill(0.5), shifted: new Float64Array(0) },
  });
  expect(known.scores.map((score) => Number(score.toFixed(3)))).toEqual([0.25, 0.45, 0.3, 0.4]);
  expect([known.threshold, known.certainty, known.accepted]).toEqual([Math.min(...known.scores), 0, 1]);
});

test("nothing is foreseen from too few wrong answers", () => {
  const wrong = [1, 2, 3, 4, 5].map(() => [1, 1, 0, 0, 0, 0]);
  expect(foresee([2, 4, 6, 8, 10], wrong, 2)).toEqual({ can: false, reason: "few-wrong" });
});

test("an error that falls goes on falling", () => {
  const wrong = [40, 28, 23, 20, 18].map((count) => Array.from({ length: 100 }, (_, at) => Number(at < count)));
  const outlook = foresee([20, 40, 60, 80, 100], wrong, 2);
  expect(outlook.can && outlook.worthIt && outlook.then < outlook.now && outlook.now < 0.2).toBe(true);
});
