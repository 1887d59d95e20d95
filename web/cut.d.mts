/** The module in which the parts of a function call an import with `mark` and their number when they are run. */
export function probe(wasm: Uint8Array, large: number, told: number, mark: number): Uint8Array<ArrayBuffer>;
/** The module without the parts of a function that are not in `run`: runs of parts, as first and count. */
export function cut(wasm: Uint8Array, large: number, run: [first: number, count: number][]): Uint8Array<ArrayBuffer>;
