// Takes out of onnxruntime's WebAssembly the functions that no network of ours runs, for `build.mjs`.

import {
  ID,
  contentOf,
  importedFunctions,
  moduleOf,
  numbersIn,
  readBodies,
  readElements,
  replaced,
  sections,
  writeBodies,
  writeElements,
} from "./wasm.mjs";

/** The body of a function that ends with a trap: no variables, `unreachable`, `end`. */
const TRAP = Uint8Array.of(0, 0x00, 0x0b);

/**
 * The module with traps in place of all functions but those of `used`. Numbers of functions stay.
 *
 * @param {Uint8Array} wasm a module of version 1.
 * @param {[number, number][]} used runs of functions, each by the number of the first and how many there are.
 */
export function trim(wasm, used) {
  const keep = numbersIn(used);
  const parts = sections(wasm);
  const imported = importedFunctions(parts).length;
  const bodies = readBodies(contentOf(parts, ID.code));
  const isKept = (number) => number < imported || keep.has(number);
  // In tables one trap stands for all, which takes less to say. Of another type than it is called with, it stops as well.
  const trap = imported + bodies.findIndex((_, index) => !isKept(imported + index));
  const trimmed = { [ID.code]: writeBodies(bodies.map((body, index) => (isKept(imported + index) ? body : TRAP))) };
  const elements = parts.find(({ id }) => id === ID.elements);
  if (elements) {
    const kept = readElements(elements.content).map(({ place, functions }) => ({
      place,
      functions: functions.map((number) => (isKept(number) ? number : trap)),
    }));
    trimmed[ID.elements] = writeElements(kept);
  }
  return moduleOf(wasm, replaced(parts, trimmed));
}
