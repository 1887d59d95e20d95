// Finds out which operators and functions of onnxruntime's WebAssembly networks need, and writes src/ort/used.json:
// `npm run profile -- NETWORK.onnx ...`. To be run again for another version of onnxruntime-web, after the numbers in
// `snapshot.mjs` were made to fit it.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { probe } from "./cut.mjs";
import { WASM, openOrt } from "./ort_here.mjs";
import { askedImport, snapshot } from "./snapshot.mjs";
import { sections } from "./wasm.mjs";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
// V8 compiles a function when it is called for the first time, and says so.
const SAYS = ["--wasm-lazy-compilation", "--no-wasm-tier-up", "--trace-wasm-compilation-times"];
const COMPILED = /^Compiled function 0x[0-9a-f]+#(\d+) /gm;
/** How onnxruntime says that it does not know an operator: of a network, and of what it makes of several. */
const MISSING = [/No Op registered for (\S+) with domain_version of (\d+)/, /[\w.]+:(\w+)\(-1\) is not a registered function/];
const TOLD = "missing: ";
const PARTS = "parts: ";
/** A function whose parts are looked at: onnxruntime's Cast, which has all pairs of types in it, 490 KB. */
const LARGE = 6145;
/** What the parts of it call an import with. */
const MARK = -0x5a0b;
// A network behaves otherwise in its second run, when it knows how much memory the first one took.
const RUNS = 3;

const [, , asked, ...rest] = process.argv;
if (asked === "--snapshot") await writeSnapshot(...rest);
else if (asked === "--run") await runAll(await readFile(rest[0]), undefined, rest.slice(1));
else if (asked === "--probe") await probeAll(...rest);
else await profile(process.argv.slice(2));

async function profile(networks) {
  if (!networks.length) throw new Error("Name the networks: npm run profile -- NETWORK.onnx ...");
  const folder = mkdtempSync(join(tmpdir(), "spotter-profile-"));
  try {
    const { operators, said } = findOperators(folder, networks);
    const functions = new Set([...said.matchAll(COMPILED)].map(([, number]) => Number(number)));
    const sha256 = createHash("sha256").update(await readFile(WASM)).digest("hex");
    const parts = findParts(folder, networks);
    const large = { number: LARGE, parts: runsOf(parts) };
    const told = { sha256, operators, large, functions: runsOf(functions) };
    await writeFile(here("src/ort/used.json"), `${JSON.stringify(told)}\n`);
    const count = Object.values(operators).flatMap(Object.keys).length;
    console.log(`${count} operators and ${functions.size} functions are used by ${networks.length} networks`);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The operators that networks need, and what V8 said when they ran with those alone. */
function findOperators(folder, networks) {
  const wasm = join(folder, "started.wasm");
  const operators = { "": { Identity: 1 } };
  for (;;) {
    const schemas = JSON.parse(node([], "--snapshot", wasm, JSON.stringify(operators)).stdout);
    const { stdout, stderr } = node(SAYS, "--run", wasm, ...networks);
    const line = stderr.split("\n").find((each) => each.startsWith(TOLD));
    const missing = JSON.parse(line.slice(TOLD.length));
    if (!missing.length) return { operators, said: stdout };
    for (const [name, opset] of missing) {
      for (const domain of new Set(schemas.filter((each) => each.name === name).map((each) => each.domain))) {
        const versions = schemas.filter((each) => each.name === name && each.domain === domain).map(({ since }) => since);
        operators[domain] ??= {};
        operators[domain][name] = Math.max(...versions.filter((since) => since <= opset));
      }
    }
  }
}

/** The parts of LARGE that networks run. */
function findParts(folder, networks) {
  const { stderr } = node([], "--probe", join(folder, "started.wasm"), ...networks);
  return JSON.parse(stderr.split("\n").find((each) => each.startsWith(PARTS)).slice(PARTS.length));
}

function node(options, ...parameters) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [...options, here("profile.mjs"), ...parameters], {
    encoding: "utf8",
    maxBuffer: 1 << 30,
  });
  if (status !== 0) throw new Error(/^Error: .*/m.exec(stderr)?.[0] ?? stderr.slice(-1000));
  return { stdout, stderr };
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

async function writeSnapshot(to, operators) {
  const { wasm, schemas } = await snapshot(await readFile(WASM), JSON.parse(operators));
  await writeFile(to, wasm);
  console.log(JSON.stringify(schemas));
}

/** Run networks with a module that has started, and tell which parts of LARGE ran. */
async function probeAll(wasm, ...networks) {
  const started = await readFile(wasm);
  const asked = askedImport(sections(started));
  const parts = new Set();
  const listen = (imports) => {
    const [group] = Object.values(imports).filter((each) => asked.name in each);
    const call = group[asked.name];
    group[asked.name] = (first, second) => (first === MARK ? (parts.add(second), 0) : call(first, second));
  };
  await runAll(probe(started, LARGE, asked.number, MARK), listen, networks);
  console.error(PARTS + JSON.stringify([...parts]));
}

/** Run networks with a module that has started, and tell which operators are missing. */
async function runAll(wasm, listen, networks) {
  const module = await WebAssembly.compile(wasm);
  const { InferenceSession, Tensor } = await openOrt((imports) => {
    listen?.(imports);
    return [new WebAssembly.Instance(module, imports), module];
  });
  const missing = [];
  for (const network of networks) {
    try {
      await run(await InferenceSession.create(await readFile(network), { executionProviders: ["wasm"] }), Tensor);
    } catch (error) {
      const [, name, opset] = MISSING.map((each) => each.exec(error.message)).find(Boolean) ?? [];
      if (!name) throw new Error(`${network}: ${error.message}`, { cause: error });
      missing.push([name, Number(opset ?? 1)]);
    }
  }
  // What V8 says goes to the other one.
  console.error(TOLD + JSON.stringify(missing));
}

async function run(session, Tensor) {
  const inputs = session.inputMetadata.map(({ name, type, shape }) => {
    const sides = shape.map((side) => (typeof side === "number" ? side : 1));
    const count = sides.reduce((product, side) => product * side, 1);
    return [name, new Tensor(type, type === "uint8" ? new Uint8Array(count).fill(99) : new Float32Array(count), sides)];
  });
  for (let time = 0; time < RUNS; time += 1) {
    await session.run(Object.fromEntries(inputs));
    await session.run(Object.fromEntries(inputs), session.outputNames.slice(0, 2));
  }
  await session.release();
}
