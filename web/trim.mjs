// Takes out of onnxruntime's WebAssembly the functions that no network of ours runs, for `build.mjs`.

import {
  FUNCTION,
  ID,
  moduleOf,
  readBodies,
  readElements,
  readImports,
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
  const keep = new Set(used.flatMap(([first, count]) => Array.from({ length: count }, (_, each) => first + each)));
  const parts = sections(wasm);
  const imported = readImports(parts.find(({ id }) => id === ID.imports).content).filter(({ kind }) => kind === FUNCTION);
  const bodies = readBodies(parts.find(({ id }) => id === ID.code).content);
  const isKept = (number) => number < imported.length || keep.has(number);
  // In tables one trap stands for all, which takes less to say. Of another type than it is called with, it stops as well.
  const trap = imported.length + bodies.findIndex((_, index) => !isKept(imported.length + index));
  const trimmed = {
    [ID.elements]: (content) =>
      writeElements(
        readElements(content).map(({ place, functions }) => ({
          place,
          functions: functions.map((number) => (isKept(number) ? number : trap)),
        })),
      ),
    [ID.code]: () => writeBodies(bodies.map((body, index) => (isKept(imported.length + index) ? body : TRAP))),
  };
  return moduleOf(
    wasm,
    parts.map(({ id, content }) => ({ id, content: trimmed[id]?.(content) ?? content })),
  );
}
