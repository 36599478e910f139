/** pretrain() and its verb: runs from configuration alone, continues bit-exactly, logs, refuses, and stops on a signal. */
import { execFileSync, spawn } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import {
  Albert,
  type AlbertConfig,
  type AlbertError,
  pipeline,
  pretrain,
  type PretrainOptions,
  type PretrainProgress,
  Tokenizer,
  Trainer,
} from '../lib';
import { albert, main } from './support/cli';
import { root, temporaryFolder, vocabulary } from './support/data';
import { readJsonLines } from './support/datasets';
import { failure } from './support/errors';
import { VOCABULARY_SIZE } from './support/tiny';

const CONFIG: AlbertConfig = {
  embedding_size: 16,
  hidden_size: 32,
  num_hidden_layers: 3,
  num_attention_heads: 2,
  intermediate_size: 64,
  max_position_embeddings: 64,
  hidden_act: 'gelu_new',
  hidden_dropout_prob: 0.1,
  attention_probs_dropout_prob: 0.1,
};

const COLOURS = ['red', 'green', 'blue', 'white'];

/** Documents of sentences that repeat a pattern, so that a few steps are seen to learn. */
function writeCorpus(folder: string): string {
  const things = ['house', 'tree', 'river', 'road', 'bird'];
  const documents = Array.from({ length: 60 }, (_, d) =>
    Array.from({ length: 8 }, (_, s) => {
      const thing = things[(d + s) % things.length];
      return `The ${thing} in the valley is ${COLOURS[(d * 3 + s) % COLOURS.length]} today.`;
    }).join('\n'),
  );
  const file = path.join(folder, 'corpus.txt');
  writeFileSync(file, `${documents.join('\n\n')}\n`);
  return file;
}

function options(output: string, changes: Partial<PretrainOptions> = {}): PretrainOptions {
  return {
    corpus: writeCorpus(output),
    vocabulary,
    config: CONFIG,
    output: path.join(output, 'run'),
    cache: path.join(output, 'cache'),
    totalSteps: 12,
    batchSize: 8,
    maxLength: 32,
    learningRate: 0.01,
    warmupSteps: 2,
    holdOut: 0.1,
    evaluateEvery: 6,
    saveEvery: 5,
    seed: 3,
    ...changes,
  };
}

function logOf(output: string): Record<string, number>[] {
  return readJsonLines(path.join(output, 'run', 'log.jsonl'));
}

const bytesOf = (output: string) => readFileSync(path.join(output, 'run', 'model.safetensors'));

test('trains, evaluates, logs, and leaves a model that pipelines load', async () => {
  const output = temporaryFolder();
  const progress: PretrainProgress[] = [];
  const result = await pretrain(
    options(output, { totalSteps: 240, learningRate: 0.02, onProgress: (p) => progress.push(p) }),
  );
  expect(result.steps).toBe(240);
  expect(progress.map(({ step }) => step)).toEqual(Array.from({ length: 240 }, (_, i) => i + 1));
  expect(result.evaluation!.mlm_accuracy).toBeGreaterThan(0.2);
  expect(result.evaluation!.sop_accuracy).toEqual(expect.any(Number));
  const log = logOf(output);
  const steps = log.filter((line) => 'loss' in line);
  expect(steps.map(({ step }) => step)).toEqual(progress.map(({ step }) => step));
  expect(steps.at(-1)!.loss).toBeLessThan(steps[0].loss / 2);
  expect(log.filter((line) => 'evaluation' in line).map(({ step }) => step)).toEqual(
    Array.from({ length: 40 }, (_, i) => 6 * (i + 1)),
  );
  const unmask = await pipeline('fill-mask', path.join(output, 'run'));
  const guesses = await unmask('The house in the valley is [MASK] today.', { top_k: 5 });
  // Pieces of the corpus alone: which of them belongs here takes more steps than a test has.
  const corpus = readFileSync(path.join(output, 'corpus.txt'), 'utf8');
  for (const { token_str } of guesses.flat()) expect(corpus).toContain(token_str);
  await unmask.dispose();
});

