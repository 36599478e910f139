/** Fine-tuning and evaluation: every kind of task learns, runs continue bit-exactly, the best is kept, and what reports hold. */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {
  Albert,
  type AlbertError,
  dryRun,
  evaluate,
  finetune,
  type FinetuneOptions,
  finetuneSeeds,
  pipeline,
  type TaskDescription,
  Trainer,
} from '../lib';
import { albert } from './support/cli';
import { temporaryFolder } from './support/data';
import { readJsonLines, write } from './support/datasets';
import { failure } from './support/errors';
import { labels, tinyModel } from './support/tiny';

const PEOPLE = ['Ann', 'Tom', 'Bob', 'Mary'];
const CITIES = ['London', 'Paris', 'Rome', 'Boston'];
const pick = <T>(list: T[], i: number) => list[i % list.length];

/** Good or bad, by one word; two genres. */
function reviews(folder: string): TaskDescription {
  const rows = (count: number) =>
    Array.from({ length: count }, (_, i) => {
      const [good, genre] = [i % 2 === 0, i % 3 === 0 ? 'short' : 'long'];
      const rest = genre === 'short' ? '' : ' for the people of the city';
      return JSON.stringify({
        text: `it was ${good ? 'good' : 'bad'} to ${pick(PEOPLE, i)}${rest}`,
        label: good ? 'good' : 'bad',
        genre,
      });
    });
  write(folder, 'train.jsonl', ...rows(60));
  write(folder, 'dev.jsonl', ...rows(18));
  return { type: 'classification', files: { train: 'train.jsonl', dev: 'dev.jsonl', test: 'dev.jsonl' } };
}

type Options = FinetuneOptions & { model: string };

async function options(changes: Partial<Options> = {}): Promise<Options> {
  const data = temporaryFolder();
  return {
    task: reviews(data),
    data,
    model: await tinyModel('base', { initializer_range: 0.1 }),
    output: path.join(temporaryFolder(), 'run'),
    steps: 40,
    batchSize: 10,
    learningRate: 0.002,
    warmupSteps: 4,
    evaluateEvery: 10,
    classifierDropout: 0,
    seed: 1,
    ...changes,
  };
}

describe('every kind of task learns what its data shows', () => {
  const tasks: [name: string, task: (folder: string) => TaskDescription, metric: string][] = [
    ['classification', reviews, 'accuracy'],
    [
      'multi-label',
      (folder) => {
        const rows = Array.from({ length: 48 }, (_, i) => {
          const names = [i % 2 ? 'good' : '', i % 3 ? 'cheap' : ''].filter((name) => name !== '');
          return `the house is ${names.join(' and ') || 'there'}\t${names.join(',')}`;
        });
        write(folder, 'data.tsv', 'text\tlabel', ...rows);
        return { type: 'multi-label', files: { train: 'data.tsv', dev: 'data.tsv' } };
      },
      'micro_f1',
    ],
    [
      'regression',
      (folder) => {
        const counted = ['no', 'one', 'two', 'three'];
        const rows = Array.from(
          { length: 48 },
          (_, i) => `there are ${pick(counted, i)} in ${pick(CITIES, i >> 2)}\t${i % 4}`,
        );
        write(folder, 'data.tsv', 'text\tlabel', ...rows);
        return { type: 'regression', files: { train: 'data.tsv', dev: 'data.tsv' } };
      },
      'pearson',
    ],
    [
      'tagging',
      (folder) => {
        const rows = Array.from({ length: 48 }, (_, i) => [
          `${pick(PEOPLE, i)}\tB-PER`,
          'was\tO',
          'in\tO',
          `${pick(CITIES, i >> 1)}\tB-LOC`,
          '',
        ]);
        write(folder, 'data.conll', ...rows.flat());
        return { type: 'tagging', files: { train: 'data.conll', dev: 'data.conll' } };
      },
      'span_f1',
    ],
    [
      'question-answering',
      (folder) => {
        const rows = Array.from({ length: 48 }, (_, i) => {
          const city = pick(CITIES, i);
          const context = `${pick(PEOPLE, i >> 2)} was in ${city} with the others`;
          return JSON.stringify({
            question: 'where was it?',
            context,
            answers: [{ text: city, answer_start: context.indexOf(city) }],
          });
        });
        write(folder, 'data.jsonl', ...rows);
        return { type: 'question-answering', files: { train: 'data.jsonl', dev: 'data.jsonl' } };
      },
      'f1',
    ],
    [
      'multiple-choice',
      (folder) => {
        const rows = Array.from({ length: 48 }, (_, i) =>
          JSON.stringify({
            context: 'they were there',
            choices: [0, 1, 2].map((c) => `it was ${c === i % 3 ? 'good' : 'bad'} in ${pick(CITIES, i + c)}`),
            label: i % 3,
          }),
        );
        write(folder, 'data.jsonl', ...rows);
        return { type: 'multiple-choice', files: { train: 'data.jsonl', dev: 'data.jsonl' } };
      },
      'accuracy',
    ],
  ];

  test.each(tasks)('%s', async (_, task, metric) => {
    const data = temporaryFolder();
    const given = await options({ task: task(data), data, steps: 300, evaluateEvery: 50 });
    const result = await finetune(given);
    const scale = metric === 'f1' ? 100 : 1;
    expect(result.metrics[metric]).toBeGreaterThan(0.9 * scale);
    // What was kept loads with its head and labels, and scores the same.
    const again = await evaluate({
      task: given.task,
      data,
      model: given.output,
      output: path.join(given.output, 'dev'),
    });
    expect(again.metrics).toEqual(result.metrics);
    const lines = readJsonLines(path.join(given.output, 'dev', 'predictions.jsonl'));
    expect(lines).toHaveLength(result.examples);
    for (const line of lines) expect(line).toHaveProperty('prediction');
  });
});

