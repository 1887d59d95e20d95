import { expect, test } from "vitest";
import { trim } from "../trim.mjs";

const text = (value: string): number[] => [value.length, ...new TextEncoder().encode(value)];
const section = (id: number, content: number[]): number[] => [id, content.length, ...content];

/** A module that imports a memory, a function and a global, and exports three functions that give 1, 2 and 300. */
const MODULE = Uint8Array.from([
  ...[0, 97, 115, 109, 1, 0, 0, 0],
  ...section(1, [2, 0x60, 0, 0, 0x60, 0, 1, 0x7f]),
  ...section(2, [
    ...[3, ...text("o"), ...text("memory"), 2, 1, 1, 4],
    ...[...text("o"), ...text("call"), 0, 0],
    ...[...text("o"), ...text("global"), 3, 0x7f, 0],
  ]),
  ...section(3, [3, 1, 1, 1]),
  ...section(7, [3, ...text("one"), 0, 1, ...text("two"), 0, 2, ...text("more"), 0, 3]),
  ...section(10, [3, 4, 0, 0x41, 1, 0x0b, 4, 0, 0x41, 2, 0x0b, 5, 0, 0x41, 0xac, 0x02, 0x0b]),
]);

function run(module: Uint8Array): Record<string, () => number> {
  const outside = { memory: new WebAssembly.Memory({ initial: 1, maximum: 4 }), call: () => undefined, global: 0 };
  const instance = new WebAssembly.Instance(new WebAssembly.Module(Uint8Array.from(module)), { o: outside });
  return instance.exports as Record<string, () => number>;
}

test("functions that are used stay, and the others are traps", () => {
  const { one, two, more } = run(trim(MODULE, [[1, 1], [3, 1]]));
  expect([one?.(), more?.()]).toEqual([1, 300]);
  expect(() => two?.()).toThrow(WebAssembly.RuntimeError);
  expect(() => two?.()).toThrow("unreachable");
});

test("where all are used, nothing changes", () => {
  expect(Array.from(trim(MODULE, [[1, 3]]))).toEqual(Array.from(MODULE));
});

test("in a table one trap stands for all functions that are left out", () => {
  const table = Uint8Array.from([
    ...[0, 97, 115, 109, 1, 0, 0, 0],
    ...section(1, [1, 0x60, 0, 1, 0x7f]),
    ...section(2, [1, ...text("o"), ...text("call"), 0, 0]),
    ...section(3, [3, 0, 0, 0]),
    ...section(4, [1, 0x70, 0, 4]),
    ...section(7, [1, ...text("table"), 1, 0]),
    ...section(9, [1, 0, 0x41, 0, 0x0b, 4, 0, 1, 2, 3]),
    ...section(10, [3, 4, 0, 0x41, 1, 0x0b, 4, 0, 0x41, 2, 0x0b, 4, 0, 0x41, 3, 0x0b]),
  ]);
  const imports = { o: { call: () => 0 } };
  const module = new WebAssembly.Module(Uint8Array.from(trim(table, [[2, 1]])));
  const entries = new WebAssembly.Instance(module, imports).exports.table as WebAssembly.Table;
  const [called, first, second, third] = [0, 1, 2, 3].map((place) => entries.get(place) as () => number);
  expect([called?.(), second?.()]).toEqual([0, 2]);
  expect(first).toBe(third);
  expect(() => first?.()).toThrow("unreachable");
});