test('a run goes on with its own vocabulary, configuration and held-out text alone', async () => {
  const output = temporaryFolder();
  await pretrain(options(output, { totalSteps: 4 }));
  const bytes = bytesOf(output);
  const other = path.join(output, 'other');
  mkdirSync(other);
  copyFileSync(path.join(root, 'models/albert-mini-en/spiece.model'), path.join(other, 'spiece.model'));
  const changes: [Partial<PretrainOptions>, RegExp][] = [
    [{ vocabulary: other }, /vocabulary of the run/],
    [{ config: { ...CONFIG, hidden_size: 64 } }, /whose hidden_size is 32, but received 64/],
    [{ config: { ...CONFIG, hidden_act: 'relu' } }, /whose hidden_act is gelu_new, but received relu/],
    [
      { config: { ...CONFIG, parameter_sharing: 'none' } },
      /whose parameter_sharing is all, but received none/,
    ],
    [{ holdOut: 0.3 }, /expected 0\.1, as the run/],
    [{ totalSteps: 3 }, /at least the 4 steps/],
  ];
  for (const [change, message] of changes) {
    const error = await failure('INVALID_ARGUMENT', () =>
      pretrain(options(output, { totalSteps: 8, ...change })),
    );
    expect(error.message).toMatch(message);
    expect(bytesOf(output).equals(bytes)).toBe(true);
  }
  expect((await pretrain(options(output, { totalSteps: 6 }))).steps).toBe(6);
});

test('defaults train on a corpus too small to hold anything out, with a loaded vocabulary', async () => {
  const output = temporaryFolder();
  const { corpus, cache } = options(output);
  const vocabularies = await Tokenizer.load(vocabulary);
  const run = path.join(output, 'run');
  const given = {
    corpus,
    cache,
    vocabulary: vocabularies,
    config: CONFIG,
    output: run,
    totalSteps: 2,
    batchSize: 4,
  };
  expect(await pretrain(given)).toEqual({ output: run, steps: 2, evaluation: null });
  expect(logOf(output).map(({ learning_rate }) => learning_rate)).toEqual([0.00176, 0.00088]);
  expect(existsSync(path.join(run, 'spiece.model'))).toBe(true);
  const asked = { ...given, output: `${run}2`, holdOut: 0.001 };
  expect((await failure('DATA', () => pretrain(asked))).message).toMatch(
    /hold out a share of 0.001.*that is none/,
  );
});

test('what is wrong with anything but the text is found before the text is read, and leaves nothing', async () => {
  const output = temporaryFolder();
  const wrong: [Partial<PretrainOptions>, RegExp][] = [
    [{ learningRate: -1 }, /for learningRate/],
    [{ totalSteps: undefined }, /for totalSteps/],
    [{ config: 'base-v9' }, /base-v9/],
    [{ config: undefined }, /a configuration, the name of a preset, or a model/],
    [{ config: 5 as never }, /a configuration, the name of a preset, or a model for config but received 5/],
    [{ vocabulary: 7 as never }, /for vocabulary/],
    [{ maxLength: 1 + CONFIG.max_position_embeddings! }, /an integer from 5 to \d+ for maxLength/],
  ];
  for (const [change, message] of wrong) {
    const given = options(output, { ...change, corpus: path.join(output, 'no such file') });
    expect((await failure('INVALID_ARGUMENT', () => pretrain(given))).message).toMatch(message);
    expect(existsSync(given.output)).toBe(false);
  }
});

test('a configuration that does not say how many positions it has is of 512', async () => {
  const output = temporaryFolder();
  const config = { ...CONFIG, max_position_embeddings: undefined };
  expect((await pretrain(options(output, { config, maxLength: 160, totalSteps: 1 }))).steps).toBe(1);
});