test('the head of the ALBERT release learns answers and that there is none', async () => {
  const data = temporaryFolder();
  const paragraphs = Array.from({ length: 48 }, (_, i) => {
    const city = pick(CITIES, i);
    const known = i % 3 > 0;
    const context = `${pick(PEOPLE, i >> 2)} was ${known ? `in ${city}` : 'not there'} with the others`;
    const answers = known ? [{ text: city, answer_start: context.indexOf(city) }] : [];
    const question = { id: `q${i}`, question: 'where was it?', answers, is_impossible: !known };
    return { context, qas: [question] };
  });
  for (const split of ['train', 'dev'])
    write(data, `${split}-v2.0.json`, JSON.stringify({ data: [{ paragraphs }] }));
  const given = await options({ task: 'squad-2.0-beam', data, steps: 300, evaluateEvery: 50 });
  const result = await finetune(given);
  expect(result.metrics.HasAns_f1).toBeGreaterThan(90);
  expect(result.metrics.NoAns_f1).toBeGreaterThan(90);

  const output = path.join(given.output, 'dev');
  const again = await evaluate({ task: 'squad-2.0-beam', data, model: given.output, output });
  expect(again.metrics).toEqual(result.metrics);
  const read = (name: string) =>
    JSON.parse(readFileSync(path.join(output, name), 'utf8')) as Record<string, unknown>;
  const [texts, odds] = [read('predictions.json'), read('null_odds.json')];
  expect([texts.q0, texts.q1]).toEqual(['', pick(CITIES, 1)]);
  expect(Number(odds.q0)).toBeGreaterThan(Number(odds.q1));
  const [best] = read('nbest_predictions.json').q1 as { start_logit: number; end_logit: number }[];
  expect(best.start_logit).toBeLessThanOrEqual(0);
  expect(best.end_logit).toBeLessThanOrEqual(0);

  const model = await Albert.load(given.output);
  expect([model.head, model.warnings]).toEqual(['question-answering-beam', []]);
  const outputs = await model.forward({
    input_ids: [
      [2, 14, 3, 15, 16, 17, 3],
      [2, 14, 3, 15, 3],
    ],
    token_type_ids: [
      [0, 0, 0, 1, 1, 1, 1],
      [0, 0, 0, 1, 1],
    ],
  });
  expect(outputs.start_top_index!.dims).toEqual([2, 5]);
  expect(outputs.end_top_log_probs!.dims).toEqual([2, 25]);
  expect(outputs.cls_logits!.dims).toEqual([2]);
  // Of the second, [CLS] and one token may be answers.
  expect(Array.from(outputs.start_top_log_probs!.row(1).subarray(2))).toEqual(
    Array.from(new Float32Array(3).fill(-1e30)),
  );
  expect(new Set(outputs.start_top_index!.row(1))).toEqual(new Set([0, 3]));
  await model.dispose();
  const untrained = given.model;
  await failure('CHECKPOINT', () => evaluate({ task: 'squad-2.0-beam', data, model: untrained }));
});

