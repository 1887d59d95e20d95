import { expect, test } from "vitest";
import { enlarge, evidenceLayer, fitEvidence } from "../src/page/evidence.js";
import { FramePool } from "../src/page/pool.js";
import type { Answer, Evidence } from "../src/types.js";

// What Pillow's BICUBIC makes of it, 6 x 4.
const MAP = Float32Array.from([0, 1, 0.5, 0.25, 0, 1]);
const ENLARGED = [
  [-0.12003, 0.2025, 0.88589, 1.02453, 0.6002, 0.40009],
  [-0.0136, 0.19657, 0.64181, 0.80187, 0.65572, 0.58687],
  [0.19743, 0.18481, 0.15781, 0.36035, 0.76581, 0.95725],
  [0.30385, 0.17889, -0.08627, 0.13769, 0.82133, 1.14403],
];

test("a map is enlarged as Pillow does it", () => {
  const found = enlarge(MAP, 2, 3, 4, 6);
  const wanted = ENLARGED.flat();
  expect(found).toHaveLength(wanted.length);
  found.forEach((value, index) => {
    expect(value).toBeCloseTo(wanted[index] ?? Number.NaN, 4);
  });
});

function evidence(changes: Partial<Evidence> = {}): Evidence {
  const box: Evidence["box"] = [1, 0, 4, 2];
  return { label: "a", width: 4, height: 2, box, rows: 1, columns: 1, evidence: Float32Array.of(3), ...changes };
}

test("evidence is orange, and what the network did not see is dim", () => {
  const layer = evidenceLayer(evidence());
  expect([...layer.slice(0, 4)]).toEqual([0, 0, 0, 115]);
  expect([...layer.slice(4, 8)]).toEqual([255, 120, 0, 166]);
  const against = evidenceLayer(evidence({ evidence: Float32Array.of(-1) }));
  expect(against[7]).toBe(0);
});

test("evidence over a large picture is that over a small one", () => {
  const { width, height, box } = fitEvidence(evidence({ width: 4000, height: 2000, box: [1000, 0, 3000, 2000] }), 400);
  expect([width, height, ...box]).toEqual([400, 200, 100, 0, 300, 200]);
});

function answer(a: number, familiarity: number, changes: Partial<Answer> = {}): Answer {
  const probabilities = { a, b: 1 - a };
  return { label: "a", closest: "a", probabilities, familiarity, familiar: familiarity >= 0.5, threshold: 0.5, ...changes };
}

test("frames are pooled by the mean of the logarithms, and old ones go", () => {
  const pool = new FramePool(["a", "b"], 1000);
  pool.add(0, answer(0.001, 0.99));
  pool.add(1500, answer(0.9, 0.7));
  pool.add(1600, answer(0.6, 0.6));
  const { probabilities, familiarity } = pool.pooled();
  const [a, b] = [Math.sqrt(0.9 * 0.6), Math.sqrt(0.1 * 0.4)];
  expect(probabilities[0]).toBeCloseTo(a / (a + b), 10);
  expect(familiarity).toBe(0.7);
});

test("frames that show nothing known count only where there are no others, and a prior once", () => {
  const pool = new FramePool(["a", "b"]);
  pool.add(0, answer(0.1, 0.2));
  expect(pool.pooled().probabilities[0]).toBeCloseTo(0.1, 10);
  pool.add(1, answer(0.99, 0.8, { unweighted: { a: 0.7, b: 0.3 } }));
  expect(pool.pooled()).toEqual({ probabilities: [expect.closeTo(0.7, 10), expect.closeTo(0.3, 10)], familiarity: 0.8 });
  pool.add(2, answer(1, 0.9));
  expect(pool.pooled().probabilities.every(Number.isFinite)).toBe(true);
});
