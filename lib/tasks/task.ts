/** What a fine-tuning task is: where its examples come from, what a model does with them, and how that is scored. */
import type { Albert } from '../albert';
import { AlbertError } from '../errors';
import type { Head } from '../heads';
import type { SequenceIds } from '../inputs';
import type { AlbertConfig } from '../config';
import type { RunProgress } from '../pipelines/run';
import { statusOf } from '../text-files';
import type { Tokenizer } from '../tokenizer';
import type { LabelledInputs } from '../training/labels';

export const SPLITS = ['train', 'dev', 'test'] as const;
export type Split = (typeof SPLITS)[number];

/** One example of any task. */
export interface Example {
  /** As submissions and prediction files name it. */
  id: string;
  /** Values of the columns that slices are made of. */
  slices?: Record<string, string>;
}

/** A text or pair to classify. */
export interface TextExample extends Example {
  text: string;
  /** Empty for a single text. */
  pair: string;
  /** An index into the task's labels, several of them, or a value to regress to; null where it is not known. */
  label: number | number[] | null;
}

/** Words with a tag each. */
export interface TaggingExample extends Example {
  words: string[];
  /** Indices into the task's labels; null where they are not known. */
  tags: number[] | null;
}

/** A question about a context. */
export interface AnsweringExample extends Example {
  question: string;
  context: string;
  /** Spans of the context, the start in UTF-16 units; none when it holds no answer; null where they are not known. */
  answers: { text: string; start: number }[] | null;
}

/** A context and the statements that may complete it. */
export interface ChoosingExample extends Example {
  context: string;
  choices: string[];
  label: number | null;
}

/** How a model is trained unless the caller says otherwise. */
export interface TrainingDefaults {
  learningRate: number;
  /** Examples of a step. */
  batchSize: number;
  /** Steps in all, or passes over the training examples. */
  steps?: number;
  epochs?: number;
  /** The share of the steps over which the rate rises. */
  warmup: number;
  /** Of the encoder; absent where the model's configuration decides. */
  dropout?: number;
  maxLength: number;
}

/** Scores by name; higher is better, except for losses. */
export type Scores = Record<string, number>;

/** The tokens of one example, or of a part of it, and what they are trained towards. */
export interface Feature {
  /** Index of its example. */
  example: number;
  /** One sequence, or one a choice. */
  sequences: SequenceIds[];
  /** Real tokens of all sequences. */
  tokens: number;
}

export interface EncodingLimits {
  /** Tokens of a sequence at most. */
  maxLength: number;
  /** Question answering: tokens between the starts of neighbouring windows, and tokens of a question at most. */
  docStride: number;
  maxQuestionLength: number;
}

export interface PredictOptions {
  signal?: AbortSignal;
  onProgress?: (progress: RunProgress) => void;
  /** Question answering: tokens of an answer at most, and answers kept for each question. */
  maxAnswerLength?: number;
  bestCount?: number;
}

/** What is done with examples of one form. F, P and E are its own features, predictions and examples. */
export interface Kind<E extends Example = Example, F extends Feature = Feature, P = unknown> {
  head: Head;
  /** Fields of config.json that the task decides. */
  config(task: Task): Partial<AlbertConfig>;
  encode(tokenizer: Tokenizer, examples: E[], limits: EncodingLimits): Promise<F[]>;
  /** A batch of features with labels, for training. */
  batch(features: F[], examples: E[]): LabelledInputs;
  /** One prediction an example. */
  predict(model: Albert, features: F[], examples: E[], options: PredictOptions): Promise<P[]>;
  /** Scores of labelled examples. */
  score(task: Task, examples: E[], predictions: P[]): Scores;
  /** A prediction for people and programs: fields of a line of predictions.jsonl. */
  show(task: Task, example: E, prediction: P): Record<string, unknown>;
  /** Index of the predicted and of the true label, where each example has exactly one; for confusion matrices. */
  outcome?(example: E, prediction: P): { predicted: number; truth: number };
}

export interface Task {
  name: string;
  kind: Kind;
  /** Names by index; none for regression, answers and choices. */
  labels: string[];
  /** The scores that count; the first decides which checkpoint is best. */
  metrics: string[];
  defaults: TrainingDefaults;
  /**
   * Reads a split from the folder of the data.
   * @param slices columns whose values examples keep.
   * @throws AlbertError DATA with file and line, or INVALID_ARGUMENT for a split or column that the task does not have.
   */
  read(folder: string, split: Split, slices: readonly string[]): Promise<Example[]>;
  /** The file that a leaderboard takes: its name, and its lines. */
  submission?: { file: string; line: (example: Example, prediction: unknown) => string };
}

/** The error for a place in a data file. */
export function dataError(file: string, line: number, message: string): AlbertError {
  return new AlbertError('DATA', `${file}:${line}: ${message}`);
}

/**
 * The first of the files that there is, or the same gzipped.
 * @throws AlbertError DATA where a split has none of them, or one cannot be looked at.
 */
export function fileOfSplit(task: string, split: Split, files: string[]): string {
  const found = files.flatMap((file) => [file, `${file}.gz`]).find((file) => statusOf(file, 'DATA'));
  if (found !== undefined) return found;
  throw new AlbertError(
    'DATA',
    `expected the ${split} split of '${task}' at ${files.join(' or ')}, or in .gz, but found none`,
  );
}

/** [CLS] first [SEP] second [SEP], where the second part has types of 1. */
export function joined({ specialTokens }: Tokenizer, first: Int32Array, second: Int32Array): SequenceIds {
  const { cls, sep } = specialTokens;
  const ids = Int32Array.from([cls, ...first, sep, ...second, sep]);
  return { ids, types: Int32Array.from(ids, (_, position) => Number(position >= first.length + 2)) };
}

/** The index of a label's name. @throws AlbertError DATA that lists the names. */
export function labelIndex(
  labels: readonly string[],
  name: string,
  fail: (message: string) => AlbertError,
): number {
  const index = labels.indexOf(name);
  if (index < 0)
    throw fail(`expected one of the labels ${labels.map((l) => `'${l}'`).join(', ')} but received '${name}'`);
  return index;
}
