/** Trainer and backward against golden gradients and trajectories; checkpoints, interruptions and divergence. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync, truncateSync } from 'node:fs';
import path from 'node:path';
import {
  Albert,
  type AlbertConfig,
  type ErrorCode,
  type LabelledInputs,
  Trainer,
  type TrainerOptions,
} from '../lib';
import { goldenModel, goldenModels, root, temporaryFolder } from './support/data';
import { failure } from './support/errors';
import { nest, readSafetensors, type StoredTensor } from './support/safetensors';

const LIMIT = 1e-4;
const train = path.join(root, 'test/golden/train');
const trajectories = readdirSync(train);

/** The shape of the golden trajectories' models. */
const DROPPED = JSON.parse(
  readFileSync(path.join(train, 'pretraining-lamb', 'config.json'), 'utf8'),
) as AlbertConfig;

const LABELS = ['labels', 'sop_labels', 'start_positions', 'end_positions'];

/** The inputs and labels among tensors whose names start with a prefix. */
function labelledInputs(tensors: Record<string, StoredTensor>, prefix = ''): LabelledInputs {
  const names = ['input_ids', 'attention_mask', 'token_type_ids', ...LABELS];
  const present = names.filter((name) => prefix + name in tensors);
  return Object.fromEntries(present.map((name) => [name, nest(tensors[prefix + name])])) as never;
}

interface Trajectory {
  hyperparameters: Record<string, never>;
  steps: { loss: number; grad_norm: number; learning_rate: number }[];
}

/** A trajectory's trainer and its batches by step. */
async function goldenTrainer(name: string, changes: Partial<TrainerOptions> = {}) {
  const folder = path.join(train, name);
  const about = JSON.parse(readFileSync(path.join(folder, 'trajectory.json'), 'utf8')) as Trajectory;
  const tensors = readSafetensors(path.join(folder, 'trajectory.safetensors'));
  const h = about.hyperparameters;
  const accumulate: number = h.accumulate;
  const options: TrainerOptions = {
    optimizer: h.optimizer,
    learningRate: h.learning_rate,
    warmupSteps: h.warmup_steps,
    totalSteps: h.total_steps,
    power: h.power,
    weightDecay: h.weight_decay,
    beta1: h.beta1,
    beta2: h.beta2,
    epsilon: h.epsilon,
    maxGradNorm: h.max_grad_norm,
    accumulate,
    ...changes,
  };
  const batches = (step: number) =>
    accumulate === 1
      ? labelledInputs(tensors, `step${step}.`)
      : Array.from({ length: accumulate }, (_, i) => labelledInputs(tensors, `step${step}.${i}.`));
  const model = await Albert.load(folder);
  return { trainer: new Trainer(model, options), model, about, tensors, batches };
}

function largestError(
  actual: ArrayLike<number>,
  truth: ArrayLike<number>,
): { error: number; largest: number } {
  let error = 0;
  let largest = 0;
  for (let i = 0; i < truth.length; i++) {
    error = Math.max(error, Math.abs(actual[i] - truth[i]));
    largest = Math.max(largest, Math.abs(truth[i]));
  }
  return { error, largest };
}

describe('backward', () => {
  const labelled = goldenModels.filter((name) => !name.startsWith('base'));
  test.each(labelled)('%s', async (name) => {
    const model = await Albert.load(goldenModel(name));
    const stored = readSafetensors(path.join(goldenModel(name), 'expect.safetensors'));
    const result = await model.backward(labelledInputs(stored));
    for (const [key, { data }] of Object.entries(stored)) {
      if (!key.startsWith('loss.')) continue;
      const value = key === 'loss.loss' ? result.loss : result.losses[key.slice(5)];
      expect(Math.abs(value / data[0] - 1)).toBeLessThan(LIMIT);
    }
    const gradients = Object.entries(stored).filter(([key]) => key.startsWith('grad.'));
    const scale = Math.max(...gradients.map(([, { data }]) => largestError(data, data).largest));
    for (const [key, { data, dims }] of gradients) {
      const gradient = result.gradients[key.slice(5)];
      expect(gradient.dims).toEqual(dims);
      const { error, largest } = largestError(gradient.data, data);
      expect([key, error / Math.max(largest, 1e-3 * scale) < LIMIT]).toEqual([key, true]);
    }
    expect(Object.keys(result.gradients).sort()).toEqual(
      model
        .parameters()
        .map(({ name }) => name)
        .sort(),
    );
    await model.dispose();
  });

  test('of several labels a sequence, each is from 0 to 1, whether the configuration says so or their form', async () => {
    for (const problem_type of ['multi_label_classification', null]) {
      const config = { ...DROPPED, num_labels: 3, problem_type };
      const model = await Albert.create(config, { head: 'sequence-classification' });
      const backward = (label: number) =>
        model.backward({ input_ids: [[2, 5, 3]], labels: [[label, 0, 0.5]] });
      expect((await backward(1)).loss).toBeGreaterThan(0);
      const error = await failure('INVALID_ARGUMENT', () => backward(5));
      expect(error.message).toMatch(/numbers from 0 to 1 for labels\[0\]/);
      await model.dispose();
    }
  });
});

