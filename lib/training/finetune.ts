/** Fine-tuning: a task's examples to the checkpoint that does best on their development split. */
import { createHash } from 'node:crypto';
import { readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { AlbertError } from '../errors';
import { abortSignal, boolean, invalid, optionsObject, pathString } from '../options';
import { makeFolder, writing } from '../source';
import { predictAll, type Report, report } from '../tasks/evaluate';
import type { Feature, Scores } from '../tasks/task';
import { FINETUNE_OPTIONS, type FinetuneOptions, type Plan, prepare } from './finetune-plan';
import { hasState } from './checkpoint';
import { Hold } from './hold';
import { appendRecord, beginLog, dropCutLine, isMarked, LOG_FILE, readLog } from './log';
import { epochBatches } from './minibatches';
import { plotRuns } from './plot';
import { type Done, takeStep } from './steps';
import { disposeBoth, Trainer } from './trainer';

export interface FinetuneResult extends Report {
  output: string;
  task: string;
  /** The step of the best checkpoint, whose report this is, and steps done in all. */
  step: number;
  steps: number;
}

/** Where a run stands; checkpoints keep it. */
interface Position extends Done {
  epoch: number;
  batch: number;
  best: { step: number; score: number; report: Report } | null;
  /** The step that was scored last. */
  evaluated: number;
  /** Evaluations since the best one. */
  stale: number;
  restarts: number;
  /** As orderOf() tells it; absent in checkpoints of earlier versions. */
  order?: string;
}

/** What decides which examples a step sees, in short. */
function orderOf({ task, lengths, batchSize, seed }: Plan): string {
  const batches = epochBatches(lengths, batchSize, seed, 0);
  return createHash('sha256')
    .update(JSON.stringify([task.name, batches]))
    .digest('hex')
    .slice(0, 16);
}

/** Why a run does not go on by a plan; null where it does. */
function mismatchOf({ order, step }: Position, plan: Plan, output: string): AlbertError | null {
  if (order !== undefined && order !== orderOf(plan))
    return new AlbertError(
      'INVALID_ARGUMENT',
      `expected the task, data, batch size and seed that the run in ${output} was started with, as it goes on in the middle of an epoch`,
    );
  const made = `at least the ${step} steps that the run in ${output} has made`;
  return step > plan.totalSteps ? invalid(made, 'steps', plan.totalSteps) : null;
}

const CHECKPOINT = 'checkpoint';

/** Writes result.json of a run, or of several. @throws AlbertError CHECKPOINT. */
export async function writeResult(output: string, result: object): Promise<void> {
  const file = path.join(output, 'result.json');
  await writing(output, () => writeFile(file, `${JSON.stringify(result, null, 2)}\n`));
}

/** One run: the trainer, where it stands, and the files it keeps. */
class Run {
  private epoch: { number: number; batches: number[][] } | null = null;
  private latest: Scores | null = null;

  private constructor(
    private readonly plan: Plan,
    private readonly output: string,
    private readonly options: Partial<FinetuneOptions>,
    private trainer: Trainer,
    private at: Position,
  ) {}

  /** @param hold what has the folder where the run resumes; else it takes it. */
  static async open(
    plan: Plan,
    output: string,
    options: Partial<FinetuneOptions>,
    resumes: boolean,
    hold: Hold,
  ): Promise<Run> {
    const checkpoint = path.join(output, CHECKPOINT);
    if (resumes) {
      const trainer = await Trainer.resume(checkpoint, plan.trainer);
      await plan.model.dispose();
      const at = trainer.extra as Position;
      const mismatch = mismatchOf(at, plan, output);
      if (mismatch) {
        await disposeBoth(trainer);
        throw mismatch;
      }
      await dropCutLine(path.join(output, LOG_FILE));
      const run = new Run(plan, output, options, trainer, at);
      if (at.restarts > 0) await run.reopen(at.restarts);
      return run;
    }
    await makeFolder(output);
    const log = path.join(output, LOG_FILE);
    const files = (await readdir(output)).filter(
      (name) => ![CHECKPOINT, LOG_FILE].includes(name) || !isMarked(log),
    );
    const held = hasState(checkpoint);
    if (held || files.length > 0) {
      const found = held ? 'a run; resume it or choose another' : 'files but no run; choose another';
      throw new AlbertError(
        'INVALID_ARGUMENT',
        `expected an empty folder for output but ${output} holds ${found}`,
      );
    }
    hold.take(log, checkpoint, false);
    const trainer = new Trainer(plan.model, plan.trainer);
    await trainer.ready();
    await beginLog(log);
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
      order: orderOf(plan),
    };
    const run = new Run(plan, output, options, trainer, at);
    await run.save();
    return run;
  }

  /** Steps until the end, an abort, or patience runs out. */
  async train(signal: AbortSignal | undefined): Promise<FinetuneResult> {
    const { plan, options } = this;
    const { patience = Infinity, restarts = 0 } = options;
    try {
      while (!signal?.aborted) {
        try {
          if (this.dueForScores()) {
            await this.refuseDiverged();
            await this.assess();
            await this.save();
          }
          if (this.at.step >= plan.totalSteps || this.at.stale >= patience) break;
          await this.step();
        } catch (error) {
          if (!(error instanceof AlbertError) || error.code !== 'DIVERGED' || this.at.restarts >= restarts)
            throw error;
          await this.reopen(this.at.restarts + 1);
        }
      }
    } catch (error) {
      // Scoring that was interrupted is done again on resume.
      if (!(error instanceof AlbertError) || error.code !== 'ABORTED') throw error;
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
      if (save) {
        await this.refuseDiverged();
        await this.save();
      }
    } finally {
      await disposeBoth(this.trainer);
    }
  }

  /** The next batch in the order of the epochs. */
  private nextBatch(): Feature[] {
    const { plan, at } = this;
    const batchesOf = (number: number) =>
      this.epoch?.number === number
        ? this.epoch
        : { number, batches: epochBatches(plan.lengths, plan.batchSize, plan.seed, number) };
    this.epoch = batchesOf(at.epoch);
    if (at.batch >= this.epoch.batches.length) {
      at.epoch++;
      at.batch = 0;
      this.epoch = batchesOf(at.epoch);
    }
    return this.epoch.batches[at.batch].map((i) => plan.features[i]);
  }

  private async step(): Promise<void> {
    const { plan, at, trainer, log } = this;
    const { totalSteps } = plan;
    const batch = plan.task.kind.batch(this.nextBatch(), plan.train);
    const { done, progress } = await takeStep(trainer, batch, { done: at, totalSteps, log });
    this.at = { ...at, ...done, batch: at.batch + 1 };
    this.options.onProgress?.({ ...progress, metrics: this.latest, best: at.best?.score ?? null });
  }

  /** Spoilt weights would be scored as a model that always says the same, which may be the best so far. */
  private async refuseDiverged(): Promise<void> {
    const { plan, trainer } = this;
    await trainer.evaluate(plan.task.kind.batch(this.nextBatch(), plan.train));
  }

  /** Scores the development split; the best so far becomes the model of the output folder. */
  private async assess(): Promise<void> {
    const { plan, at } = this;
    const { model } = this.trainer;
    const { signal, maxAnswerLength, onScoring: onProgress } = this.options;
    const predictions = await predictAll(plan.task, model, plan.devFeatures, plan.dev, {
      signal,
      maxAnswerLength,
      onProgress,
    });
    const found = report(plan.task, plan.dev, predictions);
    at.evaluated = at.step;
    const score = found.metrics[plan.task.metrics[0]];
    if (score === undefined) {
      throw new AlbertError(
        'INVALID_ARGUMENT',
        `expected metrics among ${Object.keys(found.metrics).join(', ')} but received '${plan.task.metrics[0]}'`,
      );
    }
    this.latest = found.metrics;
    await appendRecord(this.log, { step: at.step, evaluation: found.metrics });
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
    await disposeBoth(this.trainer);
    const changes = { ...this.plan.trainer, learningRate };
    this.trainer = await Trainer.resume(path.join(this.output, CHECKPOINT), changes);
    this.at = { ...(this.trainer.extra as Position), restarts };
    await appendRecord(this.log, {
      step: this.at.step,
      note: `after ${restarts} divergences: a learning rate of ${learningRate}`,
    });
  }

  private get log(): string {
    return path.join(this.output, LOG_FILE);
  }

  private async result(): Promise<FinetuneResult> {
    const { plan, at, output } = this;
    const best = at.best?.report ?? { metrics: {}, examples: plan.dev.length };
    const result = { output, task: plan.task.name, step: at.best?.step ?? 0, steps: at.step, ...best };
    await writeResult(output, result);
    if (at.step === 0) return result; // nothing to draw
    const curves = await readLog(this.log);
    await writing(output, () =>
      writeFile(path.join(output, 'curves.svg'), plotRuns([{ name: plan.task.name, curves }])),
    );
    return result;
  }
}

