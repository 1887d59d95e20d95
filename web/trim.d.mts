/** The module with traps in place of all functions but those of `used`: runs of numbers, as first and count. */
export function trim(wasm: Uint8Array, used: [first: number, count: number][]): Uint8Array;
