/** Pre-training from text to a model: batches, steps, evaluations, checkpoints and a log, until a number of steps. */
import { appendFile, copyFile, mkdir, rm } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { Albert } from '../albert';
import { AlbertError } from '../errors';
import { abortSignal, integer, invalid, number, optionsObject, string } from '../options';
import { preset } from '../presets';
import { type AlbertConfig, findTokenizer, resolveFolder, TOKENIZER_FILES } from '../source';
import {
  type PretrainingBatch,
  type PretrainingCursor,
  type PretrainingDataOptions,
  PretrainingStream,
} from './batches';
import { STATE_FILE, type StepResult, Trainer, type TrainerOptions } from './trainer';

export interface PretrainOptions
  extends
    Omit<PretrainingDataOptions, 'vocabulary' | 'split' | 'spans' | 'epochs' | 'seed'>,
    Omit<TrainerOptions, 'classifierDropout'> {
  /** A vocabulary file, or a folder with one. */
  vocabulary: string;
  /** A configuration or the name of a preset; vocab_size follows the vocabulary. Not with `model`. */
  config?: AlbertConfig | string;
  /** A model whose weights training starts from. */
  model?: string;
  /** The folder for the model, its checkpoints and the log; a run that it holds is continued. */
  output: string;
  /** Of weights, data and dropout. Default 0. */
  seed?: number;
  /** Steps between evaluations on held-out text. Default 500. */
  evaluateEvery?: number;
  /** Batches of an evaluation. Default 20. */
  evaluationBatches?: number;
  /** Steps between checkpoints. Default 500. */
  saveEvery?: number;
  /** Minutes after which a checkpoint is due in any case. Default 10. */
  saveMinutes?: number;
  /** Ends early, after the step under way; the state is saved. */
  signal?: AbortSignal;
  onProgress?: (progress: PretrainProgress) => void;
}

export interface PretrainProgress {
  /** Steps done, and in all. */
  step: number;
  totalSteps: number;
  loss: number;
  losses: Record<string, number>;
  learning_rate: number;
  tokens_per_second: number;
  /** Until the last step, at the present speed. */
  seconds_left: number;
  /** The latest one, if any. */
  evaluation: PretrainEvaluation | null;
}

/** On held-out text, whose masks are the same every time. */
export interface PretrainEvaluation {
  mlm_loss: number;
  mlm_accuracy: number;
  /** Absent without sentence pairs. */
  sop_loss?: number;
  sop_accuracy?: number;
}

export interface PretrainResult {
  output: string;
  /** Steps done in all; fewer than totalSteps when the signal ended it. */
  steps: number;
  evaluation: PretrainEvaluation | null;
}

/** What a checkpoint adds to the trainer's state. */
interface Progress {
  cursor: PretrainingCursor;
  tokens: number;
  seconds: number;
}

const LOG_FILE = 'log.jsonl';

async function installVocabulary(vocabulary: string, output: string): Promise<void> {
  const isFile = /\.(model|json|txt)$/.test(vocabulary) && existsSync(vocabulary);
  if (isFile) {
    const name = vocabulary.endsWith('.model') ? 'spiece.model' : path.basename(vocabulary);
    if (path.resolve(vocabulary) !== path.resolve(output, name))
      await copyFile(vocabulary, path.join(output, name));
    return;
  }
  const folder = await resolveFolder(vocabulary);
  if (!(await findTokenizer(folder))) {
    throw new AlbertError('TOKENIZER', `expected spiece.model, tokenizer.json or vocab.txt in ${folder}`);
  }
  if (path.resolve(folder) === path.resolve(output)) return;
  for (const name of TOKENIZER_FILES) {
    if (existsSync(path.join(folder, name))) await copyFile(path.join(folder, name), path.join(output, name));
  }
}

async function startingModel(
  options: Partial<PretrainOptions>,
  vocabSize: number,
  seed: number,
): Promise<Albert> {
  const { threads, isa } = options;
  if (options.model !== undefined) {
    if (options.config !== undefined)
      throw invalid('either a model or a configuration', 'config', options.config);
    const model = await Albert.load(options.model, { head: 'pretraining', threads, isa });
    if (model.config.vocab_size !== vocabSize) {
      throw new AlbertError(
        'INVALID_CONFIG',
        `expected a vocabulary of ${model.config.vocab_size} pieces, as the model has, but received ${vocabSize}`,
      );
    }
    return model;
  }
  const given = options.config;
  if (given === undefined)
    throw invalid('a configuration, the name of a preset, or a model', 'config', given);
  const config = { ...(typeof given === 'string' ? preset(given) : given), vocab_size: vocabSize };
  return Albert.create(config, { head: 'pretraining', seed, threads, isa });
}

/** The means over an evaluation's batches, each label counting alike. */
async function evaluate(trainer: Trainer, batches: PretrainingBatch[]): Promise<PretrainEvaluation> {
  const sums = new Map<string, { loss: number; hits: number; count: number }>();
  for (const batch of batches) {
    const { losses, counts, hits } = await trainer.evaluate(batch);
    for (const [name, count] of Object.entries(counts)) {
      const sum = sums.get(name) ?? { loss: 0, hits: 0, count: 0 };
      sums.set(name, {
        loss: sum.loss + losses[name] * count,
        hits: sum.hits + hits[name],
        count: sum.count + count,
      });
    }
  }
  const values = [...sums].flatMap(([name, { loss, hits, count }]): [string, number][] => [
    [name, loss / count],
    [name.replace('loss', 'accuracy'), hits / count],
  ]);
  return Object.fromEntries(values) as unknown as PretrainEvaluation;
}

