/** Pre-training from text to a model: batches, steps, evaluations, checkpoints and a log, until a number of steps. */
import { copyFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { AlbertError } from '../errors';
import {
  abortSignal,
  callback,
  integer,
  type Names,
  number,
  optionsObject,
  pathString,
  pick,
  without,
} from '../options';
import { type AlbertConfig, positionsOf } from '../config';
import { makeFolder, writing } from '../source';
import {
  DATA_OPTIONS,
  evaluationBatches,
  type PretrainingBatch,
  type PretrainingCursor,
  type PretrainingDataOptions,
  PretrainingStream,
  loadVocabulary,
  USUAL_LENGTH,
} from './batches';
import { hasState } from './checkpoint';
import { Hold } from './hold';
import { appendRecord, beginLog, dropCutLine, isMarked, LOG_FILE } from './log';
import { beginRun, continueRun, type Progress, vocabularyFiles } from './pretrain-run';
import { type StepProgress, takeStep } from './steps';
import { disposeBoth, type Trainer } from './trainer';
import { TRAINER_OPTIONS, type TrainerOptions } from './trainer-options';

export interface PretrainOptions
  extends
    Omit<PretrainingDataOptions, 'split' | 'spans' | 'epochs' | 'seed' | 'holdOut'>,
    Omit<TrainerOptions, 'classifierDropout' | 'classWeights' | 'learningRate'> {
  /** The highest rate, which the warm-up ends at. Default 0.00176, that of the release for batches of 4,096. */
  learningRate?: number;
  /** A configuration or the name of a preset; vocab_size follows the vocabulary. Not with `model`. */
  config?: AlbertConfig | string;
  /** A model whose weights training starts from. */
  model?: string;
  /** The folder for the model, its checkpoints and the log; a run that it holds is continued. */
  output: string;
  /** Of weights, data and dropout. Default 0. */
  seed?: number;
  /** Share of documents kept for evaluation. Default 0.01, or none where the corpus is too small for that. */
  holdOut?: number;
  /** Steps between evaluations on held-out text. Default 500. */
  evaluateEvery?: number;
  /** Batches of an evaluation, from all over the held-out text. Default 20. */
  evaluationBatches?: number;
  /** Steps between checkpoints. Default 500. */
  saveEvery?: number;
  /** Minutes after which a checkpoint is due in any case. Default 10. */
  saveMinutes?: number;
  /** Ends early, after the step under way; the state is saved. */
  signal?: AbortSignal;
  onProgress?: (progress: PretrainProgress) => void;
}

// What pretrain() takes of a stream's options and of a trainer's; the rest of both it decides.
const STREAM_OPTIONS = without(DATA_OPTIONS, 'split', 'spans', 'epochs');
/** What a run that goes on has from its beginning where nothing else is asked for. */
const REMEMBERED = without(STREAM_OPTIONS, 'corpus', 'vocabulary', 'cache', 'holdOut', 'seed', 'signal');
const UPDATE_OPTIONS = without(TRAINER_OPTIONS, 'classifierDropout', 'classWeights');
const PRETRAIN_OPTIONS: Names<PretrainOptions> = {
  ...STREAM_OPTIONS,
  ...UPDATE_OPTIONS,
  config: true,
  model: true,
  output: true,
  evaluateEvery: true,
  evaluationBatches: true,
  saveEvery: true,
  saveMinutes: true,
  onProgress: true,
};

export interface PretrainProgress extends StepProgress {
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

const USUAL_HOLD_OUT = 0.01;

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

/** Whether there are documents to evaluate on. @throws AlbertError DATA where they were asked for. */
function holdsOut(stream: PretrainingStream, asked: number | undefined): boolean {
  if (stream.heldOut > 0) return true;
  if (asked) {
    throw new AlbertError(
      'DATA',
      `expected documents enough to hold out a share of ${asked} of the corpus but that is none; hold out more, or none by a holdOut of 0`,
    );
  }
  if (asked === undefined) {
    process.emitWarning(
      'nothing of the corpus is held out (records never are, and of few documents one percent may be none; a blank line ends a ' +
        'document), so that training is not evaluated; holdOut says how many to keep',
      'AlbertWarning',
    );
  }
  return false;
}

/** When a run evaluates and saves, and whom it tells. */
interface Habits extends Pick<PretrainOptions, 'signal' | 'onProgress'> {
  evaluateEvery: number;
  saveEvery: number;
  saveMinutes: number;
}

/** One run: the trainer, its data, where it stands, and the folder it writes. */
class Run {
  private readonly totalSteps: number;
  private readonly accumulate: number;
  private last: PretrainingBatch | null = null;
  private evaluation: PretrainEvaluation | null = null;

  constructor(
    private readonly output: string,
    private readonly habits: Habits,
    private readonly trainer: Trainer,
    private readonly stream: PretrainingStream,
    private readonly held: PretrainingBatch[],
    private at: Progress,
  ) {
    const { totalSteps, accumulate = 1 } = trainer.options as TrainerOptions;
    this.totalSteps = totalSteps;
    this.accumulate = accumulate;
  }

  /** Steps until the last one or an abort. */
  async train(): Promise<PretrainResult> {
    const { signal, onProgress, evaluateEvery, saveEvery, saveMinutes } = this.habits;
    let saved = performance.now();
    let upcoming = this.takeBatches();
    while (this.at.step < this.totalSteps && !signal?.aborted) {
      const { batches, cursor } = await upcoming;
      upcoming = this.takeBatches(); // made while the step runs
      upcoming.catch(() => {}); // reported when it is awaited
      const progress = await this.step(batches, cursor);
      if (this.at.step % evaluateEvery === 0 || this.at.step === this.totalSteps) await this.assess();
      if (this.at.step % saveEvery === 0 || performance.now() - saved > saveMinutes * 60e3) {
        await this.save();
        saved = performance.now();
      }
      onProgress?.({ ...progress, evaluation: this.evaluation });
    }
    await upcoming.catch(() => {});
    await this.save();
    return { output: this.output, steps: this.at.step, evaluation: this.evaluation };
  }

  private async takeBatches(): Promise<{ batches: PretrainingBatch[]; cursor: PretrainingCursor }> {
    const batches: PretrainingBatch[] = [];
    while (batches.length < this.accumulate) {
      const batch = await this.stream.next();
      if (!batch) throw new AlbertError('DATA', 'expected text enough for one batch but the corpus has none');
      batches.push(batch);
    }
    return { batches, cursor: this.stream.cursor };
  }

  private async step(batches: PretrainingBatch[], cursor: PretrainingCursor): Promise<StepProgress> {
    const { trainer, totalSteps, log, at } = this;
    const { done, progress } = await takeStep(trainer, batches, { done: at, totalSteps, log });
    this.at = { ...at, ...done, cursor };
    this.last = batches[0];
    return progress;
  }

  private async assess(): Promise<void> {
    if (this.held.length === 0) return;
    this.evaluation = await evaluate(this.trainer, this.held);
    await appendRecord(this.log, { step: this.at.step, evaluation: this.evaluation });
  }

  private async save(): Promise<void> {
    if (this.last) await this.trainer.evaluate(this.last); // refuses weights that the last update spoilt
    await this.trainer.save(this.output, this.at);
  }

  private get log(): string {
    return path.join(this.output, LOG_FILE);
  }
}

/** Opens the run that the options ask for, and takes its folder. */
async function open(hold: Hold, options: PretrainOptions): Promise<{ run: Run; trainer: Trainer }> {
  const given = optionsObject<PretrainOptions>('options', options, PRETRAIN_OPTIONS);
  const output = path.resolve(pathString('output', given.output));
  callback('onProgress', given.onProgress);
  const habits: Habits = {
    signal: abortSignal(given.signal),
    onProgress: given.onProgress,
    evaluateEvery: integer('evaluateEvery', given.evaluateEvery, { min: 1 }, 500),
    saveEvery: integer('saveEvery', given.saveEvery, { min: 1 }, 500),
    saveMinutes: number('saveMinutes', given.saveMinutes, { min: 0 }, 10),
  };
  const seed = integer('seed', given.seed, { min: 0 }, 0);
  const evaluations = integer('evaluationBatches', given.evaluationBatches, { min: 1 }, 20);
  const asked = number('holdOut', given.holdOut, { min: 0, max: 1 }, USUAL_HOLD_OUT);

  const resumes = hasState(output);
  const log = path.join(output, LOG_FILE);
  if (!resumes && !isMarked(log) && existsSync(path.join(output, 'config.json'))) {
    throw new AlbertError(
      'INVALID_ARGUMENT',
      `expected a folder without a model for output but ${output} holds one, and no run to continue; choose another`,
    );
  }
  if (resumes) hold.take(log, output, resumes); // what it holds does not change any more
  // What takes long, tokenising the corpus, comes after all that may be wrong with the rest.
  const tokenizer = await loadVocabulary(given.vocabulary);
  const trainerOptions = pick(given, UPDATE_OPTIONS);
  const { trainer, progress } = resumes
    ? await continueRun(given, trainerOptions, { output, tokenizer })
    : await beginRun(given, trainerOptions, { tokenizer, seed });
  try {
    const holdOut = progress?.holdOut ?? asked;
    const remembered = { ...progress?.data, ...pick(given, REMEMBERED) };
    const positions = positionsOf(trainer.model.config);
    const data: PretrainingDataOptions = {
      ...(pick(given, STREAM_OPTIONS) as PretrainingDataOptions),
      ...remembered,
      vocabulary: tokenizer,
      maxLength: integer(
        'maxLength',
        remembered.maxLength,
        { min: 5, max: positions },
        Math.min(USUAL_LENGTH, positions),
      ),
      seed: trainer.options.seed ?? 0,
      signal: undefined,
      holdOut,
    };
    await makeFolder(output);
    if (resumes) {
      await dropCutLine(log);
    } else {
      hold.take(log, output, resumes);
      await beginLog(log);
    }
    const stream = await PretrainingStream.open({ ...data, split: 'train' }, habits.signal);
    const held = holdsOut(stream, given.holdOut) ? await evaluationBatches(data, evaluations) : [];
    if (progress) stream.seek(progress.cursor);
    const nothing = { step: 0, tokens: 0, seconds: 0 };
    const at: Progress = { ...nothing, ...progress, cursor: stream.cursor, holdOut, data: remembered };
    if (!resumes) {
      for (const { from, to } of vocabularyFiles(tokenizer, output))
        if (from !== to) await writing(output, () => copyFile(from, to));
      await trainer.save(output, at);
    }
    return { run: new Run(output, habits, trainer, stream, held, at), trainer };
  } catch (error) {
    await disposeBoth(trainer);
    throw error;
  }
}

/**
 * Pre-trains a model with masked n-grams and sentence order, or continues the run that `output` holds, bit for bit as if it had
 * not stopped. Writes the model, its vocabulary, the state of the run and log.jsonl (one JSON object a step or evaluation).
 * One run at a time may do so in a folder.
 * @throws AlbertError DIVERGED when the loss is no longer finite: the last checkpoint stays. DATA, INVALID_ARGUMENT,
 *   INVALID_CONFIG, TOKENIZER or CHECKPOINT for what cannot be read or written.
 */
export async function pretrain(options: PretrainOptions): Promise<PretrainResult> {
  const hold = new Hold();
  try {
    const { run, trainer } = await open(hold, options);
    try {
      return await run.train();
    } finally {
      await disposeBoth(trainer);
    }
  } finally {
    hold.release();
  }
}
