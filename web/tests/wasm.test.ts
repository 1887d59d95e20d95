import { expect, test } from "vitest";
import { Reader, encodedSigned } from "../wasm.mjs";

test.each([0, 1, -1, 63, 64, -64, -65, 127, 128, 8191, -8192, 1e6, -22791, 2 ** 31 - 1, -(2 ** 31)])(
  "%i is written and read again",
  (number) => {
    expect(new Reader(encodedSigned(number)).signed()).toBe(number);
  },
);

test("numbers take as few bytes as they can", () => {
  expect([63, 64, -64, -65].map((number) => encodedSigned(number).length)).toEqual([1, 2, 1, 2]);
});
