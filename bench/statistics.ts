/** The few statistics that the bench needs. */

/** @throws RangeError for no values. */
export function median(values: readonly number[]): number {
  if (values.length === 0)
    throw new RangeError('expected at least one value for the median but received none');
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

export const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);

/** ||actual - expected|| / ||expected||; NaN anywhere gives NaN. */
export function relativeError(actual: Float32Array, expected: Float32Array): number {
  if (actual.length !== expected.length)
    throw new RangeError(`expected ${expected.length} values but received ${actual.length}`);
  let difference = 0;
  let norm = 0;
  for (let i = 0; i < expected.length; i++) {
    difference += (actual[i] - expected[i]) ** 2;
    norm += expected[i] ** 2;
  }
  return Math.sqrt(difference / norm);
}

/** Real rows of an output, sequence after sequence: padding is dropped, pooled outputs pass unchanged. */
export function realRows(
  output: { dims: readonly number[]; data: Float32Array },
  lengths: readonly number[],
): Float32Array {
  const { dims, data } = output;
  if (dims.length === 2) return data;
  const [, padded, width] = dims;
  const rows = new Float32Array(sum(lengths) * width);
  let at = 0;
  lengths.forEach((length, sequence) => {
    const begin = sequence * padded * width;
    rows.set(data.subarray(begin, begin + length * width), at);
    at += length * width;
  });
  return rows;
}

/** A small seeded generator (mulberry32): uniform in [0, 1), the same numbers everywhere. */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Standard normal numbers from uniform ones (Box and Muller). */
export function normal(uniform: () => number): () => number {
  return () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
}
