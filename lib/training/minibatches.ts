/** Batches of an epoch: every example once, in an order drawn from the seed, by count or by a budget of tokens. */
import { createCipheriv, createHash } from 'node:crypto';

/** A permutation of 0 ... count - 1, uniform and the same for the same seed and epoch: Fisher and Yates with AES as the generator. */
export function shuffled(count: number, seed: number, epoch: number): number[] {
  const key = createHash('sha256').update(`${seed}:${epoch}`).digest();
  const cipher = createCipheriv('aes-256-ctr', key, Buffer.alloc(16));
  const order = Array.from({ length: count }, (_, i) => i);
  const draws = cipher.update(Buffer.alloc(6 * count));
  for (let i = count - 1; i > 0; i--) {
    // 48 bits for at most 2^26 places: no place is favoured by more than 2^-22.
    const j = Math.floor((draws.readUIntBE(6 * i, 6) / 2 ** 48) * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

/** Either of the two sizes. */
export interface BatchSize {
  /** Examples of a batch. */
  examples?: number;
  /** Tokens of a batch at most; batches then hold examples of similar length. */
  tokens?: number;
}

// Batches by budget are cut from pools of so many examples, sorted by length: similar ones meet, in ever new company.
const POOL = 2048;

/** Groups of indices into `lengths`, in the order in which they are trained on. The last one of an epoch may be smaller. */
export function epochBatches(
  lengths: ArrayLike<number>,
  size: BatchSize,
  seed: number,
  epoch: number,
): number[][] {
  const order = shuffled(lengths.length, seed, epoch);
  const batches: number[][] = [];
  if (size.tokens === undefined) {
    const count = size.examples ?? 1;
    for (let i = 0; i < order.length; i += count) batches.push(order.slice(i, i + count));
    return batches;
  }
  for (let begin = 0; begin < order.length; begin += POOL) {
    const pool = order.slice(begin, begin + POOL).sort((a, b) => lengths[a] - lengths[b]);
    let room = 0;
    for (const index of pool) {
      room -= lengths[index];
      if (room < 0 || batches.length === 0) {
        batches.push([]);
        room = size.tokens - lengths[index];
      }
      batches.at(-1)!.push(index);
    }
  }
  return shuffled(batches.length, seed, -1 - epoch).map((i) => batches[i]);
}
