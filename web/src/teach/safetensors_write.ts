/** Writes safetensors files. */

import type { TensorType } from "../safetensors.js";

export interface NewTensor {
  type: TensorType;
  shape: number[];
  bytes: Uint8Array;
}

export function writeTensors(tensors: Record<string, NewTensor>): Uint8Array<ArrayBuffer> {
  let end = 0;
  const header = Object.entries(tensors).map(([name, { type, shape, bytes }]) => {
    const start = end;
    end += bytes.length;
    return [name, { dtype: type, shape, data_offsets: [start, end] }] as const;
  });
  const text = JSON.stringify(Object.fromEntries(header));
  // What follows has to begin at a multiple of eight.
  const head = new TextEncoder().encode(text.padEnd(Math.ceil(text.length / 8) * 8));
  const file = new Uint8Array(8 + head.length + end);
  new DataView(file.buffer).setBigUint64(0, BigInt(head.length), true);
  file.set(head, 8);
  let at = 8 + head.length;
  for (const { bytes } of Object.values(tensors)) {
    file.set(bytes, at);
    at += bytes.length;
  }
  return file;
}

export function floatTensor(values: Float32Array, shape: number[]): NewTensor {
  return { type: "F32", shape, bytes: new Uint8Array(values.buffer, values.byteOffset, values.byteLength) };
}

export function countTensor(values: number[]): NewTensor {
  const bytes = new Uint8Array(BigInt64Array.from(values, BigInt).buffer);
  return { type: "I64", shape: [values.length], bytes };
}

export function byteTensor(bytes: Uint8Array): NewTensor {
  return { type: "U8", shape: [bytes.length], bytes };
}
