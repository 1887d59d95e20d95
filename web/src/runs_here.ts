/** What a browser must have, found out before anything is fetched. */

import { CannotRun } from "./errors.js";

/** A module with one vector instruction. */
const SIMD = [
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11,
];

/** @throws CannotRun: with the reason. */
export function checkRunsHere(): void {
  if (typeof WebAssembly !== "object") {
    throw new CannotRun("no-wasm", "This browser cannot run WebAssembly, or it is turned off; use another browser.");
  }
  if (!WebAssembly.validate(Uint8Array.from(SIMD))) {
    throw new CannotRun("no-simd", "This browser is too old: its WebAssembly has no vector instructions; update it.");
  }
  if (!hasHashes()) {
    throw new CannotRun("insecure", "The model runs only on pages that come by https (or from this machine).");
  }
}

/** The types say that it is always so; browsers have none where anybody could change the page on its way. */
export function hasHashes(): boolean {
  return (globalThis.crypto as Crypto | undefined)?.subtle !== undefined;
}

/** The same error, or what stands behind it where the machine or the browser is the reason. */
export function asCannotRun(error: unknown): unknown {
  const message = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  if (/out of memory|allocation failed|bad_alloc|memory access out of bounds|OOM/i.test(message)) {
    return new CannotRun("memory", "There is not enough memory to run the model; close other pages and try again.");
  }
  if (/CompileError|WebAssembly.*(disallowed|blocked|Content Security)|unsafe-eval/i.test(message)) {
    return new CannotRun("no-wasm", "This page does not allow WebAssembly (its content security policy blocks it).");
  }
  return error;
}
