import { expect, test } from "vitest";
import { findWindow } from "../src/second_look.js";

/** All evidence at one of 8 x 8 places. */
function evidence(row: number, column: number): Float32Array {
  const values = new Float32Array(64);
  values[8 * row + column] = 1;
  return values;
}

// As `tests/inference/test_second_look.py` has them.
test.each<[number, number, string, number, number, number[] | undefined]>([
  [800, 400, "crop", 3, 4, [345, 95, 505, 255]],
  [800, 400, "crop", 0, 0, [145, 0, 305, 160]],
  // Out of what the first look saw, but never out of the picture.
  [400, 400, "crop", 7, 7, [240, 240, 400, 400]],
  [800, 400, "squish", 7, 0, [0, 240, 320, 400]],
  [100, 400, "pad", 4, 4, [0, 145, 100, 305]],
  // As small as the square itself; smaller.
  [64, 64, "crop", 4, 4, [24, 24, 49, 49]],
  [63, 400, "crop", 4, 4, undefined],
])("in %i x %i pixels, by %s, at %i, %i", (width, height, resize, row, column, box) => {
  const places = { rows: 8, columns: 8 };
  const found = findWindow({ window: 0.4, margin: 0 }, evidence(row, column), places, { width, height }, 64, resize);
  expect(found).toEqual(box);
});

test("nothing that speaks for the label is nowhere", () => {
  const places = { rows: 8, columns: 8 };
  const picture = { width: 400, height: 400 };
  expect(findWindow({ window: 0.4, margin: 0 }, new Float32Array(64), places, picture, 64, "crop")).toBeUndefined();
  const against = evidence(3, 3).map((value) => -value);
  expect(findWindow({ window: 0.4, margin: 0 }, against, places, picture, 64, "crop")).toBeUndefined();
});
