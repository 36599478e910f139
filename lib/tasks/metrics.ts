/** Scores of predictions against labels, as pure functions. */
import { AlbertError } from '../errors';
import { mean } from '../math';
import { invalid, oneOf, optionsObject } from '../options';

export { squad } from './squad-metric';
export type { SquadInput, SquadScores } from './squad-metric';

/** Labels as indices or names, or values of a regression. */
export type Values = ArrayLike<number> | readonly string[];

function pairs(
  predictions: unknown,
  labels: unknown,
): { predicted: ArrayLike<unknown>; truth: ArrayLike<unknown> } {
  const isList = (value: unknown) => Array.isArray(value) || ArrayBuffer.isView(value);
  if (!isList(predictions)) throw invalid('an array', 'predictions', predictions);
  if (!isList(labels)) throw invalid('an array', 'labels', labels);
  const predicted = predictions as unknown as ArrayLike<unknown>;
  const truth = labels as unknown as ArrayLike<unknown>;
  if (predicted.length !== truth.length || truth.length === 0) {
    throw new AlbertError(
      'INVALID_ARGUMENT',
      `expected as many predictions as labels and at least one but received ${predicted.length} and ${truth.length}`,
    );
  }
  for (let i = 0; i < truth.length; i++) {
    const isLabel = (value: unknown) => typeof value === 'number' || typeof value === 'string';
    if (!isLabel(predicted[i])) throw invalid('a number or a name', `predictions[${i}]`, predicted[i]);
    if (!isLabel(truth[i])) throw invalid('a number or a name', `labels[${i}]`, truth[i]);
  }
  return { predicted, truth };
}

function numbers(predictions: unknown, labels: unknown): { predicted: number[]; truth: number[] } {
  const lists = pairs(predictions, labels);
  const convert = (name: string, list: ArrayLike<unknown>) =>
    Array.from(list, (value, i) => {
      if (typeof value !== 'number' || !Number.isFinite(value))
        throw invalid('a finite number', `${name}[${i}]`, value);
      return value;
    });
  return { predicted: convert('predictions', lists.predicted), truth: convert('labels', lists.truth) };
}

/** The share of predictions that equal their label. */
export function accuracy(predictions: Values, labels: Values): number {
  const { predicted, truth } = pairs(predictions, labels);
  return Array.from(truth).filter((label, i) => label === predicted[i]).length / truth.length;
}

/** 2 tp / (2 tp + fp + fn) of one label; 0 when it is neither predicted nor true. */
function f1Of(label: unknown, predicted: ArrayLike<unknown>, truth: ArrayLike<unknown>): number {
  let both = 0;
  let either = 0;
  for (let i = 0; i < truth.length; i++) {
    either += Number(predicted[i] === label) + Number(truth[i] === label);
    both += Number(predicted[i] === label && truth[i] === label);
  }
  return either === 0 ? 0 : (2 * both) / either;
}

/**
 * The harmonic mean of precision and recall.
 * @param options `average`: 'binary' (default) scores label 1; 'macro' is the mean over all labels that occur.
 */
export function f1(predictions: Values, labels: Values, options?: { average?: 'binary' | 'macro' }): number {
  const { predicted, truth } = pairs(predictions, labels);
  const given = optionsObject<{ average?: 'binary' | 'macro' }>('options', options, { average: true });
  const average = oneOf('average', given.average, ['binary', 'macro'] as const, 'binary');
  if (average === 'binary' && typeof truth[0] === 'string')
    throw invalid("'macro', as labels that are names have no label 1,", 'average', average);
  if (average === 'binary') return f1Of(1, predicted, truth);
  const all = [...new Set([...Array.from(truth), ...Array.from(predicted)])];
  return mean(all.map((label) => f1Of(label, predicted, truth)));
}

/**
 * Matthews' correlation coefficient, for any number of labels (Gorodkin 2004); for two it is
 * (tp tn - fp fn) / sqrt((tp + fp) (tp + fn) (tn + fp) (tn + fn)). 0 when the denominator is 0.
 */
export function matthews(predictions: Values, labels: Values): number {
  const { predicted, truth } = pairs(predictions, labels);
  const counts = (list: ArrayLike<unknown>) => {
    const map = new Map<unknown, number>();
    for (const value of Array.from(list)) map.set(value, (map.get(value) ?? 0) + 1);
    return map;
  };
  const [byPrediction, byTruth] = [counts(predicted), counts(truth)];
  const n = truth.length;
  const hits = Array.from(truth).filter((label, i) => label === predicted[i]).length;
  const dot = (a: Map<unknown, number>, b: Map<unknown, number>) =>
    [...a].reduce((sum, [label, count]) => sum + count * (b.get(label) ?? 0), 0);
  const spread = (n * n - dot(byPrediction, byPrediction)) * (n * n - dot(byTruth, byTruth));
  return spread === 0 ? 0 : (hits * n - dot(byPrediction, byTruth)) / Math.sqrt(spread);
}

/** Values as shares of the largest, so that neither their sums nor their squares leave the range of doubles. */
function scaled(values: number[]): number[] {
  const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  return values.map((value) => value / largest);
}

function correlation(x: number[], y: number[]): number {
  // Rounding takes the mean of equal values off them, which looks as if they varied.
  if ([x, y].some((values) => values.every((value) => value === values[0]))) return 0;
  const [a, b] = [scaled(x), scaled(y)];
  const [meanA, meanB] = [mean(a), mean(b)];
  let [ab, aa, bb] = [0, 0, 0];
  a.forEach((value, i) => {
    ab += (value - meanA) * (b[i] - meanB);
    aa += (value - meanA) ** 2;
    bb += (b[i] - meanB) ** 2;
  });
  return Math.min(1, Math.max(-1, ab / Math.sqrt(aa * bb)));
}

/** Pearson's correlation; 0 when either side does not vary. */
export function pearson(predictions: ArrayLike<number>, labels: ArrayLike<number>): number {
  const { predicted, truth } = numbers(predictions, labels);
  return correlation(predicted, truth);
}

/** Ranks from 1; equal values share the mean of their ranks. */
function ranks(values: number[]): number[] {
  const order = values.map((_, i) => i).sort((a, b) => values[a] - values[b]);
  const result = new Array<number>(values.length);
  for (let begin = 0, end = 0; begin < order.length; begin = end) {
    while (end < order.length && values[order[end]] === values[order[begin]]) end++;
    for (let i = begin; i < end; i++) result[order[i]] = (begin + end + 1) / 2;
  }
  return result;
}

/** Spearman's correlation: Pearson's of the ranks, ties sharing theirs; 0 when either side does not vary. */
export function spearman(predictions: ArrayLike<number>, labels: ArrayLike<number>): number {
  const { predicted, truth } = numbers(predictions, labels);
  return correlation(ranks(predicted), ranks(truth));
}