test('a fine-tuned folder serves a pipeline', async () => {
  const given = await options();
  await finetune(given);
  const classify = await pipeline('text-classification', given.output);
  expect((await classify('it was bad to Tom'))[0].label).toBe('bad');
  expect(classify.model.config).toMatchObject({
    problem_type: 'single_label_classification',
    id2label: { 0: 'bad', 1: 'good' },
  });
  await classify.dispose();
});

test('a head for other labels is drawn afresh, by the seed, when asked for', async () => {
  const folder = await tinyModel('sequence-classification', labels('a', 'b', 'c'));
  const two = { head: 'sequence-classification', config: labels('x', 'y') } as const;
  const error = await failure('CHECKPOINT', () => Albert.load(folder, two));
  expect(error.message).toMatch(/classifier\.weight' has shape \[3, 32\], expected \[2, 32\]/);
  const load = (seed: number) => Albert.load(folder, { ...two, ignore_mismatched_sizes: true, seed });
  const models = await Promise.all([load(1), load(1), load(2)]);
  expect(models[0].freshParameters).toEqual(['classifier.weight', 'classifier.bias']);
  const [a, b, c] = await Promise.all(models.map((model) => model.parameter('classifier.weight')));
  expect(a.data).toEqual(b.data);
  expect(a.data).not.toEqual(c.data);
  for (const model of models) await model.dispose();
});

const weightsOf = (folder: string) => readFileSync(path.join(folder, 'checkpoint', 'model.safetensors'));

test('a run that was stopped continues bit-exactly', async () => {
  const given = await options({ dropout: 0.1, classifierDropout: 0.1 });
  const whole = await finetune(given);
  const output = path.join(temporaryFolder(), 'run');
  const stop = new AbortController();
  const first = await finetune({
    ...given,
    output,
    signal: stop.signal,
    onProgress: ({ step }) => {
      if (step === 17) stop.abort();
    },
  });
  expect(first.steps).toBe(17);
  const resumed = await finetune({ ...given, output, resume: true });
  expect({ ...resumed, output: '' }).toEqual({ ...whole, output: '' });
  expect(weightsOf(output).equals(weightsOf(given.output))).toBe(true);
  expect(
    readFileSync(path.join(output, 'model.safetensors')).equals(
      readFileSync(path.join(given.output, 'model.safetensors')),
    ),
  ).toBe(true);
  const error = await failure('INVALID_ARGUMENT', () => finetune(given));
  expect(error.message).toMatch(/holds a run; resume it or choose another/);
});

test('one run at a time writes into a folder', async () => {
  const given = await options({ steps: 4, evaluateEvery: 4 });
  const outcome = (run: Promise<unknown>) =>
    run.then(() => null).catch((error: AlbertError) => error.message);
  // Two at once: one begins. One that would resume it while it is at work is refused before it has read anything.
  const later: Promise<string | null>[] = [];
  const onProgress = () => void later.push(outcome(finetune({ ...given, data: './nowhere', resume: true })));
  const both = [1, 2].map(() => outcome(finetune({ ...given, onProgress })));
  const refused = expect.stringMatching(/no other run writes into|holds a run/) as string;
  expect((await Promise.all(both)).sort()).toEqual([refused, null]);
  expect(later).toHaveLength(4);
  for (const message of await Promise.all(later))
    expect(message).toMatch(/one is at work in .*; wait for its end/);
  expect((await finetune({ ...given, steps: 5, resume: true })).steps).toBe(5);
});

test('a run that was stopped at the end of an epoch goes on with the next', async () => {
  const given = await options({ steps: undefined, epochs: 2 });
  const stop = new AbortController();
  const onProgress = ({ step, totalSteps }: { step: number; totalSteps: number }) =>
    2 * step === totalSteps && stop.abort();
  const { steps } = await finetune({ ...given, signal: stop.signal, onProgress });
  const resumed = await finetune({ ...given, resume: true });
  expect(resumed.steps).toBe(2 * steps);
  const whole = await finetune({ ...given, output: path.join(temporaryFolder(), 'run') });
  expect({ ...resumed, output: '' }).toEqual({ ...whole, output: '' });
});

test('scoring tells how far it is', async () => {
  const seen: object[] = [];
  const given = await options({ steps: 2, evaluateEvery: 1, onScoring: (progress) => seen.push(progress) });
  await finetune(given);
  const all = { done: 18, total: 18 };
  expect(seen).toEqual([all, all]); // one batch holds all texts
});

test('only the run that a folder holds is resumed', async () => {
  const given = await options({ steps: 2 });
  await finetune(given);
  const other = await failure('INVALID_ARGUMENT', () =>
    finetune({ ...given, resume: true, steps: 4, seed: 9 }),
  );
  expect(other.message).toMatch(/task, data, batch size and seed/);
  const model = given.model;
  const before = readFileSync(path.join(model, 'model.safetensors'));
  const foreign = await failure('INVALID_ARGUMENT', () =>
    finetune({ ...given, output: model, resume: true }),
  );
  expect(foreign.message).toMatch(/holds files but no run/);
  expect(readFileSync(path.join(model, 'model.safetensors')).equals(before)).toBe(true);
});

test('the best checkpoint stays, patience ends the run, and the log holds both', async () => {
  const given = await options({ steps: 400, evaluateEvery: 5, patience: 3 });
  const { step, steps, metrics } = await finetune(given);
  expect(steps).toBe(step + 15);
  const log = readJsonLines<{ step: number; evaluation?: { accuracy: number } }>(
    path.join(given.output, 'log.jsonl'),
  );
  const trained = log.filter((record) => !record.evaluation).map((record) => record.step);
  expect(trained).toEqual(Array.from({ length: steps }, (_, i) => i + 1));
  const evaluations = log.filter((record) => record.evaluation);
  const best = Math.max(...evaluations.map(({ evaluation }) => evaluation!.accuracy));
  expect(metrics.accuracy).toBe(best);
  expect(evaluations.find(({ evaluation }) => evaluation!.accuracy === best)!.step).toBe(step);
  expect(readFileSync(path.join(given.output, 'curves.svg'), 'utf8')).toContain('>accuracy</text>');
});

test('divergence goes back to the last checkpoint at half the rate, as often as allowed', async () => {
  const given = await options({ learningRate: 1e30, warmupSteps: 0, restarts: 2 });
  await failure('DIVERGED', () => finetune(given));
  const log = readFileSync(path.join(given.output, 'log.jsonl'), 'utf8');
  expect(log).toContain('after 1 divergences: a learning rate of 5e+29');
  expect(log).toContain('after 2 divergences: a learning rate of 2.5e+29');
  expect(existsSync(path.join(given.output, 'checkpoint', 'training.safetensors'))).toBe(true);
});

test('weights that the last step spoilt are not scored, saved or kept as the best', async () => {
  const given = await options({ learningRate: 1e30, warmupSteps: 0, steps: 1 });
  const { message } = await failure('DIVERGED', () => finetune(given));
  expect(message).toMatch(/^training diverged after 1 steps: the loss is /);
  expect(readdirSync(given.output).sort()).toEqual(['checkpoint', 'log.jsonl']);
  const trainer = await Trainer.resume(path.join(given.output, 'checkpoint'));
  expect(trainer.extra).toMatchObject({ step: 0, best: null });
  // At a rate that does no harm the run goes on.
  expect((await finetune({ ...given, learningRate: 0.001, resume: true })).steps).toBe(1);
});

test.each(['log.jsonl', 'result.json', 'curves.svg'])('%s that cannot be written is told', async (name) => {
  const given = await options({ steps: 2, evaluateEvery: 2 });
  const file = path.join(given.output, name);
  const onProgress = ({ step }: { step: number }) => {
    if (step > 1) return;
    rmSync(file, { force: true });
    mkdirSync(file);
  };
  const { message } = await failure('CHECKPOINT', () => finetune({ ...given, onProgress }));
  expect(message).toMatch(`expected a writable folder at ${given.output}: `);
});

test('a run that was restarted goes on by what it is asked for now, at its own rate', async () => {
  const given = await options({ steps: 2, evaluateEvery: 2, warmupSteps: 0 });
  await finetune(given);
  const checkpoint = path.join(given.output, 'checkpoint');
  const trainer = await Trainer.resume(checkpoint);
  await trainer.save(checkpoint, { ...(trainer.extra as object), restarts: 1 });
  await finetune({ ...given, steps: 4, resume: true });
  const rates = readJsonLines<{ learning_rate?: number }>(path.join(given.output, 'log.jsonl'))
    .map(({ learning_rate }) => learning_rate)
    .filter((rate) => rate !== undefined);
  // Half the rate, which falls to 0 over four steps.
  expect(rates).toEqual([0.002, 0.001, 0.0005, 0.00025].map((rate) => expect.closeTo(rate, 8) as number));
});

test('head-only steps and layer decay hold parameters back', async () => {
  const given = await options({ steps: 6, headOnlySteps: 3, evaluateEvery: 3, warmupSteps: 0 });
  const start = await Albert.load(given.model);
  const name = 'encoder.embedding_hidden_mapping_in.weight';
  const before = (await start.parameter(`albert.${name}`)).data;
  const stop = new AbortController();
  await finetune({ ...given, signal: stop.signal, onProgress: ({ step }) => step === 3 && stop.abort() });
  const held = await Albert.load(path.join(given.output, 'checkpoint'));
  expect((await held.parameter(`albert.${name}`)).data).toEqual(before);
  await finetune({ ...given, resume: true });
  const moved = await Albert.load(path.join(given.output, 'checkpoint'));
  expect((await moved.parameter(`albert.${name}`)).data).not.toEqual(before);
  const frozen = await options({
    steps: 3,
    layerDecay: 0,
    evaluateEvery: 3,
    warmupSteps: 0,
    model: given.model,
  });
  await finetune(frozen);
  const kept = await Albert.load(path.join(frozen.output, 'checkpoint'));
  expect((await kept.parameter(`albert.${name}`)).data).toEqual(before);
  for (const model of [start, held, moved, kept]) await model.dispose();
});

test('loaded models are fine-tuned and evaluated, and stay as they are', async () => {
  const given = await options({ steps: 10, evaluateEvery: 10 });
  const start = await Albert.load(given.model);
  const name = 'albert.encoder.embedding_hidden_mapping_in.weight';
  const before = (await start.parameter(name)).data;
  const result = await finetune({ ...given, model: start });
  expect((await start.parameter(name)).data).toEqual(before);
  expect(result).toEqual({
    ...(await finetune({ ...given, output: `${given.output}2` })),
    output: given.output,
  });
  expect(existsSync(path.join(given.output, 'spiece.model'))).toBe(true);
  const tuned = await Albert.load(given.output);
  const { task, data } = given;
  const output = path.join(given.output, 'scored');
  const seen: number[][] = [];
  const onProgress = ({ done, total }: { done: number; total: number }) => seen.push([done, total]);
  const scored = await evaluate({ task, data, model: tuned, output, onProgress });
  expect(seen.at(-1)).toEqual([18, 18]);
  expect(scored.metrics).toEqual(result.metrics);
  expect(scored.predictions).toBe(path.join(output, 'predictions.jsonl'));
  expect(readJsonLines(scored.predictions!)).toHaveLength(18);
  expect((await evaluate({ task, data, model: tuned })).predictions).toBeUndefined();
  const taken = path.join(given.output, 'taken');
  mkdirSync(path.join(taken, 'report.json'), { recursive: true });
  await failure('CHECKPOINT', () => evaluate({ task, data, model: tuned, output: taken }));
  const wrong = await failure('INVALID_ARGUMENT', () => evaluate({ task, data, model: start }));
  expect(wrong.message).toMatch(/head 'sequence-classification'.*but received 'base'/);
  for (const model of [start, tuned]) await model.dispose();
});

test('a run that was killed while it saved for the first time begins again', async () => {
  const given = await options({ steps: 4, evaluateEvery: 4 });
  write(given.output, 'checkpoint/model.safetensors', 'of somebody');
  const foreign = await failure('INVALID_ARGUMENT', () => finetune(given));
  expect(foreign.message).toMatch(/holds files but no run/);
  expect(readFileSync(path.join(given.output, 'checkpoint/model.safetensors'), 'utf8')).toBe('of somebody\n');
  writeFileSync(path.join(given.output, 'log.jsonl'), ''); // the mark
  expect((await finetune(given)).steps).toBe(4);
  const fewer = await failure('INVALID_ARGUMENT', () => finetune({ ...given, resume: true, steps: 3 }));
  expect(fewer.message).toMatch(/at least the 4 steps/);
});

test('seeds differ, and their mean and deviation are given', async () => {
  const given = await options({ steps: 4, evaluateEvery: 2 });
  const { runs, metrics, best } = await finetuneSeeds(given, [1, 2]);
  expect(runs[0].metrics.loss).not.toBe(runs[1].metrics.loss);
  const [a, b] = runs.map((run) => run.metrics.loss);
  expect(metrics.loss.mean).toBeCloseTo((a + b) / 2, 12);
  expect(metrics.loss.deviation).toBeCloseTo(Math.abs(a - b) / Math.SQRT2, 12);
  expect(runs.map(({ output }) => output)).toContain(best);
  await failure('INVALID_ARGUMENT', () => finetuneSeeds(given, []));
  const output = path.join(temporaryFolder(), 'twice');
  const twice = await failure('INVALID_ARGUMENT', () => finetuneSeeds({ ...given, output }, [3, 1, 3]));
  expect(twice.message).toMatch(/different seeds/);
  expect(existsSync(output)).toBe(false); // told before training, not after the first two
});

test('an abort begins no further seed, and runs without a score count for nothing', async () => {
  const given = await options({ steps: 8, evaluateEvery: 4 });
  const stop = new AbortController();
  const onProgress = ({ step }: { step: number }) => step === 2 && stop.abort();
  const first = await finetuneSeeds({ ...given, onProgress, signal: stop.signal }, [1, 2]);
  expect(first).toMatchObject({ runs: [{ steps: 2 }], metrics: {}, best: first.runs[0].output });
  const { runs, metrics } = await finetuneSeeds({ ...given, resume: true }, [1, 2]);
  expect(runs.map(({ steps }) => steps)).toEqual([8, 8]);
  expect(metrics.loss.mean).toBeCloseTo((runs[0].metrics.loss + runs[1].metrics.loss) / 2, 12);
});

test('reports hold slices and confusion', async () => {
  const given = await options({ slices: ['genre'] });
  const { confusion, slices, metrics } = await finetune(given);
  expect(confusion!.labels).toEqual(['bad', 'good']);
  expect(confusion!.counts.flat().reduce((a, b) => a + b)).toBe(18);
  const { long, short } = slices!.genre;
  expect([long.examples, short.examples]).toEqual([12, 6]);
  expect((12 * long.accuracy + 6 * short.accuracy) / 18).toBeCloseTo(metrics.accuracy, 12);
});

test('a run that is aborted before its first step leaves a state to resume', async () => {
  const given = await options({ steps: 2 });
  const { steps, step } = await finetune({ ...given, signal: AbortSignal.abort() });
  expect([steps, step]).toEqual([0, 0]);
  expect((await finetune({ ...given, resume: true })).steps).toBe(2);
});

test('a dry run shows numbers and encoded examples, and trains nothing', async () => {
  const given = await options();
  await failure('INVALID_ARGUMENT', () => dryRun(given, NaN));
  const checked = await dryRun(given, 2);
  expect(checked).toMatchObject({
    labels: ['bad', 'good'],
    train: { examples: 60 },
    dev: { examples: 18 },
    totalSteps: 40,
  });
  expect(checked.first.map(({ tokens }) => tokens[0])).toEqual(['[CLS]', '[CLS]']);
  expect(existsSync(given.output)).toBe(false);
});

test('labels in another order are matched by name', async () => {
  const data = temporaryFolder();
  const lines = [
    'index\tpremise\thypothesis\tlabel',
    ...PEOPLE.map(
      (name, i) => `${i}\t${name} was good\t${name} was bad\t${i % 2 ? 'entailment' : 'not_entailment'}`,
    ),
  ];
  write(data, 'RTE/dev.tsv', ...lines);
  write(data, 'RTE/test.tsv', ...lines.map((line) => line.split('\t').slice(0, 3).join('\t')));
  const forward = await tinyModel('sequence-classification', labels('entailment', 'not_entailment'));
  const backward = await tinyModel('sequence-classification', labels('not_entailment', 'entailment'));
  const output = path.join(data, 'out');
  const one = await evaluate({ task: 'rte', data, model: forward, output, split: 'test' });
  expect(one.metrics).toEqual({});
  const submission = readFileSync(path.join(output, 'RTE.tsv'), 'utf8').trim().split('\n');
  expect(submission).toHaveLength(5);
  const other = await evaluate({ task: 'rte', data, model: backward, output, split: 'test' });
  expect(other.files.map((file) => path.basename(file)).sort()).toEqual([
    'RTE.tsv',
    'predictions.jsonl',
    'report.json',
  ]);
  const swapped = readFileSync(path.join(output, 'RTE.tsv'), 'utf8').trim().split('\n');
  // The same outputs under exchanged names.
  const opposite = (line: string) =>
    line.endsWith('\tentailment') ? line.replace('\tent', '\tnot_ent') : line.replace('\tnot_', '\t');
  expect(swapped.slice(1)).toEqual(submission.slice(1).map(opposite));
  const wrong = await tinyModel('sequence-classification', labels('a', 'b'));
  expect(
    (await failure('INVALID_ARGUMENT', () => evaluate({ task: 'rte', data, model: wrong }))).message,
  ).toMatch(/with the labels of task 'rte', entailment/);
});

test('malformed data and wrong options stop before training', async () => {
  const given = await options();
  writeFileSync(
    path.join(given.data!, 'dev.jsonl'),
    '{"text":"x","label":"good"}\n{"text":"x","label":"fine"}\n',
  );
  const error = await failure('DATA', () => finetune(given));
  expect(error.message).toMatch(/dev\.jsonl:2: expected one of the labels 'bad', 'good' but received 'fine'/);
  expect(existsSync(given.output)).toBe(false);
  const right = await options();
  await failure('INVALID_ARGUMENT', () => finetune({ ...right, batchSize: 0 }));
  await failure('INVALID_ARGUMENT', () => finetune({ ...right, task: null as never }));
  await failure('INVALID_ARGUMENT', () => finetuneSeeds(undefined as never, [1]));
  await failure('INVALID_ARGUMENT', () => finetune({ ...right, patience: 0 }));
  const temporary = () => readdirSync(os.tmpdir()).filter((name) => name.startsWith('albert-finetune-'));
  const before = temporary();
  const model = await Albert.load(right.model);
  await failure('INVALID_ARGUMENT', () => finetune({ ...right, model, maxLength: 4 }));
  await model.dispose();
  expect(temporary()).toEqual(before);
  const weights = await failure('INVALID_ARGUMENT', () => finetune({ ...right, classWeights: [1, 2, 3] }));
  expect(weights.message).toMatch(/2 weights, one for each of bad, good,/);
  expect(existsSync(right.output)).toBe(false);
  const values: TaskDescription = { ...(right.task as TaskDescription), type: 'multi-label' };
  await failure('INVALID_ARGUMENT', () => finetune({ ...right, task: values, classWeights: 'balanced' }));
  const least: TaskDescription = { ...(right.task as TaskDescription), metrics: ['loss'] };
  await failure('INVALID_ARGUMENT', () => finetune({ ...right, task: least }));
  const bad: TaskDescription = { ...(right.task as TaskDescription), metrics: ['bleu'] };
  expect(
    (await failure('INVALID_ARGUMENT', () => finetune({ ...right, task: bad, output: `${right.output}-2` })))
      .message,
  ).toMatch(/expected one of 'accuracy', 'macro_f1'/);
});

describe('albert finetune and evaluate', () => {
  test('from a description to a report', async () => {
    const data = temporaryFolder();
    writeFileSync(path.join(data, 'reviews.json'), JSON.stringify(reviews(data)));
    const [task, model, output] = [
      path.join(data, 'reviews.json'),
      await tinyModel('base', { initializer_range: 0.1 }),
      path.join(data, 'out'),
    ];
    const common = ['--task', task, '--model', model, '--output', output];
    const dry = albert(['finetune', ...common, '--dry-run']);
    expect([dry.status, dry.stderr]).toEqual([0, '']);
    expect(dry.stdout).toMatch(/reviews: bad, good[^]*train +60[^]*\[CLS\]/);
    const run = albert([
      'finetune',
      ...common,
      '--steps',
      '40',
      '--batch-size',
      '10',
      '--learning-rate',
      '0.002',
      '--evaluate-every',
      '20',
      '--classifier-dropout',
      '0',
    ]);
    expect([run.status, run.stderr]).toEqual([0, '']);
    expect(run.stdout).toMatch(/the best of 40 steps is \d+[^]*accuracy[^]*taken for/);
    const evaluated = albert(['evaluate', '--task', task, '--model', output, '--json']);
    const scored = JSON.parse(evaluated.stdout) as { examples: number };
    expect(scored.examples).toBe(18);
    const again = albert(['finetune', ...common]);
    expect([again.status, again.stderr]).toEqual([2, expect.stringContaining('holds a run')]);
    expect(albert(['finetune', ...common, '--dropout', '1']).status).toBe(2);
    expect(albert(['evaluate', '--task', task, '--model', output, '--split', 'train2']).status).toBe(2);
  });
});
