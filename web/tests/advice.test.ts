import { expect, test } from "vitest";
import { advise } from "../src/advice.js";
import type { ModelCard } from "../src/card.js";
import { checkPrior, reweigh } from "../src/prior.js";

const CARD: ModelCard = {
  ...{ name: "n", title: "t", labels: ["a", "b", "c"], arch: "x", size: 8, resize: "crop", summary: "" },
  ...{ threshold: 0.5, neighbours: 3, certainty: 0, views: 0, examples: {}, sha256: {}, prior: [] },
  shares: [0.5, 0.25, 0.25],
};

test("an answer of a plain model has nothing that it does not know", () => {
  const answer = advise(CARD, [0.2, 0.5, 0.3], 0.5);
  expect(Object.keys(answer)).toEqual(["label", "closest", "probabilities", "familiarity", "familiar", "threshold"]);
  expect(answer).toMatchObject({ label: "b", closest: "b", familiar: true });
});

test("what is not familiar is not named, is asked about, and may be anything", () => {
  const costs = [
    [0, 1, 9, 2],
    [1, 0, 9, 2],
    [1, 1, 0, 2],
  ];
  const answer = advise({ ...CARD, costs, sets: { coverage: 0.9, least: [0.9, 0.9, 0.9] } }, [0.2, 0.5, 0.3], 0.49);
  expect(answer).toMatchObject({ label: "not sure", closest: "b", decision: "ask", expected_cost: 2 });
  expect(answer.set).toEqual(["b", "c", "a"]);
});

test("of what costs the same the first label is taken, and asking last", () => {
  const costs = [
    [0, 0, 1, 0],
    [0, 0, 1, 0],
    [0, 0, 0, 0],
  ];
  expect(advise({ ...CARD, costs }, [0.4, 0.6, 0], 1)).toMatchObject({ decision: "a", expected_cost: 0 });
});

test("a set keeps what reaches its least probability, in the precision of the network", () => {
  const least = Math.fround(0.1) - 1e-10;
  const sets = { coverage: 0.9, least: [least, 0.8, 0.1] };
  expect(advise({ ...CARD, sets }, [Math.fround(0.1), 0.8 - 1e-4, 0.1], 1).set).toEqual(["c", "a"].sort());
});

test("a prior weighs the probabilities, and what does not occur is in no set", () => {
  const sets = { coverage: 0.9, least: [0, 0, 0] };
  const answer = advise({ ...CARD, sets }, [0.5, 0.25, 0.25], 1, [0, 0.2, 0.8]);
  expect(answer.closest).toBe("c");
  expect(answer.set).toEqual(["c", "b"]);
  expect(answer.probabilities.b).toBeCloseTo(0.2, 12);
  expect(answer.prior).toEqual({ a: 0, b: 0.2, c: 0.8 });
  expect(answer.unweighted).toEqual({ a: 0.5, b: 0.25, c: 0.25 });
});

test("the shares that were learnt are divided out", () => {
  const found = reweigh([0.6, 0.3, 0.1], [0.5, 0.3, 0.2], [0.25, 0.25, 0.5]);
  const wanted = [0.3, 0.25, 0.25].map((each) => each / 0.8);
  found.forEach((each, at) => {
    expect(each).toBeCloseTo(wanted[at] ?? NaN, 12);
  });
  // In the shares in which they were learnt, nothing changes.
  expect(reweigh([0.5, 0.25, 0.25], [0.5, 0.25, 0.25], [0.5, 0.25, 0.25])).toEqual([0.5, 0.25, 0.25]);
});

test("where a picture speaks only for labels that do not occur, the prior is all that is known", () => {
  expect(reweigh([1, 0], [0.5, 0.5], [0, 1])).toEqual([0, 1]);
});

test("a prior is completed, and made to add up to 1", () => {
  expect(checkPrior({ b: 1.005 }, ["a", "b"])).toEqual([0, 1]);
});

test.each([
  [{ d: 1 }, /which is no label; there are: a, b/],
  [{ a: -0.5, b: 1.5 }, /must be 0 or more/],
  [{ a: NaN, b: 1 }, /must be 0 or more/],
  [{ a: Infinity }, /must be 0 or more/],
  [{ a: 0.5 }, /adds up to 0.5/],
  [{}, /adds up to 0/],
  [{ constructor: 1 }, /which is no label/],
])("%o is no prior", (prior, message) => {
  expect(() => checkPrior(prior as unknown as Record<string, number>, ["a", "b"])).toThrow(message);
});
