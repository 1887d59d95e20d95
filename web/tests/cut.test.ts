import { expect, test } from "vitest";
import { cut, probe } from "../cut.mjs";

const text = (value: string): number[] => [value.length, ...new TextEncoder().encode(value)];
const section = (id: number, content: number[]): number[] => [id, content.length, ...content];

/** Gives 10, 20 or 30 for 0, 1 and more, of three blocks; and where 20 is due, 21 for 1 in an `if` whose other arm is 22. */
const CODE = [
  ...[0x02, 0x40, 0x02, 0x40, 0x02, 0x40, 0x20, 0, 0x0e, 2, 0, 1, 2, 0x0b],
  ...[0x41, 10, 0x0f, 0x0b],
  ...[0x20, 0, 0x04, 0x7f, 0x41, 21, 0x05, 0x41, 22, 0x0b, 0x0f, 0x0b],
  ...[0x41, 30, 0x0b],
];
const MODULE = Uint8Array.from([
  ...[0, 97, 115, 109, 1, 0, 0, 0],
  ...section(1, [2, 0x60, 2, 0x7f, 0x7f, 1, 0x7f, 0x60, 1, 0x7f, 1, 0x7f]),
  ...section(2, [1, ...text("o"), ...text("tell"), 0, 0]),
  ...section(3, [1, 1]),
  ...section(7, [1, ...text("run"), 0, 1]),
  ...section(10, [1, CODE.length + 1, 0, ...CODE]),
]);

function load(module: Uint8Array<ArrayBuffer>, tell: (mark: number, part: number) => number = () => 0): (value: number) => number {
  return new WebAssembly.Instance(new WebAssembly.Module(module), { o: { tell } }).exports.run as (value: number) => number;
}

/** Which parts are run for a number: behind the three blocks, and the two arms and the end of the `if`. */
function partsFor(value: number): number[] {
  const told: number[] = [];
  const run = load(probe(MODULE, 1, 0, -7), (mark, part) => {
    expect(mark).toBe(-7);
    told.push(part);
    return 0;
  });
  run(value);
  return told;
}

test("parts of a function tell when they are run", () => {
  expect([0, 1, 2].map(partsFor)).toEqual([[0], [1, 2, 4], [5]]);
});

test("parts that are kept run as before, and the others are traps", () => {
  const run = load(cut(MODULE, 1, [[1, 2], [4, 1]]));
  expect(run(1)).toBe(21);
  for (const other of [0, 2]) expect(() => run(other)).toThrow("unreachable");
  expect([0, 1, 2].map(load(cut(MODULE, 1, [[0, 6]])))).toEqual([10, 21, 30]);
});
