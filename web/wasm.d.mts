/** A whole number of 32 bits as WebAssembly writes it. */
export function encodedSigned(number: number): Uint8Array;
export class Reader {
  constructor(data: Uint8Array, at?: number);
  signed(): number;
}
