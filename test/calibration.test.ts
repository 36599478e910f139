/** calibrate() and the load option: an outlier costs int8 its digits no longer, and what does not fit is refused. */
import { existsSync, rmSync } from 'node:fs';
import path from 'node:path';
import { Albert, type CheckpointOptions } from '../lib';
import { copyModel, temporaryFolder } from './support/data';
import { failure } from './support/errors';
import { patchTensor } from './support/safetensors';
import { tinyModel } from './support/tiny';

const SENTENCES = ['The whale swam away.', 'Call me Ishmael.', 'It was the whiteness of the whale.'];
const BIAS = 'albert.encoder.albert_layer_groups.0.albert_layers.0.ffn.bias';

/** A model in which one inner activation reaches a hundred times as far as the others. */
async function modelWithOutlier(): Promise<string> {
  const folder = await tinyModel('masked-lm');
  patchTensor(path.join(folder, 'model.safetensors'), BIAS, (bias) => (bias[5] = 300));
  return folder;
}

async function withModel<T>(folder: string, options: CheckpointOptions, use: (model: Albert) => Promise<T>) {
  const model = await Albert.load(folder, { head: 'base', device: 'cpu', ...options });
  try {
    return await use(model);
  } finally {
    await model.dispose();
  }
}

const states = (folder: string, options: CheckpointOptions) =>
  withModel(folder, options, async (model) => {
    const input_ids = [model.encode(SENTENCES.join(' ')).input_ids];
    const { last_hidden_state } = await model.forward({ input_ids }, { outputs: ['last_hidden_state'] });
    return last_hidden_state.data;
  });

const calibrate = (folder: string, output?: string) =>
  withModel(folder, {}, (model) => model.calibrate([...SENTENCES, ['The whale', 'swam.']], { output }));

const norm = (values: Float32Array) => Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));

test('fits int8 to texts, found in the folder or named', async () => {
  const folder = await modelWithOutlier();
  const truth = await states(folder, {});
  const errorOf = async (options: CheckpointOptions) => {
    const values = await states(folder, { dtype: 'int8', ...options });
    return norm(values.map((value, i) => value - truth[i])) / norm(truth);
  };
  const plain = await errorOf({});
  const named = await calibrate(folder, path.join(temporaryFolder(), 'ranges.safetensors'));
  const fitted = await errorOf({ calibration: named });
  expect(plain).toBeGreaterThan(4 * fitted);
  expect(fitted).toBeLessThan(0.05);
  expect(existsSync(path.join(folder, 'calibration.safetensors'))).toBe(false);

  expect(await calibrate(folder)).toBe(path.join(folder, 'calibration.safetensors'));
  expect(await errorOf({})).toBe(fitted);
  expect(await errorOf({ calibration: false })).toBe(plain);
  expect(await states(folder, { dtype: 'bf16' })).toHaveLength(truth.length);
});

test('refuses what it cannot calibrate with, and calibrations that do not fit', async () => {
  const folder = await modelWithOutlier();
  const file = await calibrate(folder);
  const int8 = (options: CheckpointOptions, use: (model: Albert) => Promise<unknown>) =>
    failure('INVALID_ARGUMENT', () => withModel(folder, options, use));
  const needsFp32 = await int8({ dtype: 'int8' }, (model) => model.calibrate(SENTENCES));
  expect(needsFp32.message).toContain("dtype: 'fp32'");
  await int8({}, (model) => model.calibrate([]));
  await int8({}, (model) => model.calibrate('text' as never));
  await int8({}, (model) => model.calibrate(SENTENCES, { output: 5 as never }));
  await int8({}, (model) =>
    model.calibrate(SENTENCES, { output: path.join(folder, 'ranges\0.safetensors') }),
  );
  await int8({ calibration: 5 as never }, () => Promise.resolve());
  const needsInt8 = await int8({ calibration: file }, () => Promise.resolve());
  expect(needsInt8.message).toContain("dtype 'int8'");

  const other = await failure('CHECKPOINT', () =>
    withModel(copyModel('base'), { dtype: 'int8', calibration: file }, () => Promise.resolve()),
  );
  expect(other.message).toContain('albert quantize');
  rmSync(file);
  await failure('CHECKPOINT', () =>
    withModel(folder, { dtype: 'int8', calibration: file }, () => Promise.resolve()),
  );
  await failure('CHECKPOINT', () =>
    calibrate(folder, path.join(folder, 'config.json', 'ranges.safetensors')),
  );
  await failure('INVALID_ARGUMENT', () => Albert.create('tiny', { device: 'cpu', calibration: file }));
  const created = await Albert.create('tiny', { device: 'cpu' });
  await failure('INVALID_ARGUMENT', () => created.calibrate(SENTENCES));
  await created.dispose();
});
