// Starts onnxruntime-web in this process from WebAssembly that is given, for `snapshot.mjs` and `profile.mjs`.

import { fileURLToPath } from "node:url";

const DIST = new URL("node_modules/onnxruntime-web/dist/", import.meta.url);
export const WASM = fileURLToPath(new URL("ort-wasm-simd-threaded.wasm", DIST));

let instantiate;
/** What onnxruntime's own script gave. */
export let glue;

/**
 * onnxruntime-web on one thread. It starts once in a process, with its first network.
 *
 * @param {(imports: WebAssembly.Imports) => [{ exports: WebAssembly.Exports }, WebAssembly.Module]} given
 */
export async function openOrt(given) {
  instantiate = given;
  const ort = await import(new URL("ort.wasm.min.mjs", DIST));
  ort.env.wasm.wasmPaths = { mjs: new URL(import.meta.url) };
  ort.env.wasm.numThreads = 1;
  // As in `src/network.ts`: it is told to the start.
  ort.env.logLevel = "error";
  return ort;
}

/** onnxruntime-web takes this file for its own script, and calls this. */
export default async function start(settings) {
  const { default: startOrt } = await import(new URL("ort-wasm-simd-threaded.mjs", DIST));
  const instantiateWasm = (imports, done) => {
    done(...instantiate(imports));
    return {};
  };
  glue = await startOrt({ ...settings, instantiateWasm });
  return glue;
}
