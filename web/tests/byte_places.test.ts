import { expect, test } from "vitest";
import { mergePlaces, mergeSteps, sortByPlace } from "../src/byte_places.js";

test.each([0, 1, 2, 3, 4, 5, 6, 7, 8, 4001])("%i bytes are sorted by place and merged again", (length) => {
  const content = Uint8Array.from({ length }, (_, at) => (at * 37) % 251);
  expect(mergePlaces(sortByPlace(content))).toEqual(content);
});

test("bytes of the same place lie together", () => {
  expect(Array.from(sortByPlace(Uint8Array.from([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])))).toEqual([0, 4, 8, 1, 5, 9, 2, 6, 3, 7]);
});

/** A safetensors file with these bytes behind its header. */
function file(tensors: unknown, bytes: number[]): Uint8Array {
  const header = new TextEncoder().encode(JSON.stringify(tensors));
  const length = new Uint8Array(new BigUint64Array([BigInt(header.length)]).buffer);
  return Uint8Array.from([...length, ...header, ...bytes]);
}

const MATRIX = { __metadata__: {}, embeddings: { dtype: "F32", shape: [2, 3] } };

test("whole numbers, column by column, are made multiples of a step", () => {
  const whole = [1, -32768, 2, 32767, -1, 256];
  const bytes = [...whole.map((each) => each & 255), ...whole.map((each) => (each >> 8) & 255)];
  const floats = new Float32Array([1, 2, -1, -32768, 32767, 256].map((each) => each / 8192));
  const merged = mergeSteps(file(MATRIX, bytes), 8192);
  expect(merged).toEqual(file(MATRIX, Array.from(new Uint8Array(floats.buffer))));
});

test.each([
  ["too few numbers", file(MATRIX, [1, 2, 3])],
  ["no header", Uint8Array.from([1, 2])],
  ["a header that is none", file(7, [])],
  ["no tensor", file({}, [])],
  ["two tensors", file({ a: MATRIX.embeddings, b: MATRIX.embeddings }, [])],
  ["no matrix", file({ a: { dtype: "F32", shape: [12] } }, Array<number>(24).fill(0))],
  ["sides that are none", file({ a: { dtype: "F32", shape: [-2, -3] } }, Array<number>(12).fill(0))],
])("%s is refused", (_, content) => {
  expect(() => mergeSteps(content, 8192)).toThrow(Error);
});
