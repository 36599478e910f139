/** What a fine-tuning goes by: data read and encoded, the model, and all defaults filled in. */
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { Albert } from '../albert';
import { AlbertError } from '../errors';
import type { CheckpointOptions, DeviceChoice } from '../load-options';
import {
  callback,
  integer,
  invalid,
  type Names,
  number,
  oneOf,
  optionsObject,
  pick,
  string,
  strings,
} from '../options';
import type { RunProgress } from '../pipelines/run';
import { encodingLimits, type EvaluateOptions, isLabelled } from '../tasks/evaluate';
import { findTask, type TaskDescription } from '../tasks';
import type { Example, Feature, Scores, Task, TrainingDefaults } from '../tasks/task';
import { type BatchSize, epochBatches } from './minibatches';
import type { StepProgress } from './steps';
import { PASSED_ON, type RateRule, type TrainerOptions } from './trainer-options';

export interface FinetuneOptions
  extends
    Partial<Omit<TrainerOptions, 'accumulate' | 'rates' | 'classWeights' | 'totalSteps'>>,
    Pick<EvaluateOptions, 'maxLength' | 'docStride' | 'maxQuestionLength' | 'maxAnswerLength' | 'slices'> {
  /** A built-in task, a description, or the path of one. */
  task: string | TaskDescription;
  /** The folder of the data. */
  data?: string;
  /** The model to start from: a folder, a name, or a loaded model, which stays as it is. */
  model: string | Albert;
  /** The folder for the best checkpoint, the log, the scores and the state of the run. */
  output: string;
  /** Examples of a step. Default: the task's. */
  batchSize?: number;
  /** Tokens of a step at most, in place of a number of examples: batches then hold examples of similar length. */
  batchTokens?: number;
  /** Passes over the training examples, in place of steps. */
  epochs?: number;
  /** Steps in all. Default: the task's. */
  steps?: number;
  /** Of the encoder: hidden states and attention. Default: the task's, or the model's configuration. */
  dropout?: number;
  /** Each layer group has this share of the learning rate of the one above it, the embeddings the lowest. Default 1. */
  layerDecay?: number;
  /** Steps in which the head alone is trained. Default 0. */
  headOnlySteps?: number;
  /** A weight for each label, or 'balanced': inverse to their numbers. */
  classWeights?: number[] | 'balanced';
  /** Steps between evaluations. Default: twice an epoch. */
  evaluateEvery?: number;
  /** Evaluations without a better score after which training ends. Default: never. */
  patience?: number;
  /** Restarts from the last checkpoint, at half the rate, when training diverges. Default 0. */
  restarts?: number;
  /** Continue the run that `output` holds. Default false: it must not hold one. */
  resume?: boolean;
  signal?: AbortSignal;
  onProgress?: (progress: FinetuneProgress) => void;
  /** Told of the texts done while the development split is scored. */
  onScoring?: (progress: RunProgress) => void;
}

export const FINETUNE_OPTIONS: Names<FinetuneOptions> = {
  ...PASSED_ON,
  optimizer: true,
  learningRate: true,
  warmupSteps: true,
  classifierDropout: true,
  task: true,
  data: true,
  model: true,
  output: true,
  batchSize: true,
  batchTokens: true,
  epochs: true,
  steps: true,
  dropout: true,
  layerDecay: true,
  headOnlySteps: true,
  classWeights: true,
  evaluateEvery: true,
  patience: true,
  restarts: true,
  resume: true,
  slices: true,
  maxLength: true,
  docStride: true,
  maxQuestionLength: true,
  maxAnswerLength: true,
  signal: true,
  onProgress: true,
  onScoring: true,
};

export interface FinetuneProgress extends StepProgress {
  /** The latest scores on the development split, and the best value of the first of them. */
  metrics: Scores | null;
  best: number | null;
}

/** What a run goes by, all defaults filled in. */
export interface Plan {
  task: Task;
  train: Example[];
  dev: Example[];
  model: Albert;
  features: Feature[];
  devFeatures: Feature[];
  lengths: number[];
  batchSize: BatchSize;
  seed: number;
  totalSteps: number;
  evaluateEvery: number;
  trainer: TrainerOptions;
  /** Removes what was written on the way. */
  cleanUp: () => Promise<void>;
}

// Rates above this made models of this width diverge (google-research/albert, issue 29, and its README).
const LARGE_HIDDEN_SIZE = 2048;
const LARGE_LEARNING_RATE = 1e-5;

/** Rate rules of layer-wise decay and of training the head alone at first. */
function rateRules(model: Albert, decay: number, headOnlySteps: number): RateRule[] {
  if (decay === 1 && headOnlySteps === 0) return [];
  const group = /albert_layer_groups\.(\d+)\./;
  const names = model.parameters().map(({ name }) => name);
  const groups = 1 + Math.max(0, ...names.map((name) => Number(group.exec(name)?.[1] ?? 0)));
  const rules = Array.from({ length: groups }, (_, g) => ({
    prefix: `albert.encoder.albert_layer_groups.${g}.`,
    factor: decay ** (groups - g),
    from: headOnlySteps,
  }));
  const pooler = { prefix: 'albert.pooler.', from: headOnlySteps };
  return [
    ...rules,
    ...(names.some((name) => name.startsWith(pooler.prefix)) ? [pooler] : []),
    { prefix: 'albert.', factor: decay ** (groups + 1), from: headOnlySteps },
  ];
}

