// Makes of onnxruntime's WebAssembly one that has started already, for `build.mjs`: what its start leaves in the memory
// is written into the module, so that no visit has to run it.

import { Buffer } from "node:buffer";
import { glue, openOrt } from "./ort_here.mjs";
import {
  END,
  GLOBAL,
  I32,
  I32_CONST,
  ID,
  contentOf,
  encoded,
  encodedSigned,
  importedFunctions,
  joined,
  moduleOf,
  readBodies,
  readExports,
  readGlobals,
  readTypes,
  replaced,
  sections,
  splitBody,
  writeBodies,
  writeData,
  writeExports,
  writeGlobals,
} from "./wasm.mjs";

/** `y = Identity(x)`, of opset 20. With the first network onnxruntime makes its list of kernels. */
const NETWORK = Buffer.from(
  "080812003a370a100a017812017922084964656e746974791201675a0f0a0178120a0a08080112040a020801620f0a0179120a0a08080112040a" +
    "02080142040a001014",
  "hex",
);
const [LOCAL_GET, CALL, IF, NOTHING, RETURN, I32_STORE] = [0x20, 0x10, 0x04, 0x40, 0x0f, 0x36];
/**
 * The functions of onnxruntime-web 1.30.0 that put something on a list. `parameter` says what, `reads` reads it from the
 * memory, and `skip` returns from the function without doing anything.
 */
const LISTS = [
  // OpSchemaRegistry::OpSchemaRegisterOnce: the description of an operator, from one opset on.
  {
    number: 692,
    parameter: 0,
    reads: ({ text, number }, at) => ({ domain: text(at + 36), name: text(at), since: number(at + 152) }),
    skip: [RETURN],
  },
  // KernelRegistry::Register: what runs an operator. It gives its status, of which 0 is a good one, in a place of its caller.
  {
    number: 1041,
    parameter: 2,
    reads: ({ text, number }, at) => ({ kernel: text(number(at)) }),
    skip: [LOCAL_GET, 0, I32_CONST, 0, I32_STORE, 2, 0, RETURN],
  },
];
/** The first parameter by which an import knows that the first of these calls; one less for the second. */
const ASKED = -0x5907;
const [IMPORT_TAKES, IMPORT_GIVES] = [[I32, I32], [I32]];
/** So many bytes of 0 in between are written rather than left out. */
const GAP = 32;
/** As onnxruntime's allocator (dlmalloc) lays out its blocks: two numbers before each, in the second one size and flags. */
const BLOCK = { head: 8, flags: 7, inUse: 2, smallest: 16, links: 24 };
const SHORTEST_TEXT = 20;

/**
 * The module of onnxruntime as it is when it has started and seen a first network: its memory and its globals are
 * written into it, and what starts it does nothing.
 *
 * To be called once in a process, as onnxruntime starts once.
 *
 * @param {Uint8Array} wasm onnxruntime's whole module.
 * @param {Record<string, Record<string, number>>} [operators] those that are to be there: domain -> name -> the opset
 * from which on. Without it, all.
 * @returns {Promise<{ wasm: Uint8Array, kept: number[], schemas: { domain: string, name: string, since: number }[] }>}
 * `kept`: functions whose bodies it needs beside those that run. `schemas`: what was asked about.
 */
export async function snapshot(wasm, operators) {
  const schemas = [];
  const kernels = operators && new Set(Object.values(operators).flatMap((names) => Object.keys(names)));
  const isWanted = ({ domain, name, since, kernel }) => {
    if (kernel !== undefined) return !kernels || kernels.has(kernel);
    schemas.push({ domain, name, since });
    // Later ones stay: without them a network of a later opset would get the earlier one.
    return !operators || since >= (operators[domain]?.[name] ?? Infinity);
  };
  const parts = sections(wasm);
  const content = (wanted) => contentOf(parts, wanted);
  const globals = readGlobals(content(ID.globals));
  const exported = readExports(content(ID.exports));
  const asked = askedImport(parts);
  const run = replaced(parts, {
    [ID.exports]: writeExports([
      ...exported,
      ...globals.flatMap(({ mutable }, number) => (mutable ? [{ name: `global ${number}`, kind: GLOBAL, number }] : [])),
    ]),
    [ID.code]: asking(content(ID.code), asked),
  });
  const started = await start(moduleOf(wasm, run), asked.name, isWanted);
  const after = globals.map((each, number) =>
    each.mutable ? { ...each, value: started.exports[`global ${number}`].value } : each,
  );
  const memory = new Uint8Array(started.memory.buffer).slice();
  clean(memory, after.map(({ value }) => value));
  const runs = runsOf(memory);
  // These have nothing left to do: the constructors, and the start of onnxruntime, which gives 0 for success.
  const done = { [started.construct]: [0, END], [started.init]: [0, I32_CONST, 0, END] };
  const bodies = readBodies(content(ID.code));
  const kept = [];
  for (const [name, body] of Object.entries(done)) {
    const { number } = exported.find((each) => each.name === name);
    bodies[number - asked.functions] = Uint8Array.from(body);
    kept.push(number);
  }
  const written = replaced(parts, {
    [ID.globals]: writeGlobals(after),
    [ID.counts]: encoded(runs.length),
    [ID.code]: writeBodies(bodies),
    [ID.data]: writeData(runs),
  });
  // What it starts with would write over the memory.
  return { wasm: moduleOf(wasm, written.filter(({ id }) => id !== ID.start)), kept, schemas };
}

