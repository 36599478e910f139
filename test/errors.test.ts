/** Broken files, configurations and options: each gives its code and a message to act on, and the process lives. */
import { chmodSync, mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { Albert, devices, pipeline, preset, Tokenizer } from '../lib';
import { copyModel, goldenModel, temporaryFolder } from './support/data';
import { failure } from './support/errors';
import { patchTensor } from './support/safetensors';

function editConfig(folder: string, change: object): void {
  const file = path.join(folder, 'config.json');
  writeFileSync(file, JSON.stringify({ ...(JSON.parse(readFileSync(file, 'utf8')) as object), ...change }));
}

describe('checkpoints', () => {
  test('no such model lists where it looked', async () => {
    const error = await failure('CHECKPOINT', () => Albert.load('no-such-model'));
    expect(error.message).toMatch(/'no-such-model'.*looked in .*models.*Nothing is downloaded/s);
    await failure('CHECKPOINT', () => pipeline('fill-mask', './no/such/folder'));
    await failure('CHECKPOINT', () => Tokenizer.load('no-such-model'));
  });

  test('a folder without config.json, and one without weights', async () => {
    const folder = copyModel('base');
    rmSync(path.join(folder, 'model.safetensors'));
    writeFileSync(path.join(folder, 'tf_model.h5'), '');
    expect((await failure('CHECKPOINT', () => Albert.load(folder))).message).toMatch(
      /model.safetensors.*found tf_model.h5/s,
    );
    rmSync(path.join(folder, 'config.json'));
    expect((await failure('CHECKPOINT', () => Albert.load(folder))).message).toMatch(/config.json/);
  });

  test.each([0, 7, 9, 100, 5000, -1])('a file cut at byte %i', async (size) => {
    const folder = copyModel('base');
    const file = path.join(folder, 'model.safetensors');
    truncateSync(file, size < 0 ? readFileSync(file).length - 1 : size);
    const error = await failure('CHECKPOINT', () => Albert.load(folder));
    expect(error.message).toContain('model.safetensors');
  });

  test('hostile headers', async () => {
    const folder = copyModel('base');
    const file = path.join(folder, 'model.safetensors');
    const length = Buffer.alloc(8);
    for (const [claimed, header] of [
      [2n ** 63n, ''],
      [2n ** 40n, '{}'],
      [4n, '[[[['],
      [BigInt('['.repeat(100000).length), '['.repeat(100000)],
    ] as const) {
      length.writeBigUInt64LE(claimed);
      writeFileSync(file, Buffer.concat([length, Buffer.from(header)]));
      await failure('CHECKPOINT', () => Albert.load(folder));
    }
  });

  test('a pickle that names a function is refused, not run', async () => {
    const folder = copyModel('base');
    rmSync(path.join(folder, 'model.safetensors'));
    writeFileSync(
      path.join(folder, 'pytorch_model.bin'),
      Buffer.from('\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R.', 'latin1'),
    );
    await failure('CHECKPOINT', () => Albert.load(folder));
  });

  test('a wrong shape names the tensor, both shapes and the file', async () => {
    const folder = copyModel('base');
    editConfig(folder, { intermediate_size: 81 });
    const error = await failure('CHECKPOINT', () => Albert.load(folder));
    expect(error.message).toMatch(/model.safetensors.*ffn.*81/s);
  });

  test('NaN weights', async () => {
    const folder = copyModel('base');
    patchTensor(path.join(folder, 'model.safetensors'), 'embeddings.word_embeddings.weight', (values) => {
      values[3] = NaN;
    });
    const error = await failure('CHECKPOINT', async () => {
      const model = await Albert.load(folder);
      await model.forward({ input_ids: [[0, 1]] });
    });
    expect(error.message).toMatch(/word_embeddings/);
  });

  test('a folder that cannot be written', async () => {
    const model = await Albert.load(goldenModel('base'));
    const folder = temporaryFolder();
    const readOnly = path.join(folder, 'locked');
    mkdirSync(readOnly);
    chmodSync(readOnly, 0o500);
    // The superuser may write anywhere, so a file in the way stands in for a read-only folder there.
    const target =
      process.getuid?.() === 0 ? path.join(folder, 'file', 'below') : path.join(readOnly, 'model');
    writeFileSync(path.join(folder, 'file'), '');
    const error = await failure('CHECKPOINT', () => model.save(target));
    expect(error.message).toContain(target);
    await model.dispose();
  });
});

describe('configurations', () => {
  test.each([
    [{ hidden_size: 'wide' }, /hidden_size/],
    [{ hidden_size: null }, /hidden_size/],
    [{ num_attention_heads: 5 }, /heads/],
    [{ hidden_act: 'gloo' }, /hidden_act/],
    [{ model_type: 'bert' }, /bert/],
    [{ vocab_size: -1 }, /vocab_size/],
    [{ num_hidden_layers: 1e12 }, /num_hidden_layers/],
  ])('%j', async (change, message) => {
    const folder = copyModel('base');
    editConfig(folder, change);
    const error = await failure('INVALID_CONFIG', () => Albert.load(folder));
    expect(error.message).toMatch(message);
    expect(error.message).toContain('config.json');
  });

  test('a file that is no JSON', async () => {
    const folder = copyModel('base');
    writeFileSync(path.join(folder, 'config.json'), '{"hidden_size": ');
    await failure('INVALID_CONFIG', () => Albert.load(folder));
  });
});

describe('options', () => {
  test.each([
    [{ head: 'poet' }, /one of 'base', .* for head but received 'poet'/],
    [{ dtype: 'fp99' }, /dtype/],
    [{ threads: 0 }, /integer from 1 to 1024 for threads but received 0/],
    [{ isa: 'mmx' }, /isa/],
    [{ seed: -1 }, /seed/],
    ['fast', /an object for options but received 'fast'/],
  ])('%j', async (options, message) => {
    const error = await failure('INVALID_ARGUMENT', () => Albert.create(preset('tiny'), options as never));
    expect(error.message).toMatch(message);
  });

  test('a number that JSON cannot say is no field of a configuration, given or replaced', async () => {
    const config = { layer_norm_eps: NaN };
    for (const call of [
      () => Albert.create({ ...preset('tiny'), ...config }),
      () => Albert.load(goldenModel('base'), { config }),
    ])
      expect((await failure('INVALID_ARGUMENT', call)).message).toMatch(
        /a finite number for layer_norm_eps but received NaN/,
      );
  });

  test('a calibration without a name', async () => {
    const load = () => Albert.load(goldenModel('base'), { dtype: 'int8', calibration: '' });
    expect((await failure('INVALID_ARGUMENT', load)).message).toMatch(/a path for calibration/);
  });

  test('a device that is not there', async () => {
    const gpu = devices().find(({ type }) => type === 'cuda');
    if (gpu?.available) return;
    expect(gpu?.reason).toMatch(/./);
    const error = await failure('DEVICE', () => Albert.load(goldenModel('base'), { device: 'cuda' }));
    expect(error.message).toBe(gpu?.reason);
    const model = await Albert.load(goldenModel('base'));
    expect(model.device).toBe('cpu');
    await model.dispose();
  });

  test('a device of another name, given or by the environment', async () => {
    const message = /'auto', 'cpu', 'cuda'.*received 'tpu'/;
    const load = (options = {}) =>
      failure('INVALID_ARGUMENT', () => Albert.load(goldenModel('base'), options));
    expect((await load({ device: 'tpu' })).message).toMatch(message);
    const before = process.env.ALBERT_DEVICE;
    process.env.ALBERT_DEVICE = 'tpu';
    try {
      expect((await load()).message).toMatch(message);
    } finally {
      if (before === undefined) delete process.env.ALBERT_DEVICE;
      else process.env.ALBERT_DEVICE = before;
    }
  });

  test('a configuration is an object of fields', async () => {
    for (const config of [[], [preset('tiny')], null, 5]) {
      const error = await failure('INVALID_ARGUMENT', () => Albert.create(config as never));
      expect(error.message).toMatch(/a configuration or the name of a preset for config but received/);
    }
  });

  test('unknown presets and tasks list the known ones', async () => {
    expect((await failure('INVALID_ARGUMENT', () => Albert.create('huge'))).message).toMatch(
      /base-v1.*tiny.*'huge'/s,
    );
    const error = await failure('INVALID_ARGUMENT', () =>
      pipeline('translate' as never, goldenModel('base')),
    );
    expect(error.message).toMatch(/'fill-mask'.*task.*'translate'/s);
  });
});

test('a broken vocabulary stops text but not ids', async () => {
  const folder = copyModel('masked-lm');
  writeFileSync(path.join(folder, 'spiece.model'), 'nonsense');
  const model = await Albert.load(folder);
  await model.forward({ input_ids: [[5]] });
  await failure('TOKENIZER', () => model.encode('text'));
  await failure('TOKENIZER', () => Tokenizer.load(folder));
  await failure('TOKENIZER', () => pipeline('fill-mask', folder));
  await model.dispose();
});