test('a model that is no run is not trained over', async () => {
  const output = temporaryFolder();
  const model = await Albert.create(
    { ...CONFIG, vocab_size: VOCABULARY_SIZE },
    { head: 'pretraining', seed: 1 },
  );
  const run = path.join(output, 'run');
  await model.save(run);
  const bytes = bytesOf(output);
  expect((await failure('INVALID_ARGUMENT', () => pretrain(options(output)))).message).toMatch(
    /holds one, and no run/,
  );
  const trainer = new Trainer(model, { learningRate: 0.01, totalSteps: 5 });
  await trainer.save(run, { a: 1 });
  expect((await failure('CHECKPOINT', () => pretrain(options(output)))).message).toMatch(
    /trainer of another kind/,
  );
  expect(bytesOf(output).equals(bytes)).toBe(true);
  await trainer.dispose();
  await model.dispose();
});

test('either state continues a run; without any, only one that has saved nothing yet begins again', async () => {
  const output = temporaryFolder();
  const given = options(output, { totalSteps: 2 });
  await pretrain(given);
  rmSync(path.join(given.output, 'training.safetensors'));
  expect((await pretrain(given)).steps).toBe(2);
  expect(logOf(output).filter((line) => 'loss' in line).length).toBeGreaterThan(2); // from the state before
  for (const name of ['training.safetensors', 'training.previous.safetensors'])
    rmSync(path.join(given.output, name));
  const bytes = bytesOf(output);
  const error = await failure('INVALID_ARGUMENT', () => pretrain(given));
  expect(error.message).toMatch(/holds one, and no run to continue/);
  expect(bytesOf(output).equals(bytes)).toBe(true);
  writeFileSync(path.join(given.output, 'log.jsonl'), ''); // as a run leaves it that was killed while it saved first
  expect((await pretrain(given)).steps).toBe(2);
});

test('one run at a time writes into a folder', async () => {
  const output = temporaryFolder();
  const given = options(output, { totalSteps: 4 });
  const outcome = (run: Promise<unknown>) =>
    run.then(() => null).catch((error: AlbertError) => error.message);
  // Two at once: one begins. Later ones come while it is at work, and while it ends: they are refused, or find it done.
  const later: Promise<string | null>[] = [];
  const onProgress = () => void later.push(outcome(pretrain(given)));
  const both = [1, 2].map(() => outcome(pretrain({ ...given, onProgress })));
  const refused = /expected a folder that no other run writes into/;
  expect((await Promise.all(both)).sort()).toEqual([expect.stringMatching(refused) as string, null]);
  expect(later).toHaveLength(4);
  for (const message of await Promise.all(later))
    expect(message ?? 'another run writes into').toMatch(/writes into/);
  expect(logOf(output).filter((line) => 'loss' in line)).toHaveLength(4);
  expect((await pretrain({ ...given, totalSteps: 5 })).steps).toBe(5);
});

test('what a killed run wrote of a line of its log goes', async () => {
  const output = temporaryFolder();
  const given = options(output, { totalSteps: 2 });
  await pretrain(given);
  const log = path.join(given.output, 'log.jsonl');
  const whole = readFileSync(log, 'utf8');
  writeFileSync(log, `${whole}{"step":3,"lo`);
  await pretrain({ ...given, totalSteps: 3 });
  const after = readFileSync(log, 'utf8');
  expect(after.startsWith(`${whole}{"step":3,"time":`)).toBe(true);
  expect(logOf(output).at(-1)).toMatchObject({ step: 3, evaluation: expect.any(Object) as object });
});

test('a run goes on with what it was started with where nothing else is asked for', async () => {
  const output = temporaryFolder();
  const given = options(output, { totalSteps: 2, accumulate: 2, holdOut: 0.2 });
  await pretrain(given);
  const other = options(temporaryFolder(), { totalSteps: 3, accumulate: 2, holdOut: 0.2 });
  await pretrain(other);
  const { corpus, vocabulary: pieces, output: run, cache } = given;
  expect((await pretrain({ corpus, vocabulary: pieces, output: run, cache, totalSteps: 3 })).steps).toBe(3);
  // The rate falls over the steps in all, which the second call changed; everything else is as in one go.
  const tokens = (folder: string) =>
    readJsonLines<{ tokens?: number }>(path.join(folder, 'log.jsonl'))
      .map((record) => record.tokens)
      .filter(Boolean);
  expect(tokens(run)).toEqual(tokens(other.output));
});