/** The import that functions of LISTS call to ask: any that takes two numbers and gives one. And how many functions are imported. */
export function askedImport(parts) {
  const types = readTypes(contentOf(parts, ID.types));
  const imported = importedFunctions(parts);
  const isIt = ({ type }) =>
    String([...types[type].takes]) === String(IMPORT_TAKES) && String([...types[type].gives]) === String(IMPORT_GIVES);
  const number = imported.findIndex(isIt);
  return { number, name: imported[number].name, functions: imported.length };
}

/** The code in which the functions of LISTS first ask whether they are to do anything. */
function asking(code, { number: asked, functions }) {
  const bodies = readBodies(code);
  for (const [index, { number, parameter, skip }] of LISTS.entries()) {
    const [variables, rest] = splitBody(bodies[number - functions]);
    const question = [I32_CONST, ...encodedSigned(ASKED - index), LOCAL_GET, parameter, CALL, ...encoded(asked)];
    bodies[number - functions] = joined([variables, Uint8Array.from([...question, IF, NOTHING, ...skip, END]), rest]);
  }
  return writeBodies(bodies);
}

/** Starts onnxruntime from a module, as a page would, and lets it see a network. */
async function start(code, importName, isWanted) {
  const module = await WebAssembly.compile(code);
  const called = [];
  let memory, own, told;
  const instantiate = (imports) => {
    const [group] = Object.values(imports).filter((each) => importName in each);
    memory = Object.values(group).find((each) => each instanceof WebAssembly.Memory);
    const call = group[importName];
    group[importName] = (first, second) => {
      const asks = LISTS[ASKED - first];
      if (!asks) return call(first, second);
      return isWanted(asks.reads(readerOf(memory), second)) ? 0 : 1;
    };
    own = new WebAssembly.Instance(module, imports).exports;
    told = Object.fromEntries(
      Object.entries(own).map(([name, each]) => {
        const recorded = (...parameters) => {
          called.push(name);
          return each(...parameters);
        };
        return [name, typeof each === "function" ? recorded : each];
      }),
    );
    return [{ exports: told }, module];
  };
  const restore = hideMachine();
  try {
    const { InferenceSession } = await openOrt(instantiate);
    const session = await InferenceSession.create(NETWORK, { executionProviders: ["wasm"] });
    await session.release();
  } finally {
    restore();
  }
  // Emscripten first calls the constructors.
  const [construct] = called;
  const [init] = Object.entries(told).find(([, each]) => each === glue._OrtInit);
  return { memory, exports: own, construct, init };
}

/** Let onnxruntime see nothing of this machine that it would write into its memory: its program and its language. */
function hideMachine() {
  const { argv } = process;
  const navigator = Object.getOwnPropertyDescriptor(globalThis, "navigator");
  process.argv = argv.slice(0, 1);
  Object.defineProperty(globalThis, "navigator", { value: undefined, configurable: true });
  return () => {
    process.argv = argv;
    if (navigator) Object.defineProperty(globalThis, "navigator", navigator);
    else delete globalThis.navigator;
  };
}

/** Reads numbers, and texts of C++, from a memory. */
function readerOf(memory) {
  const bytes = new Uint8Array(memory.buffer);
  const view = new DataView(memory.buffer);
  const number = (at) => view.getInt32(at, true);
  const text = (at) => {
    // A short text lies in the place itself, and its length in the last byte of it.
    const last = bytes[at + 11];
    const [begin, length] = last & 128 ? [number(at), number(at + 4)] : [at, last];
    return Buffer.from(bytes.slice(begin, begin + length)).toString("latin1");
  };
  return { number, text };
}

/** Take out of the memory what nobody reads: what lay on the stack, what was given back, and descriptions for people. */
function clean(memory, globals) {
  const stack = Math.max(...globals);
  const lowest = Math.max(...globals.filter((value) => value < stack));
  if ((stack - lowest) % 65536) throw new Error("The stack is not where it was: snapshot.mjs is of another onnxruntime-web.");
  memory.fill(0, lowest, stack);
  const view = new DataView(memory.buffer);
  const end = lengthOf(memory);
  // What is allotted comes after the stack.
  for (let at = stack; at < end; ) {
    const told = view.getUint32(at + 4, true);
    const size = told & ~BLOCK.flags;
    if (size < BLOCK.smallest) throw new Error("The allocator is another: snapshot.mjs is of another onnxruntime-web.");
    const content = memory.subarray(at + BLOCK.head, at + size);
    if (!(told & BLOCK.inUse)) content.subarray(BLOCK.links).fill(0);
    else if (isText(content)) content.fill(0);
    at += size;
  }
}

/** Whether it is a sentence or the path of a source file. Names are looked up, and so are what kernels are listed under. */
function isText(content) {
  const length = content.indexOf(0);
  if (length < SHORTEST_TEXT) return false;
  const text = content.subarray(0, length);
  const isPlain = text.every((byte) => byte === 10 || (byte >= 32 && byte < 127));
  const words = Buffer.from(text).toString("latin1");
  return isPlain && (words.startsWith("/") || (words.includes(" ") && !words.endsWith("ExecutionProvider")));
}

/** What is not 0 in a memory. */
function runsOf(memory) {
  const runs = [];
  const end = lengthOf(memory);
  for (let at = 0; at < end; ) {
    if (!memory[at]) {
      at += 1;
      continue;
    }
    let [last, next] = [at, at + 1];
    for (; next < end && next - last <= GAP; next += 1) if (memory[next]) last = next;
    runs.push({ at, content: memory.subarray(at, last + 1) });
    at = last + 1;
  }
  return runs;
}

function lengthOf(memory) {
  let length = memory.length;
  while (!memory[length - 1]) length -= 1;
  return length;
}
