// Reads and writes modules of WebAssembly (version 1), for `trim.mjs`, `cut.mjs` and `snapshot.mjs`.

import { Buffer } from "node:buffer";

export const ID = { types: 1, imports: 2, functions: 3, globals: 6, exports: 7, start: 8, elements: 9, counts: 12, code: 10, data: 11 };
const FUNCTION = 0;
export const GLOBAL = 3;
const HEAD = 8;
export const I32 = 0x7f;
export const I32_CONST = 0x41;
export const END = 0x0b;

/** The sections of a module: what kind each is of, and its content. */
export function sections(wasm) {
  const reader = new Reader(wasm, HEAD);
  const found = [];
  while (!reader.isAtEnd) {
    const id = reader.byte();
    found.push({ id, content: reader.bytes(reader.number()) });
  }
  return found;
}

/** The content of the section of one kind. */
export function contentOf(parts, wanted) {
  return parts.find(({ id }) => id === wanted).content;
}

/** The same sections, some with other contents: kind -> content. */
export function replaced(parts, contents) {
  return parts.map(({ id, content }) => ({ id, content: contents[id] ?? content }));
}

/** The functions that are imported: they have the first numbers. */
export function importedFunctions(parts) {
  return readImports(contentOf(parts, ID.imports)).filter(({ kind }) => kind === FUNCTION);
}

/** The numbers in runs of them, each given by its first one and how many there are. */
export function numbersIn(runs) {
  return new Set(runs.flatMap(([first, count]) => Array.from({ length: count }, (_, each) => first + each)));
}

/** The module of such sections. */
export function moduleOf(wasm, parts) {
  const written = parts.flatMap(({ id, content }) => [Uint8Array.of(id), encoded(content.length), content]);
  return joined([wasm.subarray(0, HEAD), ...written]);
}

/** The content of a section, of its entries. */
function list(entries) {
  return joined([encoded(entries.length), ...entries]);
}

export function joined(parts) {
  return new Uint8Array(Buffer.concat(parts));
}

/** What is imported: a name, its kind, and of a function the number of its type. Imported functions have the first numbers. */
function readImports(content) {
  const reader = new Reader(content);
  const limits = () => {
    const hasMost = reader.byte() & 1;
    reader.number();
    if (hasMost) reader.number();
  };
  const kinds = [
    () => reader.number(),
    () => {
      reader.byte();
      limits();
    },
    limits,
    () => void reader.bytes(2),
    () => {
      reader.byte();
      reader.number();
    },
  ];
  return reader.list(() => {
    reader.text();
    const name = reader.text();
    const kind = reader.byte();
    return { name, kind, type: kinds[kind]() };
  });
}

/** The types of functions: what they take and give, one byte each. */
export function readTypes(content) {
  const reader = new Reader(content);
  return reader.list(() => {
    reader.byte();
    return { takes: reader.bytes(reader.number()), gives: reader.bytes(reader.number()) };
  });
}

export function readExports(content) {
  const reader = new Reader(content);
  return reader.list(() => ({ name: reader.text(), kind: reader.byte(), number: reader.number() }));
}

export function writeExports(all) {
  return list(
    all.map(({ name, kind, number }) => {
      const text = Buffer.from(name);
      return joined([encoded(text.length), text, Uint8Array.of(kind), encoded(number)]);
    }),
  );
}

/** Globals, which all have to be numbers of 32 bits. */
export function readGlobals(content) {
  const reader = new Reader(content);
  return reader.list(() => {
    const [type, mutable, operation] = reader.bytes(3);
    const value = reader.signed();
    if (type !== I32 || operation !== I32_CONST || reader.byte() !== END) throw new Error("A global is of another kind.");
    return { mutable: mutable === 1, value };
  });
}

export function writeGlobals(all) {
  return list(
    all.map(({ mutable, value }) => joined([Uint8Array.of(I32, mutable ? 1 : 0, I32_CONST), encodedSigned(value), Uint8Array.of(END)])),
  );
}

/** Functions in tables, each run of them with its place as it is written. */
export function readElements(content) {
  const reader = new Reader(content);
  return reader.list(() => {
    const begin = reader.at;
    if (reader.number() !== 0 || reader.byte() !== I32_CONST) throw new Error("A table is filled in another way.");
    reader.signed();
    reader.byte();
    return { place: content.subarray(begin, reader.at), functions: reader.list(() => reader.number()) };
  });
}

export function writeElements(all) {
  return list(all.map(({ place, functions }) => joined([place, list(functions.map(encoded))])));
}

/** The bodies of the functions that are not imported. */
export function readBodies(content) {
  const reader = new Reader(content);
  return reader.list(() => reader.bytes(reader.number()));
}

export function writeBodies(bodies) {
  return list(bodies.map((body) => joined([encoded(body.length), body])));
}

/** A body without its variables, which come first, and these. */
export function splitBody(body) {
  const reader = new Reader(body);
  reader.list(() => {
    reader.number();
    reader.byte();
  });
  return [body.subarray(0, reader.at), body.subarray(reader.at)];
}

/** Data that lies in the memory from the beginning. */
export function writeData(all) {
  return list(
    all.map(({ at, content }) =>
      joined([Uint8Array.of(0, I32_CONST), encodedSigned(at), Uint8Array.of(END), encoded(content.length), content]),
    ),
  );
}

/** A whole number as WebAssembly writes it (LEB128). */
export function encoded(number) {
  const bytes = [];
  for (let left = number; ; left = Math.floor(left / 128)) {
    if (left < 128) return Uint8Array.from([...bytes, left]);
    bytes.push((left % 128) | 128);
  }
}

/** The same of a number of 32 bits that may be negative. */
export function encodedSigned(number) {
  const bytes = [];
  for (let left = number | 0; ; left >>= 7) {
    const byte = left & 127;
    if (left >> 6 === 0 || left >> 6 === -1) return Uint8Array.from([...bytes, byte]);
    bytes.push(byte | 128);
  }
}

export class Reader {
  constructor(data, at = 0) {
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

  signed() {
    let [value, shift] = [0, 0];
    for (;;) {
      const byte = this.byte();
      value |= (byte & 127) << shift;
      shift += 7;
      if (byte < 128) return shift < 32 && byte & 64 ? value | (-1 << shift) : value;
    }
  }

  text() {
    return Buffer.from(this.bytes(this.number())).toString();
  }

  list(read) {
    return Array.from({ length: this.number() }, () => read());
  }
}
