/** Choices of what the layers share: made, run, saved in Hugging Face's layout, loaded again, and refused. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { Albert, type AlbertConfig, type ParameterSharing, preset } from '../lib';
import { temporaryFolder } from './support/data';
import { failure } from './support/errors';
import { readSafetensors } from './support/safetensors';

const LAYERS = 3;
const SHAPE: AlbertConfig = {
  vocab_size: 60,
  embedding_size: 12,
  hidden_size: 24,
  num_hidden_layers: LAYERS,
  num_attention_heads: 3,
  intermediate_size: 40,
  max_position_embeddings: 20,
  initializer_range: 0.2,
};
const INPUTS = {
  input_ids: [
    [2, 5, 6, 7, 3],
    [2, 9, 3],
  ],
};
const ATTENTION = 'attention.query.weight';
const FEED_FORWARD = 'ffn.weight';

function block(group: number, part: string): string {
  return `albert.encoder.albert_layer_groups.${group}.albert_layers.0.${part}`;
}

// How often each half of a block is listed, and how many groups the file holds.
test.each<[ParameterSharing, attention: number, feedForward: number, stored: number]>([
  ['all', 1, 1, 1],
  ['attention', 1, LAYERS, LAYERS],
  ['feed_forward', LAYERS, 1, LAYERS],
  ['none', LAYERS, LAYERS, LAYERS],
])('%s: saved and loaded again', async (parameter_sharing, attention, feedForward, stored) => {
  const model = await Albert.create({ ...SHAPE, parameter_sharing }, { head: 'pretraining', seed: 5 });
  const listed = (part: string) => model.parameters().filter(({ name }) => name.endsWith(part)).length;
  expect([listed(ATTENTION), listed(FEED_FORWARD)]).toEqual([attention, feedForward]);

  const folder = temporaryFolder();
  await model.save(folder);
  const config = JSON.parse(readFileSync(path.join(folder, 'config.json'), 'utf8')) as AlbertConfig;
  expect(config).toMatchObject({ parameter_sharing, num_hidden_groups: stored });
  const tensors = readSafetensors(path.join(folder, 'model.safetensors'));
  for (let group = 0; group < stored; group++) {
    for (const [part, sets] of [
      [ATTENTION, attention],
      [FEED_FORWARD, feedForward],
    ] as const) {
      const value = tensors[block(group, part)].data;
      const first = tensors[block(0, part)].data;
      const same = Array.from(value).every((entry, i) => entry === first[i]);
      expect([group, part, same]).toEqual([group, part, group === 0 || sets === 1]);
      expect((await model.parameter(block(group, part))).data).toEqual(value);
    }
  }

  const again = await Albert.load(folder);
  expect(again.parameters()).toEqual(model.parameters());
  // As Hugging Face reads the file: every group with its own weights.
  delete config.parameter_sharing;
  const apart = await Albert.create(config);
  expect(
    apart
      .parameters()
      .map(({ name }) => name)
      .sort(),
  ).toEqual(Object.keys(tensors).sort());
  const [before, after] = [await model.forward(INPUTS), await again.forward(INPUTS)];
  expect(after).toEqual(before);
  await Promise.all([model, again, apart].map((live) => live.dispose()));
});

test('an option of create changes a configuration or a preset', async () => {
  const model = await Albert.create('tiny', { parameter_sharing: 'attention', head: 'base' });
  expect(model.config).toMatchObject({ parameter_sharing: 'attention', hidden_size: 312 });
  expect(model.parameters().filter(({ name }) => name.endsWith(FEED_FORWARD))).toHaveLength(4);
  await model.dispose();
  const grouped = { ...SHAPE, num_hidden_groups: 2 };
  const none = await Albert.create(grouped, { parameter_sharing: 'none' });
  expect(none.parameters().filter(({ name }) => name.endsWith(ATTENTION))).toHaveLength(LAYERS);
  await none.dispose();
  expect(preset('base', 'none')).toMatchObject({ parameter_sharing: 'none', num_hidden_layers: 12 });
  await failure('INVALID_ARGUMENT', () => Albert.create('tiny', { parameter_sharing: 'half' as never }));
});

test.each<[AlbertConfig, RegExp]>([
  [{ parameter_sharing: 'ffn' }, /'ffn' is not known; expected one of all, attention, feed_forward, none/],
  [{ parameter_sharing: true }, /must be a string/],
  [{ parameter_sharing: 'attention', num_hidden_groups: 1 }, /means num_hidden_groups 3, found 1/],
  [{ parameter_sharing: 'all', num_hidden_groups: 3 }, /means num_hidden_groups 1, found 3/],
])('refuses %j', async (fields, message) => {
  const error = await failure('INVALID_CONFIG', () => Albert.create({ ...SHAPE, ...fields }));
  expect(error.message).toMatch(message);
});
