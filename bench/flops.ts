/** How much arithmetic a forward pass is, and how long the machine would need for it at its peak. */
import type { DType } from './peer';

export interface Shape {
  embedding_size: number;
  hidden_size: number;
  intermediate_size: number;
  num_hidden_layers: number;
}

/** Operations per second; 0 where the machine has no such instruction. */
export interface Peak {
  fp32: number;
  bf16: number;
  int8: number;
}

/** Multiplies and adds of one pass, each counted; embeddings' sums, norms and activations are left out. */
export function operations(
  shape: Shape,
  lengths: readonly number[],
): { products: number; attention: number } {
  const { embedding_size: E, hidden_size: H, intermediate_size: F, num_hidden_layers: L } = shape;
  let products = 0;
  let attention = 0;
  for (const S of lengths) {
    products += S * (L * 2 * (4 * H * H + 2 * H * F) + 2 * E * H);
    attention += S * L * 4 * S * H;
  }
  return { products, attention };
}

/**
 * Seconds at the peak of a precision; null where the machine has none. In int8 attention stays in bf16, and in fp32 where
 * there is no bf16.
 */
export function peakSeconds(
  { products, attention }: { products: number; attention: number },
  dtype: DType,
  peak: Peak,
): number | null {
  if (!peak[dtype]) return null;
  return products / peak[dtype] + attention / (dtype === 'int8' ? peak.bf16 || peak.fp32 : peak[dtype]);
}
