/** Scores a model on a split of a task, overall and by slices, and writes its predictions. */
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Albert, internals } from '../albert';
import { AlbertError } from '../errors';
import { headInfo } from '../heads';
import { type LoadOptions, modelOptions, RUN_OPTIONS } from '../load-options';
import {
  abortSignal,
  callback,
  integer,
  invalid,
  type Names,
  oneOf,
  optionsObject,
  pathString,
  pick,
  string,
  strings,
} from '../options';
import { requireTrained } from '../pipelines/open';
import { writeInto } from '../source';
import type { AnswerPrediction } from './answering';
import { findTask, type TaskDescription } from './index';
import {
  type EncodingLimits,
  type Example,
  type Feature,
  type PredictOptions,
  type Scores,
  type Split,
  SPLITS,
  type Task,
} from './task';

export interface EvaluateOptions extends Omit<LoadOptions, 'head'>, PredictOptions {
  /** A built-in task, a description, or the path of one. */
  task: string | TaskDescription;
  /** The folder of the data. */
  data?: string;
  /** A fine-tuned model: a folder, a name, or one that was loaded already, which options of loading then do not concern. */
  model: string | Albert;
  /** Default 'dev'. */
  split?: Split;
  /** Where predictions and submissions go. Default: they are not written. */
  output?: string;
  /** Columns by whose values scores are given too. */
  slices?: string[];
  /** Tokens of a sequence at most. Default: the task's, or what the model takes. */
  maxLength?: number;
  /** Question answering: tokens between windows (128) and tokens of a question at most (64). */
  docStride?: number;
  maxQuestionLength?: number;
}

const EVALUATE_OPTIONS: Names<EvaluateOptions> = {
  ...RUN_OPTIONS,
  task: true,
  data: true,
  model: true,
  split: true,
  output: true,
  slices: true,
  maxLength: true,
  docStride: true,
  maxQuestionLength: true,
  maxAnswerLength: true,
  bestCount: true,
  signal: true,
  onProgress: true,
};

/** How often each label was taken for which: counts[truth][predicted]. */
export interface Confusion {
  labels: string[];
  counts: number[][];
}

export interface Report {
  /** Empty for a split without labels. */
  metrics: Scores;
  examples: number;
  confusion?: Confusion;
  /** By column and value: its scores, and how many examples there are. */
  slices?: Record<string, Record<string, Scores & { examples: number }>>;
}

export interface EvaluateResult extends Report {
  task: string;
  split: Split;
  /** Paths of what was written, and that of the predictions among them. */
  files: string[];
  predictions?: string;
}

/** Limits within those of a model where it is known. @throws AlbertError INVALID_ARGUMENT. */
export function encodingLimits(
  options: Partial<Pick<EvaluateOptions, 'maxLength' | 'docStride' | 'maxQuestionLength'>>,
  task: Task,
  modelLength?: number,
): EncodingLimits {
  const usual = Math.min(task.defaults.maxLength, modelLength ?? Infinity);
  return {
    maxLength: integer('maxLength', options.maxLength, { min: 8, max: modelLength }, usual),
    docStride: integer('docStride', options.docStride, { min: 1 }, 128),
    maxQuestionLength: integer('maxQuestionLength', options.maxQuestionLength, { min: 1 }, 64),
  };
}

/** Whether every example says what should be predicted. */
export function isLabelled(examples: Example[]): boolean {
  return examples.every((example) => Object.values(example).every((value) => value !== null));
}

function confusionOf(task: Task, examples: Example[], predictions: unknown[]): Confusion | undefined {
  const { kind } = task;
  if (!kind.outcome) return undefined;
  const counts = task.labels.map(() => task.labels.map(() => 0));
  examples.forEach((example, i) => {
    const { predicted, truth } = kind.outcome!(example, predictions[i]);
    counts[truth][predicted]++;
  });
  return { labels: task.labels, counts };
}

/** All that predictions of labelled examples tell. */
export function report(task: Task, examples: Example[], predictions: unknown[]): Report {
  const result: Report = { metrics: {}, examples: examples.length };
  if (!isLabelled(examples)) return result;
  result.metrics = task.kind.score(task, examples, predictions);
  result.confusion = confusionOf(task, examples, predictions);
  const columns = Object.keys(examples[0].slices ?? {});
  if (columns.length === 0) return result;
  result.slices = Object.fromEntries(
    columns.map((column) => {
      const groups = new Map<string, number[]>();
      examples.forEach(({ slices }, i) => {
        const value = slices![column];
        if (!groups.has(value)) groups.set(value, []);
        groups.get(value)!.push(i);
      });
      const byValue = [...groups].sort().map(([value, members]) => {
        const scores = task.kind.score(
          task,
          members.map((i) => examples[i]),
          members.map((i) => predictions[i]),
        );
        return [value, { ...scores, examples: members.length }];
      });
      return [column, Object.fromEntries(byValue) as Record<string, Scores & { examples: number }>];
    }),
  );
  return result;
}

const PREDICTIONS_FILE = 'predictions.jsonl';
const json = (value: unknown) => `${JSON.stringify(value, null, 4)}\n`;

