// Takes out of onnxruntime's WebAssembly the functions that no network of ours runs, for `build.mjs`.

import { Buffer } from "node:buffer";

/** The body of a function that ends with a trap: no variables, `unreachable`, `end`. */
const TRAP = Uint8Array.of(0, 0x00, 0x0b);
const IMPORTS = 2;
const CODE = 10;

/**
 * The module with traps in place of all functions but those of `used`. Numbers of functions stay.
 *
 * @param {Uint8Array} wasm a module of version 1.
 * @param {[number, number][]} used runs of functions, each by the number of the first and how many there are.
 */
export function trim(wasm, used) {
  const keep = new Set(used.flatMap(([first, count]) => Array.from({ length: count }, (_, each) => first + each)));
  const parts = [wasm.subarray(0, 8)];
  const reader = new Reader(wasm, 8);
  let imported = 0;
  while (!reader.isAtEnd) {
    const start = reader.at;
    const id = reader.byte();
    const end = reader.number() + reader.at;
    if (id === IMPORTS) imported = countImportedFunctions(reader);
    if (id === CODE) parts.push(...section(CODE, trimmedBodies(reader, imported, keep)));
    else parts.push(wasm.subarray(start, end));
    reader.at = end;
  }
  return new Uint8Array(Buffer.concat(parts));
}

function trimmedBodies(reader, imported, keep) {
  const count = reader.number();
  const parts = [encoded(count)];
  for (let number = imported; number < imported + count; number += 1) {
    const body = reader.bytes(reader.number());
    const kept = keep.has(number) ? body : TRAP;
    parts.push(encoded(kept.length), kept);
  }
  return parts;
}

function section(id, parts) {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  return [Uint8Array.of(id), encoded(length), ...parts];
}

/** How many of the imports are functions: they have the first numbers. */
function countImportedFunctions(reader) {
  const limits = () => {
    const hasMost = reader.byte() & 1;
    reader.number();
    if (hasMost) reader.number();
  };
  const skip = [
    () => reader.number(),
    () => {
      reader.byte();
      limits();
    },
    limits,
    () => reader.bytes(2),
    () => {
      reader.byte();
      reader.number();
    },
  ];
  let functions = 0;
  for (let left = reader.number(); left > 0; left -= 1) {
    reader.bytes(reader.number());
    reader.bytes(reader.number());
    const kind = reader.byte();
    if (kind === 0) functions += 1;
    skip[kind]();
  }
  return functions;
}

/** A whole number as WebAssembly writes it (LEB128). */
function encoded(number) {
  const bytes = [];
  for (let left = number; ; left = Math.floor(left / 128)) {
    if (left < 128) return Uint8Array.from([...bytes, left]);
    bytes.push((left % 128) | 128);
  }
}

class Reader {
  constructor(data, at) {
    this.data = data;
    this.at = at;
  }

  get isAtEnd() {
    return this.at >= this.data.length;
  }

  byte() {
    this.at += 1;
    return this.data[this.at - 1];
  }

  bytes(count) {
    this.at += count;
    return this.data.subarray(this.at - count, this.at);
  }

  number() {
    let [value, weight] = [0, 1];
    for (;;) {
      const byte = this.byte();
      value += (byte & 127) * weight;
      if (byte < 128) return value;
      weight *= 128;
    }
  }
}
