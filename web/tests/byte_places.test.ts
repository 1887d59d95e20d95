import { expect, test } from "vitest";
import { mergePlaces, sortByPlace } from "../src/byte_places.js";

test.each([0, 1, 2, 3, 4, 5, 6, 7, 8, 4001])("%i bytes are sorted by place and merged again", (length) => {
  const content = Uint8Array.from({ length }, (_, at) => (at * 37) % 251);
  expect(mergePlaces(sortByPlace(content))).toEqual(content);
});

test("bytes of the same place lie together", () => {
  expect(Array.from(sortByPlace(Uint8Array.from([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])))).toEqual([0, 4, 8, 1, 5, 9, 2, 6, 3, 7]);
});
