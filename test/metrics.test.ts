/** Metrics against the golden ones, and what they refuse. */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import * as metrics from '../lib/tasks/metrics';
import { readSquad } from '../lib/tasks/squad';
import { outsideData, root } from './support/data';
import { failure } from './support/errors';

interface GoldenScores {
  kind: string;
  labels: number[];
  predictions: number[];
  [metric: string]: unknown;
}

const golden = JSON.parse(
  readFileSync(path.join(root, 'test', 'golden', 'metrics', 'glue.json'), 'utf8'),
) as GoldenScores[];

test.each(golden.map((one, i) => [i, one] as const))(
  'golden case %i',
  (_, { kind, labels, predictions, ...truth }) => {
    const computed: Record<string, number> =
      kind === 'regression'
        ? { pearson: metrics.pearson(predictions, labels), spearman: metrics.spearman(predictions, labels) }
        : {
            accuracy: metrics.accuracy(predictions, labels),
            matthews: metrics.matthews(predictions, labels),
            f1: metrics.f1(predictions, labels),
            macro_f1: metrics.f1(predictions, labels, { average: 'macro' }),
          };
    const compared = Object.keys(truth).filter((name) => name in computed);
    expect(compared.length).toBeGreaterThan(1);
    for (const name of compared)
      expect(Math.abs(computed[name] - (truth[name] as number))).toBeLessThan(1e-12);
  },
);

test('correlations do not depend on the scale of values, up to the ends of the range of doubles', () => {
  // Deviations (-4, -1, 5) / 3 and (-1, 0, 1): 3 / sqrt(14/3 * 2).
  const truth = 3 / Math.sqrt(28 / 3);
  for (const scale of [1, 1e-200, 1e200, 4e307, Number.MIN_VALUE]) {
    const values = [1, 2, 4].map((value) => value * scale);
    expect(metrics.pearson(values, [1, 2, 3])).toBeCloseTo(truth, 12);
    expect(metrics.pearson([-3, -2, -1], values)).toBeCloseTo(truth, 12);
  }
  expect(metrics.pearson([-1.7e308, 1.7e308], [0, 5])).toBe(1);
  expect(metrics.pearson([0, 0, 0], [1, 2, 3])).toBe(0);
});

test('what is no label is refused, not equal to another', () => {
  for (const wrong of [[undefined], [{}], new Array(2 ** 32 - 1)] as never[])
    for (const metric of [metrics.accuracy, metrics.f1, metrics.matthews])
      expect(() => metric(wrong, wrong)).toThrow(/a number or a name for predictions\[0\]/);
});

const squadFile = path.join(outsideData ?? '', 'golden', 'metrics', 'squad.json');
const ifGolden = existsSync(squadFile) ? test : test.skip;

ifGolden('golden SQuAD scores', () => {
  interface GoldenSquad extends metrics.SquadInput {
    no_answer_probabilities: Record<string, number> | null;
    result: Record<string, number>;
  }
  for (const { no_answer_probabilities, result, ...input } of JSON.parse(
    readFileSync(squadFile, 'utf8'),
  ) as GoldenSquad[]) {
    const scores = metrics.squad({ ...input, noAnswerProbabilities: no_answer_probabilities });
    expect(Object.keys(scores).sort()).toEqual(Object.keys(result).sort());
    for (const [name, value] of Object.entries(scores))
      expect(Math.abs(value - result[name])).toBeLessThan(1e-12);
  }
});

const xquad = path.join(outsideData ?? '', 'data', 'squad', 'xquad.en.json');
(existsSync(xquad) ? test : test.skip)('perfect answers to real questions score 100', async () => {
  const questions = await readSquad(xquad, false, true);
  expect(questions).toHaveLength(1190);
  const examples = questions.map(({ id, answers }) => ({ id, answers: answers!.map(({ text }) => text) }));
  const predictions = Object.fromEntries(examples.map(({ id, answers }) => [id, answers[0]]));
  expect(metrics.squad({ examples, predictions })).toMatchObject({ exact: 100, f1: 100, total: 1190 });
});

test('answers are compared without case, punctuation, articles and spaces', () => {
  const score = (answers: string[], text: string) => {
    const { exact, f1 } = metrics.squad({ examples: [{ id: 'q', answers }], predictions: { q: text } });
    return [exact, f1];
  };
  expect(score(['The  Panthers!'], 'panthers')).toEqual([100, 100]);
  expect(score(['a red house', 'a house'], 'the big house')).toEqual([0, 100 * (2 / 3)]);
  expect(score(['house house'], 'house')).toEqual([0, 100 * (2 / 3)]);
  // The article inside of a word of another script stays.
  expect(score(['é a'], 'éa')).toEqual([0, 0]);
  expect(score([], '')).toEqual([100, 100]);
  expect(score([], 'something')).toEqual([0, 0]);
});