describe('Trainer', () => {
  test.each(trajectories)('follows the golden trajectory %s, and its model follows it', async (name) => {
    const { trainer, model, about, tensors, batches } = await goldenTrainer(name);
    for (const [step, truth] of about.steps.entries()) {
      const result = await trainer.step(batches(step));
      expect(result.step).toBe(step);
      expect(Math.abs(result.loss / truth.loss - 1)).toBeLessThan(LIMIT);
      expect(Math.abs(result.grad_norm / truth.grad_norm - 1)).toBeLessThan(LIMIT);
      expect(result.learning_rate).toBeCloseTo(truth.learning_rate, 12);
    }
    for (const { name: parameter } of model.parameters()) {
      const truth = tensors[`final.${parameter}`].data;
      const { error, largest } = largestError((await model.parameter(parameter)).data, truth);
      // Gradients that are zero in theory: those tensors hold accumulated rounding.
      const rounding = /key\.bias|qa_outputs\.bias/.test(parameter);
      expect([parameter, error <= (rounding ? 1e-3 : LIMIT) * largest]).toEqual([parameter, true]);
    }
    await trainer.dispose();
    await model.dispose();
  });

  test('continues from every step bit-exactly, with dropout', async () => {
    const folder = temporaryFolder();
    const { batches } = await goldenTrainer('pretraining-lamb');
    const model = await Albert.create(
      { ...DROPPED, hidden_dropout_prob: 0.1, attention_probs_dropout_prob: 0.1 },
      { head: 'pretraining', seed: 3 },
    );
    const trainer = new Trainer(model, { learningRate: 0.02, totalSteps: 12, seed: 5 });
    await trainer.save(folder, { cursor: 0 });
    let last: unknown;
    for (let step = 0; step < 4; step++) {
      const resumed = await Trainer.resume(folder);
      expect(resumed.extra).toEqual({ cursor: step });
      const results = await Promise.all([trainer.step(batches(step)), resumed.step(batches(step))]);
      expect(results[0]).toEqual(results[1]);
      expect(results[0]).not.toEqual(last);
      last = results[0];
      for (const { name } of model.parameters()) {
        const [mine, other] = await Promise.all([model, resumed.model].map((m) => m.parameter(name)));
        expect(Buffer.compare(Buffer.from(mine.data.buffer), Buffer.from(other.data.buffer))).toBe(0);
      }
      await resumed.dispose();
      await trainer.save(folder, { cursor: step + 1 });
    }
  });

  // In a process of its own; each trainer takes some 60 MB. Where the collector does not know, it grows to three times the limit.
  test('trainers that nobody holds are collected before memory fills', () => {
    const script = `
      const { Albert, Trainer } = require(${JSON.stringify(root)});
      const config = { vocab_size: 2000, embedding_size: 128, hidden_size: 512, num_hidden_layers: 2, num_attention_heads: 8,
                       intermediate_size: 2048, max_position_embeddings: 64 };
      (async () => {
        let most = 0;
        for (let i = 0; i < 40; i++) {
          const model = await Albert.create(config, { head: 'masked-lm' });
          const trainer = new Trainer(model, { learningRate: 1, totalSteps: 1 });
          await trainer.step({ input_ids: [[2, 5, 3]], labels: [[-100, 5, -100]] });
          most = Math.max(most, process.memoryUsage().rss);
        }
        console.log(most / 1e6);
      })();`;
    const { stdout } = spawnSync(process.execPath, ['-e', script], { encoding: 'utf8' });
    expect(Number(stdout)).toBeGreaterThan(60);
    expect(Number(stdout)).toBeLessThan(450);
  });

  test('refuses a model that has nothing to train towards', async () => {
    const model = await Albert.load(goldenModel('base'));
    const make = () => new Trainer(model, { learningRate: 1, totalSteps: 1 });
    expect((await failure('INVALID_ARGUMENT', make)).message).toMatch(/a task head to train/);
    await model.dispose();
  });

  test('evaluates without changing anything', async () => {
    const { trainer, batches } = await goldenTrainer('sequence_classification-adamw');
    const batch = batches(0) as LabelledInputs;
    const before = await trainer.evaluate(batch);
    expect(before).toEqual(await trainer.evaluate(batch));
    expect(before.counts.loss).toBe(batch.input_ids.length);
    expect(before.hits.loss).toBeLessThanOrEqual(before.counts.loss);
    expect((await trainer.step(batch)).loss).toBe(before.loss);
  });

  test('a step and saves under way when it ends count', async () => {
    const { trainer, batches } = await goldenTrainer('pretraining-lamb');
    const { model } = trainer;
    const folder = temporaryFolder();
    const input = { input_ids: [[5, 6, 7]] };
    const before = (await model.forward(input)).prediction_logits!.data;
    await trainer.step(batches(0)); // at a rate of 0
    const step = trainer.step(batches(1));
    const saves = [1, 2, 3].map((extra) => trainer.save(folder, extra));
    await trainer.dispose();
    await Promise.all([step, ...saves]);
    const after = (await model.forward(input)).prediction_logits!.data;
    expect(Array.from(after)).not.toEqual(Array.from(before));
    const resumed = await Trainer.resume(folder);
    expect(resumed.extra).toBe(3);
    expect(Array.from((await resumed.model.forward(input)).prediction_logits!.data)).toEqual(
      Array.from(after),
    );
  });

  test('what is saved is of the moment it was asked for, whatever steps follow at once', async () => {
    const { trainer, model, batches } = await goldenTrainer('pretraining-lamb');
    const folder = temporaryFolder();
    await trainer.step(batches(0)); // at a rate of 0
    const [, , next] = await Promise.all([
      trainer.step(batches(1)),
      trainer.save(folder),
      trainer.step(batches(2)),
    ]);
    const resumed = await Trainer.resume(folder);
    const saved = await Albert.load(folder);
    const { name } = model.parameters()[0];
    const [state, file] = await Promise.all([resumed.model, saved].map((one) => one.parameter(name)));
    expect(Buffer.compare(Buffer.from(state.data.buffer), Buffer.from(file.data.buffer))).toBe(0);
    expect(await resumed.step(batches(2))).toEqual(next);
    for (const one of [trainer, model, resumed, resumed.model, saved]) await one.dispose();
  });

  test('a model is served and saved while steps follow each other, and an end is an end', async () => {
    const { trainer, model, batches } = await goldenTrainer('pretraining-lamb', { totalSteps: 1e6 });
    const input = { input_ids: [[5, 6, 7]] };
    const folder = temporaryFolder();
    let going = true;
    let steps = 0;
    const loop = (async () => {
      for (; going; steps++) await trainer.step(batches(0));
    })();
    const early = await failure('ABORTED', () => model.forward(input, { signal: AbortSignal.abort() }));
    expect(early.message).toContain('aborted by its signal');
    const first = steps;
    for (let i = 0; i < 5; i++) await model.forward(input);
    await model.backward({ ...(batches(0) as LabelledInputs) });
    await trainer.save(folder);
    await model.save(temporaryFolder());
    expect(steps).toBeGreaterThan(first);
    const end = trainer.dispose();
    await failure('DISPOSED', () => trainer.step(batches(0)));
    await failure('DISPOSED', () => loop);
    going = false;
    await end;
    const { prediction_logits } = await model.forward(input);
    expect(prediction_logits!.data.every(Number.isFinite)).toBe(true);
    await failure('INVALID_ARGUMENT', () => trainer.save(folder, 1n));
    await failure('DISPOSED', () => trainer.save(folder));
    await model.dispose();
  });

  test('of runs that are saved into one folder at once, the folder has one whole', async () => {
    const folder = temporaryFolder();
    const widths = [32, 48, 64];
    const models = await Promise.all(
      widths.map((hidden_size) => Albert.create({ ...DROPPED, hidden_size }, { head: 'pretraining' })),
    );
    const trainers = models.map((model) => new Trainer(model, { learningRate: 0.5, totalSteps: 10 }));
    for (let round = 0; round < 5; round++) {
      await Promise.all(trainers.map((trainer, i) => trainer.save(folder, widths[i])));
      const resumed = await Trainer.resume(folder);
      expect(resumed.model.config.hidden_size).toBe(resumed.extra);
      await resumed.dispose();
      await resumed.model.dispose();
    }
    for (const each of [...trainers, ...models]) await each.dispose();
  });

  test('the last of two trainers of a model counts, and a save that was asked for before its end is made', async () => {
    const { trainer, model, batches } = await goldenTrainer('pretraining-lamb', { warmupSteps: 0 });
    const other = new Trainer(model, { learningRate: 0.5, totalSteps: 10 });
    const weights = async () => Array.from((await model.parameter('albert.pooler.weight')).data);
    await trainer.step(batches(0));
    const waiting = [trainer.evaluate(batches(0) as LabelledInputs), weights()];
    await other.step(batches(0));
    const after = await weights();
    await Promise.all(waiting);
    expect(await weights()).toEqual(after);
    const folder = temporaryFolder();
    const saving = other.save(folder);
    const end = model.dispose();
    await saving;
    await end;
    await using saved = await Albert.load(folder, { head: 'pretraining' });
    expect(Array.from((await saved.parameter('albert.pooler.weight')).data)).toEqual(after);
    await trainer.dispose();
    await other.dispose();
  });

  test('stops with DIVERGED before anything changes', async () => {
    const { trainer, model, batches } = await goldenTrainer('pretraining-lamb', {
      learningRate: 1e30,
      warmupSteps: 0,
    });
    await trainer.step(batches(0));
    const weights = () => model.parameter('albert.pooler.weight');
    const before = await weights();
    const diverged = await failure('DIVERGED', () => trainer.step(batches(1)));
    expect(diverged.message).toMatch(/diverged after 1 steps: /);
    expect((await weights()).data).toEqual(before.data);
    const spoilt = await failure('DIVERGED', () => trainer.evaluate(batches(1) as LabelledInputs));
    expect(spoilt.message).toMatch(/diverged after 1 steps: the loss is /);
  });

  test('refuses what it cannot train on, and goes on', async () => {
    const { trainer, model, batches } = await goldenTrainer('pretraining-lamb');
    const good = batches(0) as LabelledInputs;
    const bad: [LabelledInputs, ErrorCode][] = [
      [{ ...good, labels: undefined }, 'INVALID_ARGUMENT'],
      [{ ...good, labels: [[1]] }, 'INVALID_ARGUMENT'],
      [{ ...good, labels: (good.labels as number[][]).map((row) => row.map(() => 97)) }, 'INVALID_ARGUMENT'],
      [{ ...good, sop_labels: [2, 0, 0] }, 'INVALID_ARGUMENT'],
      [
        { ...good, input_ids: (good.input_ids as number[][]).map((row) => row.map(() => 97)) },
        'OUT_OF_VOCABULARY',
      ],
    ];
    for (const [batch, code] of bad) await failure(code, () => trainer.step(batch));
    await failure('INVALID_ARGUMENT', () => trainer.step([good, good]));
    expect((await trainer.step(good)).step).toBe(0);
    expect(() => new Trainer(model, { learningRate: -1, totalSteps: 1 })).toThrow('learningRate');
    expect(() => new Trainer(model, { learningRate: 1 } as never)).toThrow('totalSteps');
    await trainer.dispose();
    await failure('DISPOSED', () => trainer.step(good));
  });

  test('trains a beam over answers on positions and on whether there is one', async () => {
    const model = await Albert.create(
      { ...DROPPED, initializer_range: 0.1 },
      { head: 'question-answering-beam' },
    );
    const batch = {
      input_ids: [
        [2, 7, 3, 8, 9, 10, 3],
        [2, 7, 3, 11, 3],
      ],
      token_type_ids: [
        [0, 0, 0, 1, 1, 1, 1],
        [0, 0, 0, 1, 1],
      ],
      start_positions: [3, 0],
      end_positions: [4, 0],
      is_impossible: [0, 1],
    };
    const exact = await model.backward(batch);
    expect(Object.keys(exact.losses)).toEqual(['answer_loss', 'impossible_loss']);
    expect(exact.losses.answer_loss + exact.losses.impossible_loss).toBeCloseTo(exact.loss, 12);
    const names = model.parameters().map(({ name }) => name);
    expect(names.slice(names.indexOf('start_logits.dense.weight'))).toEqual([
      'start_logits.dense.weight',
      'start_logits.dense.bias',
      'end_logits.dense_0.weight',
      'end_logits.dense_0.bias',
      'end_logits.LayerNorm.weight',
      'end_logits.LayerNorm.bias',
      'end_logits.dense_1.weight',
      'end_logits.dense_1.bias',
      'answer_class.dense_0.weight',
      'answer_class.dense_0.bias',
      'answer_class.dense_1.weight',
    ]);
    const trainer = new Trainer(model, {
      optimizer: 'adamw',
      learningRate: 0.001,
      totalSteps: 40,
      classifierDropout: 0.1,
    });
    await failure('INVALID_ARGUMENT', () => trainer.step({ ...batch, is_impossible: [0, 2] }));
    await failure('INVALID_ARGUMENT', () => trainer.step({ ...batch, is_impossible: undefined }));
    for (let step = 0; step < 40; step++) await trainer.step(batch);
    expect((await trainer.evaluate(batch)).loss).toBeLessThan(0.05);
    const { start_top_index, end_top_index, cls_logits } = await model.forward(batch);
    expect([start_top_index.row(0)[0], end_top_index.row(0)[0]]).toEqual([3, 4]);
    expect(Array.from(cls_logits.data, Math.sign)).toEqual([-1, 1]);
    await trainer.dispose();
    await model.dispose();
  });

  test('a damaged state falls back to the one before it, or says what is wrong', async () => {
    const folder = temporaryFolder();
    const { trainer, batches } = await goldenTrainer('pretraining-lamb');
    await trainer.save(folder, 'first');
    await trainer.step(batches(0));
    await trainer.save(folder, 'second');
    truncateSync(path.join(folder, 'training.safetensors'), 1000);
    const resumed = await Trainer.resume(folder, { weightDecay: undefined, optimizer: undefined });
    expect([resumed.extra, resumed.options]).toEqual(['first', trainer.options]);
    rmSync(path.join(folder, 'training.previous.safetensors'));
    await failure('CHECKPOINT', () => Trainer.resume(folder));
    await failure('CHECKPOINT', () => Trainer.resume(temporaryFolder()));
  });

  // The child saves without a pause; it is killed at a random moment.
  test('a killed process always leaves a whole checkpoint', async () => {
    const folder = temporaryFolder();
    const source = path.join(train, 'pretraining-lamb');
    const script = `
      const { Albert, Trainer } = require(${JSON.stringify(root)});
      (async () => {
        const trainer = new Trainer(await Albert.load(${JSON.stringify(source)}), { learningRate: 1, totalSteps: 1 });
        for (let i = 0; ; i++) {
          await trainer.save(${JSON.stringify(folder)}, i);
          if (i === 0) process.stdout.write('saved');
        }
      })();`;
    for (let round = 0; round < 20; round++) {
      const child: ChildProcess = spawn(process.execPath, ['-e', script], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      await new Promise((resolve) => child.stdout!.once('data', resolve));
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 40));
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGKILL');
      await ended;
      const trainer = await Trainer.resume(folder);
      expect(trainer.extra).toEqual(expect.any(Number));
      await trainer.dispose();
      await trainer.model.dispose();
    }
    expect(existsSync(path.join(folder, 'config.json'))).toBe(true);
  }, 120_000);
});
