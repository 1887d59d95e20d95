/** Reads safetensors files, with every check before anything is used. */

import { isTable } from "./card.js";

const WIDTHS = {
  F64: 8,
  F32: 4,
  F16: 2,
  I64: 8,
  U64: 8,
  I32: 4,
  U32: 4,
  I16: 2,
  U16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
} as const;
/** As the format's own reader has it. */
const MOST_HEADER = 100_000_000;

export type TensorType = keyof typeof WIDTHS;

export interface Tensor {
  type: TensorType;
  shape: number[];
  bytes: Uint8Array;
}

/**
 * The tensors of a file by name.
 *
 * @throws RangeError, SyntaxError, TypeError: it is no such file.
 */
export function readTensors(data: Uint8Array): Map<string, Tensor> {
  const { entries, start } = readHeader(data);
  const found = new Map<string, Tensor>();
  const parts: [number, number][] = [];
  for (const [name, entry] of entries) {
    const { tensor, place } = readEntry(entry, data.subarray(start));
    found.set(name, tensor);
    parts.push(place);
  }
  // One after the other, and nothing else: no tensor lies over another, and none holds bytes of nobody.
  let end = 0;
  for (const [from, to] of parts.sort(([a, b], [c, d]) => a - c || b - d)) {
    if (from !== end) throw new RangeError("there are gaps between the tensors");
    end = to;
  }
  if (start + end !== data.length) throw new RangeError("the file does not end with its tensors");
  return found;
}

/**
 * What the header says of each tensor, by name, and where it ends.
 *
 * @throws RangeError, SyntaxError, TypeError: it is no such header.
 */
export function readHeader(data: Uint8Array): { entries: [name: string, entry: unknown][]; start: number } {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const length = Number(view.getBigUint64(0, true));
  const start = 8 + length;
  if (length > MOST_HEADER || start > data.length) throw new RangeError("the header is longer than the file");
  const header: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(data.subarray(8, start)));
  if (!isTable(header)) throw new TypeError("the header is no table");
  return { entries: Object.entries(header).filter(([name]) => name !== "__metadata__"), start };
}

function readEntry(entry: unknown, data: Uint8Array): { tensor: Tensor; place: [number, number] } {
  if (!isTable(entry)) throw new TypeError("an entry is no table");
  const { dtype, shape, data_offsets: offsets } = entry;
  if (!isType(dtype) || !isCounts(shape) || !isCounts(offsets)) throw new TypeError("an entry is damaged");
  const [from, to] = offsets;
  const wanted = shape.reduce((product, side) => product * side, WIDTHS[dtype]);
  if (from === undefined || to === undefined || offsets.length !== 2 || to > data.length || to - from !== wanted) {
    throw new RangeError("a tensor does not have the bytes of its shape");
  }
  return { tensor: { type: dtype, shape, bytes: data.subarray(from, to) }, place: [from, to] };
}

/** The numbers of a floating-point tensor in float32; undefined where it holds something else. */
export function asFloats({ type, bytes }: Tensor): Float32Array | undefined {
  if (type !== "F64" && type !== "F32" && type !== "F16") return undefined;
  // Every browser runs on machines of this order of bytes; a copy lies where numbers may.
  if (type === "F32") return new Float32Array(bytes.slice().buffer);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const count = bytes.length / WIDTHS[type];
  const floats = new Float32Array(count);
  for (let at = 0; at < count; at++) {
    floats[at] = type === "F16" ? half(view.getUint16(at * 2, true)) : view.getFloat64(at * 8, true);
  }
  return floats;
}

/** The numbers of a tensor of whole numbers; undefined where it holds others, or such as are not exact here. */
export function asCounts({ type, bytes }: Tensor): number[] | undefined {
  if (type !== "I64" && type !== "I32") return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const read = (at: number): number => (type === "I64" ? Number(view.getBigInt64(at, true)) : view.getInt32(at, true));
  const counts = Array.from({ length: bytes.length / WIDTHS[type] }, (_, at) => read(at * WIDTHS[type]));
  return counts.every(Number.isSafeInteger) ? counts : undefined;
}

function half(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

function isType(value: unknown): value is TensorType {
  return typeof value === "string" && Object.hasOwn(WIDTHS, value);
}

export function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((each) => Number.isSafeInteger(each) && (each as number) >= 0);
}
