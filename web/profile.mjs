// Finds out which functions of onnxruntime's WebAssembly networks need, and writes src/ort/used.json:
// `npm run profile -- NETWORK.onnx ...`. To be run again for another version of onnxruntime-web.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { InferenceSession, Tensor, env } from "onnxruntime-web/wasm";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const WASM = here("node_modules/onnxruntime-web/dist/ort-wasm-simd-threaded.wasm");
// V8 compiles a function when it is called for the first time, and says so.
const SAYS = ["--wasm-lazy-compilation", "--no-wasm-tier-up", "--trace-wasm-compilation-times"];
const COMPILED = /^Compiled function 0x[0-9a-f]+#(\d+) /gm;
// A network behaves otherwise in its second run, when it knows how much memory the first one took.
const RUNS = 3;

if (process.execArgv.includes(SAYS[0])) await runAll(process.argv.slice(2));
else await profile(process.argv.slice(2));

async function profile(networks) {
  if (!networks.length) throw new Error("Name the networks: npm run profile -- NETWORK.onnx ...");
  const { status, stdout, stderr } = spawnSync(process.execPath, [...SAYS, here("profile.mjs"), ...networks], {
    encoding: "utf8",
    maxBuffer: 1 << 30,
  });
  if (status !== 0) throw new Error(stderr.slice(-1000));
  const functions = new Set([...stdout.matchAll(COMPILED)].map(([, number]) => Number(number)));
  const sha256 = createHash("sha256").update(await readFile(WASM)).digest("hex");
  await writeFile(here("src/ort/used.json"), `${JSON.stringify({ sha256, functions: runsOf(functions) })}\n`);
  console.log(`${functions.size} functions are used by ${networks.length} networks`);
}

/** Numbers as pairs: the first of a run, and how many there are. */
function runsOf(numbers) {
  const runs = [];
  for (const number of [...numbers].sort((one, other) => one - other)) {
    const last = runs.at(-1);
    if (last && last[0] + last[1] === number) last[1] += 1;
    else runs.push([number, 1]);
  }
  return runs;
}

async function runAll(networks) {
  env.wasm.numThreads = 1;
  for (const network of networks) {
    const session = await InferenceSession.create(await readFile(network), { executionProviders: ["wasm"] }).catch((error) => {
      throw new Error(`${network}: ${error.message}`);
    });
    const inputs = session.inputMetadata.map(({ name, type, shape }) => {
      const sides = shape.map((side) => (typeof side === "number" ? side : 1));
      const count = sides.reduce((product, side) => product * side, 1);
      return [name, new Tensor(type, type === "uint8" ? new Uint8Array(count).fill(99) : new Float32Array(count), sides)];
    });
    for (let run = 0; run < RUNS; run += 1) {
      await session.run(Object.fromEntries(inputs));
      await session.run(Object.fromEntries(inputs), session.outputNames.slice(0, 2));
    }
    await session.release();
  }
}