/** A weight a label, where the task has one label a text or word. */
function labelWeights(given: FinetuneOptions['classWeights'], task: Task, examples: Example[]) {
  if (given === undefined) return undefined;
  if (!task.kind.outcome && task.kind.head !== 'token-classification')
    throw invalid(
      `no weights, as examples of '${task.name}' have not one label each,`,
      'classWeights',
      given,
    );
  if (given !== 'balanced') {
    if (!Array.isArray(given) || given.length !== task.labels.length)
      throw invalid(
        `${task.labels.length} weights, one for each of ${task.labels.join(', ')},`,
        'classWeights',
        given,
      );
    return given;
  }
  const counts = task.labels.map(() => 0);
  for (const example of examples) {
    const { label, tags } = example as { label?: number; tags?: number[] };
    for (const index of tags ?? [label!]) counts[index]++;
  }
  const total = counts.reduce((sum, count) => sum + count, 0);
  return counts.map((count) => (count === 0 ? 0 : total / (task.labels.length * count)));
}

function encoderDropout(options: Partial<FinetuneOptions>, task: Task) {
  const dropout = options.dropout ?? task.defaults.dropout;
  if (dropout === undefined) return {};
  number('dropout', dropout, { min: 0, max: 0.99 });
  return { hidden_dropout_prob: dropout, attention_probs_dropout_prob: dropout };
}

/** Steps in all: as many as asked for, or as epochs or the task's defaults make. */
function stepsOf(
  { steps, epochs }: Partial<FinetuneOptions>,
  defaults: TrainingDefaults,
  perEpoch: number,
): number {
  if (steps !== undefined && epochs !== undefined)
    throw invalid('no epochs, as steps are given,', 'epochs', epochs);
  if (steps !== undefined) return integer('steps', steps, { min: 1 }, 1);
  if (epochs === undefined && defaults.steps !== undefined) return defaults.steps;
  return Math.max(1, Math.round(number('epochs', epochs, { min: 0.001 }, defaults.epochs) * perEpoch));
}

function batchSizeOf(
  { batchSize, batchTokens }: Partial<FinetuneOptions>,
  defaults: TrainingDefaults,
): BatchSize {
  if (batchSize !== undefined && batchTokens !== undefined)
    throw invalid('no batchSize, as batchTokens are given,', 'batchSize', batchSize);
  if (batchTokens !== undefined) return { tokens: integer('batchTokens', batchTokens, { min: 1 }, 1) };
  return { examples: integer('batchSize', batchSize, { min: 1 }, defaults.batchSize) };
}

/** The trainer's options: the caller's, else the task's, else those of the release. */
function trainerOptions(
  options: Partial<FinetuneOptions>,
  { task, train, model, totalSteps }: Pick<Plan, 'task' | 'train' | 'model' | 'totalSteps'>,
): TrainerOptions {
  const { learningRate, warmup } = task.defaults;
  const large = Number(model.config.hidden_size) >= LARGE_HIDDEN_SIZE;
  const usualRate = large ? Math.min(LARGE_LEARNING_RATE, learningRate) : learningRate;
  const usualWarmup = Math.round(warmup * totalSteps);
  const layerDecay = number('layerDecay', options.layerDecay, { min: 0, max: 1 }, 1);
  const headOnlySteps = integer('headOnlySteps', options.headOnlySteps, { min: 0 }, 0);
  return {
    optimizer: oneOf('optimizer', options.optimizer, ['adamw', 'lamb'] as const, 'adamw'),
    learningRate: number('learningRate', options.learningRate, { min: 0 }, usualRate),
    warmupSteps: integer('warmupSteps', options.warmupSteps, { min: 0 }, usualWarmup),
    totalSteps,
    classifierDropout: number('classifierDropout', options.classifierDropout, { min: 0, max: 0.99 }, 0.1),
    rates: rateRules(model, layerDecay, headOnlySteps),
    classWeights: labelWeights(options.classWeights, task, train),
    ...pick(options, PASSED_ON),
  };
}

/** The model to start from with the head of the task. One in memory is saved first, for its weights may be nowhere else. */
async function startFrom(
  source: unknown,
  options: CheckpointOptions,
): Promise<Pick<Plan, 'model' | 'cleanUp'>> {
  if (!(source instanceof Albert))
    return { model: await Albert.load(string('model', source), options), cleanUp: async () => {} };
  void source.tokenizer; // throws where there is none
  const place = { threads: source.threads, device: source.device as DeviceChoice };
  const folder = await mkdtemp(path.join(os.tmpdir(), 'albert-finetune-'));
  const cleanUp = () => rm(folder, { recursive: true, force: true });
  try {
    await source.save(folder);
    return { model: await Albert.load(folder, { ...place, ...options }), cleanUp };
  } catch (error) {
    await cleanUp();
    throw error;
  }
}

