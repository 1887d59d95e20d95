/** How much a picture is like what the model learnt from: as `spotter/inference/familiarity.py`, in float32 too. */

/** Embeddings of length 1, row after row. */
export interface Reference {
  rows: number;
  dimensions: number;
  values: Float32Array;
}

/** The cosines of an embedding with the first `rows` rows of a reference. */
export function cosines(embedding: ArrayLike<number>, { dimensions, values }: Reference, rows: number): Float32Array {
  const found = new Float32Array(rows);
  for (let row = 0, start = 0; row < rows; row++, start += dimensions) {
    let sum = 0;
    for (let at = 0; at < dimensions; at++) sum += (embedding[at] ?? NaN) * (values[start + at] ?? NaN);
    found[row] = sum;
  }
  return found;
}

/** The mean of the highest cosines, clipped to [0, 1]. */
export function meanOfNearest(found: Float32Array, neighbours: number): number {
  const nearest = Float32Array.from(found).sort().slice(-neighbours);
  const sum = nearest.reduce((total, each) => Math.fround(total + each), 0);
  return Math.min(Math.max(Math.fround(sum / nearest.length), 0), 1);
}

/** Familiarity in [0, 1]: lower where the classifier doubts. */
export function weigh(cosine: number, probabilities: ArrayLike<number>, certainty: number): number {
  if (!certainty) return cosine;
  const largest = Math.max(...Array.from(probabilities));
  return Math.fround(cosine * Math.fround(Math.pow(largest, Math.fround(certainty))));
}
