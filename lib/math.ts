/** Small numerics: means, probabilities, best entries, and vectors of unit length. */

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** exp(x) / sum(exp(x)) of a row. */
export function softmax(row: ArrayLike<number>): Float64Array {
  const result = new Float64Array(row);
  const peak = result.reduce((a, b) => (b > a ? b : a), -Infinity);
  let sum = 0;
  for (let i = 0; i < result.length; i++) sum += result[i] = Math.exp(result[i] - peak);
  for (let i = 0; i < result.length; i++) result[i] /= sum;
  return result;
}

/** The mean of -log p(truth) over rows of logits. */
export function crossEntropy(logits: readonly Float32Array[], truth: readonly number[]): number {
  return mean(logits.map((row, i) => -Math.log(Math.max(softmax(row)[truth[i]], 1e-300))));
}

export function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-x));
}

/** As many as are faster kept in order one by one than sorted. */
const FEW = 256;

/** Indices of the k largest entries, largest first; among equals the earlier. */
export function topIndices(row: ArrayLike<number>, k: number): number[] {
  if (k > FEW) {
    const all = Array.from(row, (_, i) => i);
    return all.sort((a, b) => row[b] - row[a]).slice(0, k);
  }
  const best: number[] = [];
  for (let i = 0; i < row.length; i++) {
    if (best.length === k && !(row[i] > row[best[k - 1]])) continue;
    let at = Math.min(best.length, k - 1);
    for (; at > 0 && row[i] > row[best[at - 1]]; at--) best[at] = best[at - 1];
    best[at] = i;
  }
  return best;
}

export function argmax(row: ArrayLike<number>): number {
  return topIndices(row, 1)[0];
}

/** Scales a vector to unit length in place; a zero vector stays. */
export function normalise(vector: Float32Array): void {
  let squares = 0;
  for (const value of vector) squares += value * value;
  const scale = squares > 0 ? 1 / Math.sqrt(squares) : 0;
  for (let i = 0; i < vector.length; i++) vector[i] *= scale;
}

export function dot(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}
