/** Fine-tuning: a task's examples to the checkpoint that does best on its development split. */
import { appendFile, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { Albert } from '../albert';
import { AlbertError } from '../errors';
import {
  abortSignal,
  boolean,
  integer,
  invalid,
  number,
  oneOf,
  optionsObject,
  string,
  strings,
} from '../options';
import {
  encodingLimits,
  type EvaluateOptions,
  isLabelled,
  predictAll,
  type Report,
  report,
} from '../tasks/evaluate';
import { findTask, type TaskDescription } from '../tasks';
import type { Example, Feature, Scores, Task } from '../tasks/task';
import { readLog } from './log';
import { epochBatches } from './minibatches';
import { plotRuns } from './plot';
import { type RateRule, STATE_FILE, type StepResult, Trainer, type TrainerOptions } from './trainer';

export interface FinetuneOptions
  extends
    Partial<Omit<TrainerOptions, 'accumulate' | 'rates' | 'classWeights' | 'totalSteps'>>,
    Pick<EvaluateOptions, 'maxLength' | 'docStride' | 'maxQuestionLength' | 'maxAnswerLength' | 'slices'> {
  /** A built-in task, a description, or the path of one. */
  task: string | TaskDescription;
  /** The folder of the data. */
  data?: string;
  /** The model to start from: a folder or a name. */
  model: string;
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
}

export interface FinetuneProgress {
  step: number;
  totalSteps: number;
  loss: number;
  learning_rate: number;
  tokens_per_second: number;
  /** Until the last step, at the present speed, evaluations not counted. */
  seconds_left: number;
  /** The latest scores on the development split, and the best value of the first of them. */
  scores: Scores | null;
  best: number | null;
}

export interface FinetuneResult extends Report {
  output: string;
  task: string;
  /** The step of the best checkpoint, whose report this is, and steps done in all. */
  step: number;
  steps: number;
}

/** What a run goes by, all defaults filled in. */
interface Plan {
  task: Task;
  train: Example[];
  dev: Example[];
  slices: string[];
  model: Albert;
  features: Feature[];
  devFeatures: Feature[];
  lengths: number[];
  batchSize: { examples?: number; tokens?: number };
  seed: number;
  totalSteps: number;
  evaluateEvery: number;
  trainer: TrainerOptions;
}

/** Where a run stands; checkpoints keep it. */
interface Position {
  step: number;
  epoch: number;
  batch: number;
  tokens: number;
  seconds: number;
  best: { step: number; score: number; report: Report } | null;
  /** The step that was scored last. */
  evaluated: number;
  /** Evaluations since the best one. */
  stale: number;
  restarts: number;
}

const CHECKPOINT = 'checkpoint';
const LOG_FILE = 'log.jsonl';
const RESULT_FILE = 'result.json';
// Rates above this made models of this width diverge (google-research/albert, issue 29, and its README).
const LARGE_HIDDEN_SIZE = 2048;
const LARGE_LEARNING_RATE = 1e-5;

/** Rate rules of layer-wise decay and of training the head alone at first. */
function rateRules(model: Albert, decay: number, headOnlySteps: number): RateRule[] {
  if (decay === 1 && headOnlySteps === 0) return [];
  const group = /albert_layer_groups\.(\d+)\./;
  const groups = 1 + Math.max(0, ...model.parameters().map(({ name }) => Number(group.exec(name)?.[1] ?? 0)));
  const rules = Array.from({ length: groups }, (_, g) => ({
    prefix: `albert.encoder.albert_layer_groups.${g}.`,
    factor: decay ** (groups - g),
    from: headOnlySteps,
  }));
  return [
    ...rules,
    { prefix: 'albert.pooler.', from: headOnlySteps },
    { prefix: 'albert.', factor: decay ** (groups + 1), from: headOnlySteps },
  ];
}

function balancedWeights(task: Task, examples: Example[]): number[] {
  const counts = task.labels.map(() => 0);
  for (const example of examples) {
    const { label, tags } = example as { label?: number | number[]; tags?: number[] };
    for (const index of tags ?? [label as number]) counts[index]++;
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

/** Reads and encodes everything; whatever is wrong with the data shows here, before training starts. */
async function prepare(options: Partial<FinetuneOptions>): Promise<Plan> {
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
  const { threads, isa } = options;
  const model = await Albert.load(string('model', options.model), {
    head: task.kind.head,
    config: { ...task.kind.config(task), ...encoderDropout(options, task), finetuning_task: task.name },
    ignore_mismatched_sizes: true,
    seed,
    threads,
    isa,
  });
  const limits = encodingLimits(options, task, model.maxLength);
  const features = await task.kind.encode(model.tokenizer, train, limits);
  const devFeatures = await task.kind.encode(model.tokenizer, dev, limits);

  const { defaults } = task;
  const tokens =
    options.batchTokens === undefined
      ? undefined
      : integer('batchTokens', options.batchTokens, { min: 1 }, 1);
  const examples = integer('batchSize', options.batchSize, { min: 1 }, defaults.batchSize);
  const batchSize = tokens === undefined ? { examples } : { tokens };
  const lengths = features.map((feature) => feature.tokens);
  const perEpoch = epochBatches(lengths, batchSize, seed, 0).length;
  const epochs = options.steps === undefined ? (options.epochs ?? defaults.epochs) : undefined;
  const totalSteps =
    epochs === undefined || (options.epochs === undefined && defaults.steps !== undefined)
      ? integer('steps', options.steps, { min: 1 }, defaults.steps ?? perEpoch)
      : Math.max(1, Math.round(number('epochs', epochs, { min: 0 }) * perEpoch));
  const large = Number(model.config.hidden_size) >= LARGE_HIDDEN_SIZE;
  const usualRate = large ? Math.min(LARGE_LEARNING_RATE, defaults.learningRate) : defaults.learningRate;
  const layerDecay = number('layerDecay', options.layerDecay, { min: 0, max: 1 }, 1);
  const headOnlySteps = integer('headOnlySteps', options.headOnlySteps, { min: 0 }, 0);
  const {
    classWeights,
    optimizer,
    power,
    weightDecay,
    beta1,
    beta2,
    epsilon,
    maxGradNorm,
    dtype,
    recompute,
  } = options;
  const trainer: TrainerOptions = {
    optimizer: oneOf('optimizer', optimizer, ['adamw', 'lamb'] as const, 'adamw'),
    learningRate: number('learningRate', options.learningRate, { min: 0 }, usualRate),
    warmupSteps: integer(
      'warmupSteps',
      options.warmupSteps,
      { min: 0 },
      Math.round(defaults.warmup * totalSteps),
    ),
    totalSteps,
    classifierDropout: number('classifierDropout', options.classifierDropout, { min: 0, max: 0.99 }, 0.1),
    rates: rateRules(model, layerDecay, headOnlySteps),
    classWeights: classWeights === 'balanced' ? balancedWeights(task, train) : classWeights,
    ...{ power, weightDecay, beta1, beta2, epsilon, maxGradNorm, dtype, recompute, seed, threads, isa },
  };
  const evaluateEvery = integer('evaluateEvery', options.evaluateEvery, { min: 1 }, Math.ceil(perEpoch / 2));
  return {
    ...{ task, train, dev, slices, model, features, devFeatures, lengths, batchSize, seed, totalSteps },
    ...{ evaluateEvery, trainer },
  };
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
  const { task, train, dev, model, features, devFeatures, totalSteps, trainer } = await prepare(
    optionsObject<FinetuneOptions>('options', options),
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
  const first = features.slice(0, count).map(({ example, sequences: [{ ids, types }] }) => ({
    id: train[example].id,
    tokens: Array.from(ids, (id) => model.tokenizer.idToToken(id)),
    token_type_ids: Array.from(types),
    example: train[example],
  }));
  const { labels, name } = task;
  const result = {
    ...{
      task: name,
      labels,
      train: numbers(train, features),
      dev: numbers(dev, devFeatures),
      totalSteps,
      first,
    },
    ...{ warmupSteps: trainer.warmupSteps!, learningRate: trainer.learningRate },
  };
  await model.dispose();
  return result;
}

/** One run: the trainer, where it stands, and the files it keeps. */
class Run {
  private constructor(
    private readonly plan: Plan,
    private readonly output: string,
    private readonly options: Partial<FinetuneOptions>,
    private trainer: Trainer,
    private at: Position,
  ) {}

  static async open(plan: Plan, output: string, options: Partial<FinetuneOptions>): Promise<Run> {
    const checkpoint = path.join(output, CHECKPOINT);
    const held = existsSync(path.join(checkpoint, STATE_FILE));
    if (options.resume && held) {
      const resumed = await Trainer.resume(checkpoint, plan.trainer);
      await plan.model.dispose();
      const at = resumed.extra as Position;
      const run = new Run(plan, output, options, resumed.trainer, at);
      if (at.restarts > 0) await run.reopen(at.restarts);
      return run;
    }
    if (held || (existsSync(output) && (await readdir(output)).length > 0 && !options.resume)) {
      throw new AlbertError(
        'INVALID_ARGUMENT',
        `expected an empty folder for output but ${output} holds ${held ? 'a run' : 'files'}; choose another, or resume: true`,
      );
    }
    await mkdir(output, { recursive: true });
    await rm(path.join(output, LOG_FILE), { force: true });
    const at = {
      step: 0,
      epoch: 0,
      batch: 0,
      tokens: 0,
      seconds: 0,
      best: null,
      evaluated: 0,
      stale: 0,
      restarts: 0,
    };
    const run = new Run(plan, output, options, new Trainer(plan.model, plan.trainer), at);
    await run.save();
    return run;
  }

  /** Steps until the end, an abort, or patience runs out. */
  async train(signal: AbortSignal | undefined): Promise<FinetuneResult> {
    const { plan, options } = this;
    const patience = integer('patience', options.patience, { min: 1 }, Number.MAX_SAFE_INTEGER);
    const restarts = integer('restarts', options.restarts, { min: 0 }, 0);
    try {
      while (!signal?.aborted) {
        if (this.dueForScores()) {
          await this.assess();
          await this.save();
        }
        if (this.at.step >= plan.totalSteps || this.at.stale >= patience) break;
        try {
          await this.step();
        } catch (error) {
          if (!(error instanceof AlbertError) || error.code !== 'DIVERGED' || this.at.restarts >= restarts)
            throw error;
          await this.reopen(this.at.restarts + 1);
        }
      }
    } catch (error) {
      if (!signal?.aborted) throw error; // scoring was interrupted, and is done again on resume
    } finally {
      await this.close(signal?.aborted ?? false);
    }
    return this.result();
  }

  private dueForScores(): boolean {
    const { at, plan } = this;
    const due = at.step > 0 && (at.step % plan.evaluateEvery === 0 || at.step === plan.totalSteps);
    return due && at.evaluated !== at.step;
  }

  private async close(save: boolean): Promise<void> {
    try {
      if (save) await this.save();
    } finally {
      await this.trainer.dispose();
      await this.trainer.model.dispose();
    }
  }

  private epoch: { number: number; batches: number[][] } | null = null;

  /** The next batch in the order of the epochs. */
  private nextBatch(): Feature[] {
    const { plan, at } = this;
    if (this.epoch && at.batch === this.epoch.batches.length) {
      at.epoch++;
      at.batch = 0;
    }
    if (this.epoch?.number !== at.epoch)
      this.epoch = {
        number: at.epoch,
        batches: epochBatches(plan.lengths, plan.batchSize, plan.seed, at.epoch),
      };
    return this.epoch.batches[at.batch].map((i) => plan.features[i]);
  }

  private async step(): Promise<void> {
    const { plan, at } = this;
    const batch = plan.task.kind.batch(this.nextBatch(), plan.train);
    const begin = performance.now();
    const result = await this.trainer.step(batch);
    const seconds = (performance.now() - begin) / 1e3;
    at.seconds += seconds;
    at.tokens += result.tokens;
    at.step++;
    at.batch++;
    await this.record(result, result.tokens / seconds);
  }

  private async record(result: StepResult, speed: number): Promise<void> {
    const { at, plan } = this;
    const { loss, grad_norm, learning_rate } = result;
    const tokens_per_second = Math.round(speed);
    const time = Number(at.seconds.toFixed(2));
    await this.log({
      step: result.step,
      time,
      tokens: at.tokens,
      loss,
      grad_norm,
      learning_rate,
      tokens_per_second,
    });
    this.options.onProgress?.({
      ...{ step: at.step, totalSteps: plan.totalSteps, loss, learning_rate, tokens_per_second },
      seconds_left: (at.seconds / at.step) * (plan.totalSteps - at.step),
      scores: this.latest,
      best: at.best?.score ?? null,
    });
  }

  private latest: Scores | null = null;

  /** Scores the development split; the best so far becomes the model of the output folder. */
  private async assess(): Promise<void> {
    const { plan, at } = this;
    const { model } = this.trainer;
    const predictions = await predictAll(plan.task, model, plan.devFeatures, plan.dev, this.options);
    const found = report(plan.task, plan.dev, predictions);
    at.evaluated = at.step;
    const score = found.scores[plan.task.metrics[0]];
    if (score === undefined) {
      throw new AlbertError(
        'INVALID_ARGUMENT',
        `expected metrics among ${Object.keys(found.scores).join(', ')} but received '${plan.task.metrics[0]}'`,
      );
    }
    this.latest = found.scores;
    await this.log({ step: at.step, evaluation: found.scores });
    if (at.best && score <= at.best.score) {
      at.stale++;
      return;
    }
    at.best = { step: at.step, score, report: found };
    at.stale = 0;
    await model.save(this.output);
  }

  private async save(): Promise<void> {
    await this.trainer.save(path.join(this.output, CHECKPOINT), this.at);
  }

  /** Back to the last checkpoint, at half the rate for each restart so far. */
  private async reopen(restarts: number): Promise<void> {
    const learningRate = this.plan.trainer.learningRate / 2 ** restarts;
    await this.trainer.dispose();
    await this.trainer.model.dispose();
    const resumed = await Trainer.resume(path.join(this.output, CHECKPOINT), { learningRate });
    this.trainer = resumed.trainer;
    this.at = { ...(resumed.extra as Position), restarts };
    await this.log({
      step: this.at.step,
      note: `after ${restarts} divergences: a learning rate of ${learningRate}`,
    });
  }

  private async log(record: object): Promise<void> {
    await appendFile(path.join(this.output, LOG_FILE), `${JSON.stringify(record)}\n`);
  }

  private async result(): Promise<FinetuneResult> {
    const { plan, at, output } = this;
    const best = at.best?.report ?? { scores: {}, examples: plan.dev.length };
    const result = { output, task: plan.task.name, step: at.best?.step ?? 0, steps: at.step, ...best };
    await writeFile(path.join(output, RESULT_FILE), `${JSON.stringify(result, null, 2)}\n`);
    const curves = await readLog(path.join(output, LOG_FILE));
    await writeFile(path.join(output, 'curves.svg'), plotRuns([{ name: plan.task.name, curves }]));
    return result;
  }
}

/**
 * Fine-tunes a model for a task. `output` becomes the checkpoint with the best score on the development split, with log.jsonl,
 * result.json and curves.svg beside it, and checkpoint/ from which `resume` goes on bit-exactly.
 * @throws AlbertError DATA for examples that cannot be used (before training starts), DIVERGED, INVALID_ARGUMENT, CHECKPOINT, or
 *   what Trainer.step() throws.
 */
export async function finetune(options: FinetuneOptions): Promise<FinetuneResult> {
  const given = optionsObject<FinetuneOptions>('options', options);
  const output = path.resolve(string('output', given.output));
  const signal = abortSignal(given.signal);
  boolean('resume', given.resume, false);
  const plan = await prepare(given);
  const run = await Run.open(plan, output, given);
  return run.train(signal);
}

/** Scores of several runs that differ by their seed alone. */
export interface SeedsResult {
  output: string;
  runs: FinetuneResult[];
  /** Of each score: the mean over the runs, and their sample standard deviation. */
  scores: Record<string, { mean: number; deviation: number }>;
  /** The folder of the best. */
  best: string;
}

/** finetune() once a seed, each into a folder of its own below `output`; writes the means to result.json there. */
export async function finetuneSeeds(
  options: FinetuneOptions,
  seeds: readonly number[],
): Promise<SeedsResult> {
  const output = path.resolve(string('output', options.output));
  if (seeds.length === 0) throw invalid('at least one seed', 'seeds', seeds);
  const runs: FinetuneResult[] = [];
  for (const seed of seeds)
    runs.push(await finetune({ ...options, seed, output: path.join(output, `seed-${seed}`) }));
  const scores = Object.fromEntries(
    Object.keys(runs[0].scores).map((name) => {
      const values = runs.map((run) => run.scores[name]);
      const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
      const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
      return [name, { mean, deviation: Math.sqrt(squares / Math.max(1, values.length - 1)) }];
    }),
  );
  const { task } = await findTask(options.task, options.data);
  const first = task.metrics[0];
  const best = runs.reduce((a, b) => (b.scores[first] > a.scores[first] ? b : a)).output;
  const result = { output, runs, scores, best };
  await writeFile(path.join(output, RESULT_FILE), `${JSON.stringify(result, null, 2)}\n`);
  return result;
}