/** @throws AlbertError DATA: a batch has as many choices in each example. */
function checkChoices(task: Task, examples: Example[], features: Feature[]): void {
  if (task.kind.head !== 'multiple-choice') return;
  const [{ sequences: first }] = features;
  const other = features.find(({ sequences }) => sequences.length !== first.length);
  if (!other) return;
  throw new AlbertError(
    'DATA',
    `expected ${first.length} choices in every training example, as in the first, but '${examples[other.example].id}' has ${other.sequences.length}`,
  );
}

/** Reads and encodes everything; whatever is wrong with the data shows here, before training starts. */
export async function prepare(options: Partial<FinetuneOptions>): Promise<Plan> {
  const slices = options.slices === undefined ? [] : strings('slices', options.slices);
  const seed = integer('seed', options.seed, { min: 0 }, 0);
  if (options.task === undefined) throw invalid('a task', 'task', options.task);
  const { task, folder } = await findTask(options.task, options.data);
  const train = await task.read(folder, 'train', []);
  const dev = await task.read(folder, 'dev', slices);
  if (!isLabelled(train) || !isLabelled(dev))
    throw new AlbertError(
      'DATA',
      `expected labels for every example of ${folder} to train on and to evaluate with`,
    );
  integer('patience', options.patience, { min: 1 }, 1);
  integer('restarts', options.restarts, { min: 0 }, 0);
  integer('maxAnswerLength', options.maxAnswerLength, { min: 1 }, 1);
  callback('onProgress', options.onProgress);
  callback('onScoring', options.onScoring);
  const { model, cleanUp } = await startFrom(options.model, {
    head: task.kind.head,
    config: { ...task.kind.config(task), ...encoderDropout(options, task), finetuning_task: task.name },
    ignore_mismatched_sizes: true,
    seed,
    ...pick(options, { threads: true, isa: true, device: true }),
  });
  try {
    const encoded = await encodeAll(options, { task, train, dev, model, seed });
    return { task, train, dev, model, seed, cleanUp, ...encoded };
  } catch (error) {
    await model.dispose();
    await cleanUp();
    throw error;
  }
}

async function encodeAll(
  options: Partial<FinetuneOptions>,
  { task, train, dev, model, seed }: Pick<Plan, 'task' | 'train' | 'dev' | 'model' | 'seed'>,
) {
  const limits = encodingLimits(options, task, model.maxLength);
  const features = await task.kind.encode(model.tokenizer, train, limits);
  const devFeatures = await task.kind.encode(model.tokenizer, dev, limits);
  checkChoices(task, train, features);

  const lengths = features.map((feature) => feature.tokens);
  const batchSize = batchSizeOf(options, task.defaults);
  const perEpoch = epochBatches(lengths, batchSize, seed, 0).length;
  const totalSteps = stepsOf(options, task.defaults, perEpoch);
  const evaluateEvery = integer('evaluateEvery', options.evaluateEvery, { min: 1 }, Math.ceil(perEpoch / 2));
  const trainer = trainerOptions(options, { task, train, model, totalSteps });
  return { features, devFeatures, lengths, batchSize, totalSteps, evaluateEvery, trainer };
}

/** What `dryRun` shows: numbers, and the first encoded examples. */
export interface DryRun {
  task: string;
  labels: string[];
  train: { examples: number; sequences: number; tokens: number; longest: number };
  dev: { examples: number; sequences: number; tokens: number; longest: number };
  totalSteps: number;
  warmupSteps: number;
  learningRate: number;
  first: { id: string; tokens: string[]; token_type_ids: number[]; example: Example }[];
}

/**
 * Checks the data and the options of a fine-tuning without training.
 * @param count examples to show.
 * @throws AlbertError as finetune() does.
 */
export async function dryRun(options: FinetuneOptions, count = 3): Promise<DryRun> {
  const shown = integer('count', count, { min: 0 }, 3);
  const { task, train, dev, model, features, devFeatures, totalSteps, trainer, cleanUp } = await prepare(
    optionsObject<FinetuneOptions>('options', options, FINETUNE_OPTIONS),
  );
  const numbers = (examples: Example[], encoded: Feature[]) => ({
    examples: examples.length,
    sequences: encoded.reduce((sum, { sequences }) => sum + sequences.length, 0),
    tokens: encoded.reduce((sum, { tokens }) => sum + tokens, 0),
    longest: encoded.reduce(
      (most, { sequences }) => Math.max(most, ...sequences.map(({ ids }) => ids.length)),
      0,
    ),
  });
  const first = features.slice(0, shown).map(({ example, sequences: [{ ids, types }] }) => ({
    id: train[example].id,
    tokens: Array.from(ids, (id) => model.tokenizer.idToToken(id)),
    token_type_ids: Array.from(types),
    example: train[example],
  }));
  await model.dispose();
  await cleanUp();
  return {
    task: task.name,
    labels: task.labels,
    train: numbers(train, features),
    dev: numbers(dev, devFeatures),
    totalSteps,
    warmupSteps: trainer.warmupSteps!,
    learningRate: trainer.learningRate,
    first,
  };
}