function filesOf(
  task: Task,
  examples: Example[],
  predictions: unknown[],
  whole: Report,
): Record<string, string> {
  const lines = examples.map((example, i) =>
    JSON.stringify({ id: example.id, ...task.kind.show(task, example, predictions[i]) }),
  );
  const files: Record<string, string> = {
    [PREDICTIONS_FILE]: `${lines.join('\n')}\n`,
    'report.json': json(whole),
  };
  if (task.submission) {
    const { file, line } = task.submission;
    const rows = examples.map((example, i) => line(example, predictions[i]));
    files[file] = `index\tprediction\n${rows.join('\n')}\n`;
  }
  if (!task.kind.head.startsWith('question-answering')) return files;
  const byId = (value: (prediction: AnswerPrediction) => unknown) =>
    json(Object.fromEntries(examples.map(({ id }, i) => [id, value(predictions[i] as AnswerPrediction)])));
  const { threshold } = whole.metrics;
  files['predictions.json'] = byId(({ answers, nullOdds }) => (nullOdds > threshold ? '' : answers[0].text));
  files['nbest_predictions.json'] = byId(({ answers }) => answers);
  if (threshold !== undefined) files['null_odds.json'] = byId(({ nullOdds }) => nullOdds);
  return files;
}

/** Names of a model's labels in the task's order, as places among its outputs. */
function outputOrder(task: Task, model: Albert): number[] | null {
  if (task.labels.length === 0) return null;
  const names = Object.entries(model.config.id2label ?? {})
    .sort(([a], [b]) => Number(a) - Number(b))
    .map(([, name]) => name);
  const plain = names.length === 0 || names.every((name, i) => name === `LABEL_${i}`);
  if (plain && Math.max(names.length, 2) === task.labels.length) return null;
  const places = task.labels.map((label) =>
    names.findIndex((name) => name.toLowerCase() === label.toLowerCase()),
  );
  if (names.length === task.labels.length && !places.includes(-1)) return places;
  throw new AlbertError(
    'INVALID_ARGUMENT',
    `expected a model with the labels of task '${task.name}', ${task.labels.join(', ')}, but it has ` +
      `${names.join(', ') || 'two without names'}; fine-tune it for this task first`,
  );
}

/** Predictions of encoded examples, with outputs in the order of the task's labels. */
export async function predictAll(
  task: Task,
  model: Albert,
  features: Feature[],
  examples: Example[],
  options: PredictOptions,
): Promise<unknown[]> {
  const predictions = await task.kind.predict(model, features, examples, options);
  const order = outputOrder(task, model);
  if (!order || order.every((place, i) => place === i)) return predictions;
  return predictions.map((prediction) =>
    Array.isArray(prediction)
      ? prediction.map((place: number) => order.indexOf(place))
      : Float32Array.from(order, (place) => (prediction as Float32Array)[place]),
  );
}

/**
 * Scores a fine-tuned model on a split, and writes predictions.jsonl, report.json and the files that leaderboards take: a GLUE
 * submission, or SQuAD's predictions.json, nbest_predictions.json and null_odds.json.
 * @throws AlbertError DATA for examples that cannot be read, INVALID_ARGUMENT, CHECKPOINT or what forward() throws.
 */
export async function evaluate(options: EvaluateOptions): Promise<EvaluateResult> {
  const given = optionsObject<EvaluateOptions>('options', options, EVALUATE_OPTIONS) as EvaluateOptions;
  const split = oneOf('split', given.split, SPLITS, 'dev');
  const slices = given.slices === undefined ? [] : strings('slices', given.slices);
  if (given.output !== undefined) pathString('output', given.output);
  callback('onProgress', given.onProgress);
  const predicting: PredictOptions = {
    signal: abortSignal(given.signal),
    onProgress: given.onProgress,
    maxAnswerLength: integer('maxAnswerLength', given.maxAnswerLength, { min: 1 }, 30),
    bestCount: integer('bestCount', given.bestCount, { min: 1 }, 20),
  };
  const owned = !(given.model instanceof Albert);
  if (owned) {
    string('model', given.model);
    modelOptions(pick(given, RUN_OPTIONS));
  }
  const { task, folder } = await findTask(given.task, given.data);
  encodingLimits(given, task); // what is wrong with them is said before data and model are read
  const examples = await task.read(folder, split, slices);
  const model = owned
    ? await Albert.load(given.model as string, {
        head: task.kind.head,
        ...pick(given, RUN_OPTIONS),
        ...(task.labels.length > 0 ? {} : { config: task.kind.config(task) }),
      })
    : (given.model as Albert);
  const run = async (): Promise<EvaluateResult> => {
    if (model.head !== task.kind.head)
      throw invalid(`a model with head '${task.kind.head}' for task '${task.name}'`, 'model', model.head);
    requireTrained(
      model,
      headInfo(model.head).parameters,
      `task '${task.name}'`,
      'fine-tune it for this task first',
    );
    const limits = encodingLimits(given, task, model.maxLength);
    const features = await task.kind.encode(model.tokenizer, examples, limits);
    const predictions = await predictAll(task, model, features, examples, predicting);
    const whole = report(task, examples, predictions);
    const result = { task: task.name, split, ...whole, files: [] };
    if (given.output === undefined) return result;
    const written = filesOf(task, examples, predictions, whole);
    const place = (name: string) => path.join(given.output!, name);
    await writeInto(given.output, async () => {
      for (const [name, text] of Object.entries(written)) await writeFile(place(name), text);
    });
    return { ...result, files: Object.keys(written).map(place), predictions: place(PREDICTIONS_FILE) };
  };
  try {
    return await model[internals]().hold(run);
  } finally {
    if (owned) await model.dispose();
  }
}
