// Takes out of large functions of WebAssembly the parts that no network of ours runs, for `build.mjs` and `profile.mjs`.

import {
  ID,
  Reader,
  contentOf,
  encoded,
  encodedSigned,
  importedFunctions,
  joined,
  moduleOf,
  numbersIn,
  readBodies,
  replaced,
  sections,
  splitBody,
  writeBodies,
} from "./wasm.mjs";

const [UNREACHABLE, BLOCK, LOOP, IF, ELSE, END, CALL, DROP, I32_CONST] = [0x00, 0x02, 0x03, 0x04, 0x05, 0x0b, 0x10, 0x1a, 0x41];

/**
 * The module in which the parts of a function tell when they are run.
 *
 * @param {Uint8Array} wasm
 * @param {number} large the number of the function.
 * @param {number} told the number of an import that takes two numbers and gives one: it is called with `mark` and the
 * number of a part.
 */
export function probe(wasm, large, told, mark) {
  return rewritten(wasm, large, (code, parts) => {
    const numbers = (part) => [I32_CONST, ...encodedSigned(mark), I32_CONST, ...encodedSigned(part)];
    const call = (part) => [...numbers(part), CALL, ...encoded(told), DROP];
    const pieces = [];
    let done = 0;
    for (const [part, { begin }] of parts.entries()) {
      pieces.push(code.subarray(done, begin), Uint8Array.from(call(part)));
      done = begin;
    }
    return joined([...pieces, code.subarray(done)]);
  });
}

/**
 * The module without the parts of a function that are not run: whoever comes to one of them is trapped.
 *
 * @param {Uint8Array} wasm
 * @param {number} large the number of the function.
 * @param {[number, number][]} run runs of parts, each by the number of the first and how many there are.
 */
export function cut(wasm, large, run) {
  const kept = numbersIn(run);
  return rewritten(wasm, large, (code, parts) => {
    const pieces = [];
    let done = 0;
    for (const [part, { begin, end }] of parts.entries()) {
      if (kept.has(part) || begin < done) continue;
      pieces.push(code.subarray(done, begin), Uint8Array.of(UNREACHABLE));
      done = end;
    }
    return joined([...pieces, code.subarray(done)]);
  });
}

function rewritten(wasm, large, rewrite) {
  const parts = sections(wasm);
  const bodies = readBodies(contentOf(parts, ID.code));
  const index = large - importedFunctions(parts).length;
  const [variables, code] = splitBody(bodies[index]);
  bodies[index] = joined([variables, rewrite(code, partsOf(code))]);
  return moduleOf(wasm, replaced(parts, { [ID.code]: writeBodies(bodies) }));
}

/** The parts of a function that a branch leads to: what comes behind the end of a block, and the arms of an `if`. */
function partsOf(code) {
  const reader = new Reader(code);
  const parts = [];
  // Of each block that is open: the parts in it.
  const open = [[]];
  const close = (end) => {
    for (const part of open.pop()) part.end = end;
  };
  const begin = () => {
    const part = { begin: reader.at, end: 0 };
    parts.push(part);
    open.at(-1).push(part);
  };
  while (!reader.isAtEnd) {
    const at = reader.at;
    const operation = reader.byte();
    if (operation === ELSE) close(at);
    if (operation === END) close(at);
    if (operation === ELSE) open.push([]);
    if (operation === BLOCK || operation === LOOP || operation === IF) {
      reader.signed();
      open.push([]);
    } else {
      skipRest(reader, operation);
    }
    if (operation === IF || operation === ELSE || (operation === END && open.length)) begin();
  }
  if (open.length || parts.some(({ end }) => !end)) throw new Error("A function does not end.");
  return parts;
}

/** Reads what comes behind the number of an operation, as the specification lists them. */
function skipRest(reader, operation) {
  const numbers = (count) => {
    // They may have 64 bits.
    for (let left = count; left > 0; left -= 1) while (reader.byte() & 128);
  };
  const isOne = [0x0c, 0x0d, CALL, 0x3f, 0x40, I32_CONST, 0x42, 0xd0, 0xd2].includes(operation);
  if (isOne || (operation >= 0x20 && operation <= 0x26)) numbers(1);
  else if (operation === 0x0e) numbers(reader.number() + 1);
  else if (operation === 0x1c) numbers(reader.number());
  else if (operation === 0x11 || (operation >= 0x28 && operation <= 0x3e)) numbers(2);
  else if (operation === 0x43) reader.bytes(4);
  else if (operation === 0x44) reader.bytes(8);
  else if (operation === 0xfc) numbers(ofBulk(reader.number()));
  else if (operation === 0xfd) skipVector(reader, numbers, reader.number());
  else if (operation === 0xfe) numbers(reader.number() === 3 ? 1 : 2);
}

function ofBulk(kind) {
  if (kind < 8) return 0;
  return [8, 10, 12, 14].includes(kind) ? 2 : 1;
}

function skipVector(reader, numbers, kind) {
  if (kind <= 11 || kind === 92 || kind === 93) numbers(2);
  else if (kind === 12 || kind === 13) reader.bytes(16);
  else if (kind >= 21 && kind <= 34) reader.bytes(1);
  else if (kind >= 84 && kind <= 91) {
    numbers(2);
    reader.bytes(1);
  }
}
