/** Every golden model against its float64 truth, on every instruction set of this machine. */
import path from 'node:path';
import { Albert, cpuInfo, type ForwardOutputs, type Isa, type Tensor } from '../lib';
import { goldenModel, goldenModels } from './support/data';
import { nest, readSafetensors, type StoredTensor } from './support/safetensors';

const LIMIT = 2e-5;

/** For each leading row of an output, whether its token counts; null where every row does. */
function keptRows(name: string, dims: number[], mask: StoredTensor): boolean[] | null {
  const tokens = Array.from(mask.data, (value) => value !== 0);
  if (name.startsWith('attentions')) {
    const [sequences, heads, length] = dims;
    return Array.from({ length: sequences * heads * length }, (_, row) => {
      const sequence = Math.floor(row / (heads * length));
      return tokens[sequence * length + (row % length)];
    });
  }
  const perToken =
    /hidden_state|prediction_logits|start_logits|end_logits/.test(name) ||
    (name === 'logits' && dims.length === 3);
  return perToken ? tokens : null;
}

function relativeError(actual: Tensor, expected: StoredTensor, rows: boolean[] | null): number {
  const width = rows ? expected.data.length / rows.length : expected.data.length;
  let worst = 0;
  let largest = 0;
  expected.data.forEach((truth: number, i: number) => {
    if (rows && !rows[Math.floor(i / width)]) return;
    worst = Math.max(worst, Math.abs(actual.data[i] - truth));
    largest = Math.max(largest, Math.abs(truth));
  });
  return worst / largest;
}

function find(outputs: ForwardOutputs, name: string): Tensor {
  const [base, index] = name.split('.');
  const output = outputs[base as keyof ForwardOutputs] as Tensor | Tensor[];
  return Array.isArray(output) ? output[Number(index)] : output;
}

describe.each(cpuInfo().available as Isa[])('on %s', (isa) => {
  test.each(goldenModels)('%s', async (name) => {
    const model = await Albert.load(goldenModel(name), { isa });
    const stored = readSafetensors(path.join(goldenModel(name), 'expect.safetensors'));
    const wanted = Object.keys(stored).filter((key) => key.startsWith('output.'));
    const outputs = await model.forward(
      {
        input_ids: nest(stored.input_ids),
        attention_mask: nest(stored.attention_mask),
        token_type_ids: nest(stored.token_type_ids),
      },
      {
        outputs: [...new Set(wanted.map((key) => key.slice('output.'.length).split('.')[0]))],
      },
    );
    for (const key of wanted) {
      const output = key.slice('output.'.length);
      const actual = find(outputs, output);
      expect([output, actual.dims]).toEqual([output, stored[key].dims]);
      const rows = keptRows(output, stored[key].dims, stored.attention_mask);
      expect([output, relativeError(actual, stored[key], rows) < LIMIT]).toEqual([output, true]);
    }
    expect(model.isa).toBe(isa);
    await model.dispose();
  });
});