test('the vocabulary of a run is told by its contents, and named as models name it', async () => {
  const output = temporaryFolder();
  const words = path.join(output, 'words.txt');
  const letters = [...'abcdefghijklmnopqrstuvwxyz'].flatMap((letter) => [letter, `##${letter}`]);
  writeFileSync(words, ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', ...letters].join('\n'));
  const given = options(output, { totalSteps: 1, vocabulary: words });
  await pretrain(given);
  await (await pipeline('fill-mask', given.output)).dispose();
  const other = await failure('INVALID_ARGUMENT', () => pretrain({ ...given, totalSteps: 2, vocabulary }));
  expect(other.message).toMatch(/vocabulary of the run/);
  expect(existsSync(path.join(given.output, 'spiece.model'))).toBe(false);
  expect((await pretrain({ ...given, totalSteps: 2 })).steps).toBe(2);
});

test('settings beside a vocabulary go with it', async () => {
  const output = temporaryFolder();
  const own = path.join(output, 'vocabulary');
  mkdirSync(own);
  copyFileSync(vocabulary, path.join(own, 'spiece.model'));
  writeFileSync(path.join(own, 'tokenizer_config.json'), '{"do_lower_case": false}');
  await pretrain(options(output, { totalSteps: 1, vocabulary: path.join(own, 'spiece.model') }));
  expect(existsSync(path.join(output, 'run', 'tokenizer_config.json'))).toBe(true);
});

test('a run that was stopped and continued has the bits of one that was not', async () => {
  const [whole, parts] = [temporaryFolder(), temporaryFolder()];
  await pretrain(options(whole));
  for (const stop of [3, 7, 12]) {
    const interrupt = new AbortController();
    const onProgress = ({ step }: PretrainProgress) => step === stop && interrupt.abort();
    const result = await pretrain(options(parts, { signal: interrupt.signal, onProgress }));
    expect(result.steps).toBe(stop);
  }
  expect(bytesOf(parts).equals(bytesOf(whole))).toBe(true);
  const values = (output: string) =>
    logOf(output).map(({ step, loss, grad_norm }) => ({ step, loss, grad_norm }));
  expect(values(parts)).toEqual(values(whole));
});

const ABLATIONS: [string, Partial<PretrainOptions>][] = [
  ['NSP', { sentencePairs: 'nsp' }],
  ['no sentence pairs', { sentencePairs: 'none' }],
  ['nothing shared', { config: { ...CONFIG, parameter_sharing: 'none' } }],
  ['attention shared', { config: { ...CONFIG, parameter_sharing: 'attention' } }],
  ['feed-forward shared', { config: { ...CONFIG, parameter_sharing: 'feed_forward' } }],
  [
    'AdamW, bf16, recomputation and accumulation',
    { optimizer: 'adamw', dtype: 'bf16', recompute: true, accumulate: 2 },
  ],
];
test.each(ABLATIONS)('runs from configuration alone: %s', async (_, changes) => {
  const output = temporaryFolder();
  await pretrain(options(output, { totalSteps: 4, ...changes }));
  const losses = logOf(output)[0].losses as unknown as Record<string, number>;
  expect(Object.keys(losses)).toEqual(
    changes.sentencePairs === 'none' ? ['mlm_loss'] : ['mlm_loss', 'sop_loss'],
  );
  const model = await Albert.load(path.join(output, 'run'));
  expect(model.config.vocab_size).toBe(VOCABULARY_SIZE);
  await model.dispose();
});

test('continues another model with its weights', async () => {
  const output = temporaryFolder();
  await pretrain(options(output, { totalSteps: 4 }));
  const next = temporaryFolder();
  const model = path.join(output, 'run');
  await pretrain(options(next, { config: undefined, model, totalSteps: 1, warmupSteps: 1 }));
  expect(bytesOf(next).equals(bytesOf(output))).toBe(true); // the first step of a warm-up has rate 0
});

test('a diverging run ends with DIVERGED and keeps its last checkpoint', async () => {
  const output = temporaryFolder();
  await failure('DIVERGED', () =>
    pretrain(options(output, { learningRate: 1e30, warmupSteps: 3, saveEvery: 1 })),
  );
  const trainer = await Trainer.resume(path.join(output, 'run'));
  expect(trainer.extra).toMatchObject({ step: 1 }); // the update of the second step spoilt the weights
  const { loss } = await trainer.evaluate({
    input_ids: [[2, 5, 3]],
    labels: [[-100, 6, -100]],
    sop_labels: [0],
  });
  expect(loss).toBeLessThan(20);
  await trainer.dispose();
  await trainer.model.dispose();
});

test('refuses what it cannot start from', async () => {
  const output = temporaryFolder();
  await failure('INVALID_ARGUMENT', () => pretrain(options(output, { config: undefined })));
  await failure('DATA', () => pretrain(options(output, { corpus: path.join(output, 'none.txt') })));
  await failure('INVALID_ARGUMENT', () => pretrain(options(output, { totalSteps: 0 })));
  await failure('INVALID_CONFIG', () =>
    pretrain(options(output, { config: { ...CONFIG, hidden_size: 33 } })),
  );
});

describe('the verb', () => {
  const flags = (output: string, steps: number) => {
    const corpus = writeCorpus(output);
    const config = path.join(output, 'config.json');
    writeFileSync(config, `\ufeff${JSON.stringify(CONFIG)}`); // as some editors save it
    const text = `--corpus ${corpus} --vocabulary ${vocabulary} --config ${config} --output ${output}/run --cache ${output}/cache`;
    return [
      main,
      'pretrain',
      ...text.split(' '),
      '--steps',
      `${steps}`,
      '--batch-size',
      '8',
      '--max-length',
      '32',
      '--hold-out',
      '0.1',
    ];
  };

  test('prints what the model reached', () => {
    const output = temporaryFolder();
    const printed = execFileSync(process.execPath, flags(output, 3), { encoding: 'utf8' });
    expect(printed).toContain('3 of 3 steps');
    expect(printed).toMatch(/mlm_accuracy {2}0\.\d{4}/);
    const [, ...fewer] = flags(output, 2);
    expect(albert(fewer)).toMatchObject({
      status: 2,
      stderr: expect.stringMatching(/at least the 3 steps .* for --steps but received 2/) as string,
    });
  });

  test('goes on as the run began where flags are left out', async () => {
    const output = temporaryFolder();
    const [, ...first] = flags(output, 2);
    expect(
      albert([...first, '--seed', '5', '--learning-rate', '0.01', '--sentence-pairs', 'none']),
    ).toMatchObject({
      status: 0,
    });
    const needed = `--corpus ${output}/corpus.txt --vocabulary ${vocabulary} --output ${output}/run --cache ${output}/cache`;
    expect(albert(['pretrain', ...needed.split(' '), '--steps', '3'])).toMatchObject({ status: 0 });
    const trainer = await Trainer.resume(path.join(output, 'run'));
    expect(trainer.options).toMatchObject({ seed: 5, learningRate: 0.01, totalSteps: 3 });
    expect(trainer.extra).toMatchObject({
      step: 3,
      data: { batchSize: 8, maxLength: 32, sentencePairs: 'none' },
    });
    await trainer.dispose();
    await trainer.model.dispose();
  });

  test('Ctrl-C saves and exits, and the same command goes on', async () => {
    const output = temporaryFolder();
    const args = flags(output, 100_000);
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    let printed = '';
    child.stdout.on('data', (part: Buffer) => (printed += part.toString()));
    const ended = new Promise((resolve) => child.once('exit', resolve));
    for (let tries = 0; tries < 200; tries++) {
      await new Promise((resolve) => setTimeout(resolve, 100));
      try {
        if (logOf(output).length > 5) break;
      } catch {
        // not yet there
      }
    }
    child.kill('SIGINT');
    expect(await ended).toBe(130);
    const steps = Number(/(\d+) of 100000 steps/.exec(printed)![1]);
    expect(logOf(output).at(-1)!.step).toBe(steps);
    const more = execFileSync(process.execPath, [...args, '--steps', `${steps + 2}`], { encoding: 'utf8' });
    expect(more).toContain(`${steps + 2} of ${steps + 2} steps`);
  });
});
