/** The order of a task's examples, and their batches by number of examples or tokens. */
import { epochBatches, shuffled } from '../lib/training/minibatches';

describe('batches of a task', () => {
  test('hold every example once, in an order that depends on seed and epoch alone', () => {
    const lengths = Array.from({ length: 5000 }, (_, i) => 5 + ((i * 37) % 60));
    for (const size of [{ examples: 32 }, { tokens: 1000 }]) {
      const first = epochBatches(lengths, size, 1, 0);
      expect(first.flat().sort((a, b) => a - b)).toEqual(lengths.map((_, i) => i));
      expect(epochBatches(lengths, size, 1, 0)).toEqual(first);
      expect(epochBatches(lengths, size, 1, 1)).not.toEqual(first);
      expect(epochBatches(lengths, size, 2, 0)).not.toEqual(first);
    }
    const byTokens = epochBatches(lengths, { tokens: 1000 }, 1, 0);
    for (const batch of byTokens) {
      const own = batch.map((i) => lengths[i]);
      expect(own.reduce((a, b) => a + b)).toBeLessThanOrEqual(1000);
    }
    const spread = byTokens.map(
      (batch) => Math.max(...batch.map((i) => lengths[i])) - Math.min(...batch.map((i) => lengths[i])),
    );
    expect(spread.reduce((a, b) => a + b) / spread.length).toBeLessThan(5);
    expect(epochBatches([5000, 3], { tokens: 100 }, 1, 0)).toHaveLength(2);
  });

  test('are shuffled uniformly', () => {
    const counts = Array.from({ length: 4 }, () => new Array<number>(4).fill(0));
    for (let epoch = 0; epoch < 4000; epoch++)
      shuffled(4, 9, epoch).forEach((value, place) => counts[place][value]++);
    // Chi-square of 16 cells with 9 degrees of freedom: 27.9 at 0.001.
    const square = counts.flat().reduce((sum, count) => sum + (count - 1000) ** 2 / 1000, 0);
    expect(square).toBeLessThan(27.9);
  });
});
