import { expect, test } from "vitest";
import { MersenneTwister } from "../../src/teach/mt19937.js";
import { familyOf, makeShifted } from "../../src/teach/shifts.js";

test("each kind of random number is numpy's, one after the other", () => {
  // What numpy.random.RandomState(7) gives.
  const random = new MersenneTwister(7);
  expect(random.random()).toBe(0.07630828937395717);
  expect(random.uniform(0.2, 0.8)).toBe(0.6679512753440688);
  expect(random.uniform(-180, 180)).toBe(-22.172676681278347);
  expect([random.upTo(199), random.upTo(199), random.upTo(199), random.upTo(199)]).toEqual([151, 103, 92, 185]);
  expect(random.upTo(0)).toBe(0);
  expect(random.shuffle([0, 1, 2, 3, 4, 5])).toEqual([4, 5, 3, 2, 1, 0]);
  expect([random.uint32(), random.uint32(), random.uint32()]).toEqual([68334472, 2146978983, 2266732518]);
  expect(random.upTo(2)).toBe(0);
});

test("a view is always the same, and that of another picture another one", () => {
  const square = Uint8Array.from({ length: 32 * 32 * 3 }, (_, at) => (at * 37) % 256);
  const kinds = Array.from({ length: 5 }, (_, number) => familyOf(number, "a"));
  expect(new Set(kinds).size).toBe(5);
  for (const kind of kinds) {
    const made = makeShifted(square, 32, kind, "a");
    expect(made).toEqual(makeShifted(square, 32, kind, "a"));
    expect(made).not.toEqual(makeShifted(square, 32, kind, "b"));
  }
  expect(() => makeShifted(square, 32, "snow", "a")).toThrow("no views");
});
