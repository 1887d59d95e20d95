// Starts onnxruntime's WebAssembly from what is compiled already, so that compiling need not wait for the network.
import start from "./ort-wasm-simd-threaded.mjs";

let compiled;

export function give(module) {
  compiled = module;
}

export default function startGiven(settings) {
  return new Promise((resolve, reject) => {
    const instantiateWasm = (imports, done) => {
      WebAssembly.instantiate(compiled, imports).then((instance) => done(instance, compiled), reject);
      return {};
    };
    start({ ...settings, instantiateWasm }).then(resolve, reject);
  });
}