/** The same held-out batches at every evaluation. */
async function evaluationBatches(data: PretrainingDataOptions, count: number): Promise<PretrainingBatch[]> {
  if (!data.holdOut) return [];
  const stream = await PretrainingStream.open({ ...data, split: 'evaluation', epochs: 1 });
  const batches: PretrainingBatch[] = [];
  while (batches.length < count) {
    const batch = await stream.next();
    if (!batch) break;
    batches.push(batch);
  }
  return batches;
}

/**
 * Pre-trains a model with masked n-grams and sentence order, or continues the run that `output` holds, bit for bit as if it had
 * not stopped. Writes the model, its vocabulary, the state of the run and log.jsonl (one JSON object a step or evaluation).
 * @throws AlbertError DIVERGED when the loss is no longer finite: the last checkpoint stays. DATA, INVALID_ARGUMENT,
 *   INVALID_CONFIG, TOKENIZER or CHECKPOINT for what cannot be read or written.
 */
export async function pretrain(options: PretrainOptions): Promise<PretrainResult> {
  const given = optionsObject<PretrainOptions>('options', options);
  const output = path.resolve(string('output', given.output));
  const vocabulary = string('vocabulary', given.vocabulary);
  const signal = abortSignal(given.signal);
  const seed = integer('seed', given.seed, { min: 0 }, 0);
  const accumulate = integer('accumulate', given.accumulate, { min: 1 }, 1);
  const evaluateEvery = integer('evaluateEvery', given.evaluateEvery, { min: 1 }, 500);
  const evaluations = integer('evaluationBatches', given.evaluationBatches, { min: 1 }, 20);
  const saveEvery = integer('saveEvery', given.saveEvery, { min: 1 }, 500);
  const saveMinutes = number('saveMinutes', given.saveMinutes, { min: 0 }, 10);
  const data = {
    ...given,
    seed,
    signal: undefined,
    holdOut: given.holdOut ?? 0.01,
  } as PretrainingDataOptions;

  await mkdir(output, { recursive: true });
  await installVocabulary(vocabulary, output);
  const stream = await PretrainingStream.open({ ...data, split: 'train' });
  const held = await evaluationBatches(data, evaluations);

  const trainerOptions = pickTrainerOptions({ ...given, seed });
  const log = path.join(output, LOG_FILE);
  let trainer: Trainer;
  let done: Progress = { cursor: stream.cursor, tokens: 0, seconds: 0 };
  let step = 0;
  if (existsSync(path.join(output, STATE_FILE))) {
    const resumed = await Trainer.resume(output, trainerOptions);
    trainer = resumed.trainer;
    ({ step, ...done } = resumed.extra as Progress & { step: number });
    stream.seek(done.cursor);
  } else {
    const model = await startingModel(given, stream.tokenizer.vocabSize, seed);
    trainer = new Trainer(model, trainerOptions);
    await rm(log, { force: true });
  }

  const totalSteps = trainerOptions.totalSteps;
  const write = (record: object) => appendFile(log, `${JSON.stringify(record)}\n`);
  const save = () => trainer.save(output, { step, ...done });
  let evaluation: PretrainEvaluation | null = null;
  const assess = async () => {
    if (held.length === 0) return;
    evaluation = await evaluate(trainer, held);
    await write({ step, evaluation });
  };

  const takeBatches = async (): Promise<{ batches: PretrainingBatch[]; cursor: PretrainingCursor }> => {
    const batches: PretrainingBatch[] = [];
    while (batches.length < accumulate) {
      const batch = await stream.next();
      if (!batch) throw new AlbertError('DATA', 'expected text enough for one batch but the corpus has none');
      batches.push(batch);
    }
    return { batches, cursor: stream.cursor };
  };

  try {
    let saved = performance.now();
    let upcoming = takeBatches();
    while (step < totalSteps && !signal?.aborted) {
      const { batches, cursor } = await upcoming;
      upcoming = takeBatches(); // made while the step runs
      upcoming.catch(() => {}); // reported when it is awaited
      const begin = performance.now();
      const result: StepResult = await trainer.step(batches.length === 1 ? batches[0] : batches);
      const seconds = (performance.now() - begin) / 1e3;
      step++;
      done = { cursor, tokens: done.tokens + result.tokens, seconds: done.seconds + seconds };
      const { loss, losses, grad_norm, learning_rate } = result;
      const tokens_per_second = Math.round(result.tokens / seconds);
      const time = Number(done.seconds.toFixed(2));
      await write({
        step: result.step,
        time,
        tokens: done.tokens,
        loss,
        losses,
        grad_norm,
        learning_rate,
        tokens_per_second,
      });
      if (step % evaluateEvery === 0 || step === totalSteps) await assess();
      if (step % saveEvery === 0 || performance.now() - saved > saveMinutes * 60e3) {
        await save();
        saved = performance.now();
      }
      const seconds_left = (done.seconds / step) * (totalSteps - step);
      given.onProgress?.({
        step,
        totalSteps,
        loss,
        losses,
        learning_rate,
        tokens_per_second,
        seconds_left,
        evaluation,
      });
    }
    await upcoming.catch(() => {});
    await save();
  } finally {
    await trainer.dispose();
    await trainer.model.dispose();
  }
  return { output, steps: step, evaluation };
}

const TRAINER_OPTIONS = [
  'optimizer',
  'learningRate',
  'warmupSteps',
  'totalSteps',
  'power',
  'weightDecay',
  'beta1',
  'beta2',
  'epsilon',
  'maxGradNorm',
  'accumulate',
  'seed',
  'dtype',
  'recompute',
  'threads',
  'isa',
] as const;

function pickTrainerOptions(options: Partial<PretrainOptions>): TrainerOptions {
  const present = TRAINER_OPTIONS.filter((name) => options[name] !== undefined);
  return Object.fromEntries(present.map((name) => [name, options[name]])) as unknown as TrainerOptions;
}