/**
 * Fine-tunes a model for a task. `output` becomes the checkpoint with the best score on the development split, with log.jsonl,
 * result.json and curves.svg beside it, and checkpoint/ from which `resume` goes on bit-exactly. One run at a time may write there.
 * @throws AlbertError DATA for examples that cannot be used (before training starts), DIVERGED, INVALID_ARGUMENT, CHECKPOINT, or
 *   what Trainer.step() throws.
 */
export async function finetune(options: FinetuneOptions): Promise<FinetuneResult> {
  const given = optionsObject<FinetuneOptions>('options', options, FINETUNE_OPTIONS);
  const output = path.resolve(pathString('output', given.output));
  const signal = abortSignal(given.signal);
  const checkpoint = path.join(output, CHECKPOINT);
  const resumes = boolean('resume', given.resume, false) && hasState(checkpoint);
  const hold = new Hold();
  try {
    if (resumes) hold.take(path.join(output, LOG_FILE), checkpoint, true);
    const plan = await prepare(given);
    try {
      const run = await Run.open(plan, output, given, resumes, hold).catch(async (error: unknown) => {
        await plan.model.dispose();
        throw error;
      });
      return await run.train(signal);
    } finally {
      await plan.cleanUp();
    }
  } finally {
    hold.release();
  }
}
