/** Makes a random model behave like a trained one that quantises badly: large gains and heavy-tailed weights. */
import { readFileSync, writeFileSync } from 'node:fs';
import { normal, random } from './statistics';

const GAINS = 6;
const GAIN = 20;
const DEVIATION = 0.04;
/** Degrees of freedom of Student's t, whose tails are heavy but whose variance exists. */
const FREEDOM = 5;

interface Entry {
  shape: number[];
  data_offsets: [number, number];
}

function heavyTailed(uniform: () => number): () => number {
  const draw = normal(uniform);
  const scale = DEVIATION / Math.sqrt(FREEDOM / (FREEDOM - 2));
  return () => {
    let chiSquared = 0;
    for (let i = 0; i < FREEDOM; i++) chiSquared += draw() ** 2;
    return (scale * draw()) / Math.sqrt(chiSquared / FREEDOM);
  };
}

/**
 * Rewrites float32 weights of a safetensors file in place: the same six gains of both LayerNorms of the layer times 20,
 * linear weights from Student's t with standard deviation 0.04.
 */
export function addOutliers(file: string): void {
  const bytes = readFileSync(file);
  const data = 8 + Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.subarray(8, data).toString('utf8')) as Record<string, Entry>;
  const weight = heavyTailed(random(20));
  for (const [name, { shape, data_offsets }] of Object.entries(header)) {
    const [begin, end] = (data_offsets ?? [0, 0]).map((offset) => offset + data);
    const values = new DataView(bytes.buffer, bytes.byteOffset + begin, end - begin);
    if (/albert_layers\..*(layer_norm|LayerNorm)\.weight$/.test(name)) {
      for (let i = 0; i < GAINS; i++) {
        const at = 4 * Math.floor(((i + 0.5) / GAINS) * shape[0]);
        values.setFloat32(at, GAIN * values.getFloat32(at, true), true);
      }
    } else if (/(albert_layers\.|embedding_hidden_mapping_in).*\.weight$/.test(name)) {
      for (let at = 0; at < end - begin; at += 4) values.setFloat32(at, weight(), true);
    }
  }
  writeFileSync(file, bytes);
}