test('perfect predictions score 100, missing ones 0', () => {
  const examples = [
    { id: 'a', answers: ['one', 'two'] },
    { id: 'b', answers: [] },
  ];
  expect(metrics.squad({ examples, predictions: { a: 'two', b: '' } })).toMatchObject({
    exact: 100,
    f1: 100,
    HasAns_total: 1,
    NoAns_total: 1,
  });
  expect(metrics.squad({ examples, predictions: {} })).toMatchObject({ exact: 0, f1: 0, total: 2 });
});

test('a threshold turns unsure answers into none', () => {
  const examples = [
    { id: 'a', answers: ['one'] },
    { id: 'b', answers: [] },
    { id: 'c', answers: ['three'] },
  ];
  const predictions = { a: 'one', b: 'two', c: 'three' };
  const noAnswerProbabilities = { a: 0.1, b: 0.9, c: 0.5 };
  const scores = metrics.squad({ examples, predictions, noAnswerProbabilities, threshold: 0.4 });
  expect(scores.exact).toBeCloseTo(200 / 3, 10);
  expect(scores).toMatchObject({ NoAns_exact: 100, best_exact: 100, best_exact_thresh: 0.5 });
});

test('ids may be names that every object inherits', () => {
  const examples = [{ id: 'constructor', answers: ['x'] }];
  expect(metrics.squad({ examples, predictions: {} })).toMatchObject({ exact: 0, total: 1 });
  const noAnswerProbabilities = {};
  const predictions = { constructor: 'x' };
  expect(metrics.squad({ examples, predictions, noAnswerProbabilities })).toMatchObject({ exact: 100 });
});

test('names of labels count as they are, and constants do not correlate', () => {
  expect(metrics.accuracy(['a', 'b'], ['a', 'c'])).toBe(0.5);
  expect(metrics.f1(['a', 'b'], ['a', 'c'], { average: 'macro' })).toBeCloseTo(1 / 3, 12);
  expect(metrics.pearson([1, 1], [1, 2])).toBe(0);
  expect(metrics.pearson(new Array<number>(23).fill(0.1), new Array<number>(23).fill(2.2))).toBe(0);
  expect(metrics.spearman([1, 2, 2], [1, 2, 2])).toBeCloseTo(1, 12);
});

test('what cannot be compared is refused', () => {
  expect(() => metrics.accuracy([1], [1, 2])).toThrow(/as many predictions as labels/);
  expect(() => metrics.accuracy([], [])).toThrow(/at least one/);
  expect(() => metrics.pearson([NaN], [1])).toThrow(/finite number for predictions\[0\]/);
  expect(() => metrics.f1([1], [1], { average: 'micro' as 'macro' })).toThrow(/'binary', 'macro'/);
  expect(() => metrics.f1(['yes'], ['yes'])).toThrow(/expected 'macro', as labels that are names/);
  expect(() => metrics.squad({ examples: [], predictions: {} })).toThrow(/non-empty array/);
  expect(() => metrics.squad({ examples: [], predictions: {}, thresh: 1 } as never)).toThrow(
    /received 'thresh'/,
  );
});

test.each<[input: object, message: RegExp]>([
  [{ examples: [null] }, /an object with id and answers for examples\[0\] but received null/],
  [{ examples: new Array(2) }, /for examples\[0\] but received undefined/],
  [{ examples: [{ id: 1, answers: [] }] }, /a string for examples\[0\].id but received 1/],
  [{ examples: [{ id: 'a' }] }, /an array of texts for examples\[0\].answers but received undefined/],
  [{ examples: [{ id: 'a', answers: ['x', 5] }] }, /a string for examples\[0\].answers\[1\] but received 5/],
  [{ predictions: [] }, /an object of texts by question id for predictions/],
  [{ predictions: { a: 1 } }, /a string for predictions\['a'\] but received 1/],
  [{ noAnswerProbabilities: 1 }, /an object of numbers by question id for noAnswerProbabilities/],
  [{ noAnswerProbabilities: { a: NaN } }, /a number for noAnswerProbabilities\['a'\] but received NaN/],
])('squad refuses %j', async (input, message) => {
  const right = { examples: [{ id: 'a', answers: ['x'] }], predictions: { a: 'x' } };
  const error = await failure('INVALID_ARGUMENT', () => metrics.squad({ ...right, ...input }));
  expect(error.message).toMatch(message);
});
