import { expect, test } from "vitest";
import { frame, toSquare, type Pixels } from "../src/resize.js";

function grey(width: number, height: number, value: (x: number, y: number) => number): Pixels & { largest: number } {
  return {
    ...{ width, height, channels: 3, largest: 0 },
    read(left, top, wide, high) {
      this.largest = Math.max(this.largest, wide * high);
      return Uint8Array.from({ length: wide * high * 3 }, (_, at) => {
        const pixel = Math.floor(at / 3);
        return value(left + (pixel % wide), top + Math.floor(pixel / wide));
      });
    },
  };
}

test("where the network looks", () => {
  expect(frame(300, 200, 100, "crop")).toEqual([50, 0, 250, 200]);
  expect(frame(300, 200, 100, "pad")).toEqual([0, -50, 300, 250]);
  expect(frame(300, 200, 100, "squish")).toEqual([0, 0, 300, 200]);
});

test("a picture of its size stays as it is", () => {
  const picture = grey(4, 4, (x, y) => x * 16 + y);
  expect(toSquare(picture, 4, "crop")).toEqual(Uint8Array.from(picture.read(0, 0, 4, 4)));
});

test("what is around a padded picture is black", () => {
  const square = toSquare(
    grey(4, 2, () => 200),
    4,
    "pad",
  );
  expect([...square.filter((_, at) => at % 3 === 0)]).toEqual([
    0, 0, 0, 0, 200, 200, 200, 200, 200, 200, 200, 200, 0, 0, 0, 0,
  ]);
});

test("a large picture is read a few rows at a time", () => {
  const picture = grey(3000, 2000, (x) => x % 256);
  toSquare(picture, 8, "crop");
  expect(picture.largest * 3).toBeLessThanOrEqual(1 << 21);
});
