/** SQuAD's scores, 1.1 and 2.0: exact match and overlap of words, with thresholds for questions without an answer. */
import { invalid, isObject, type Names, number, optionsObject, string } from '../options';

export interface SquadInput {
  /** Gold answers by question; none for a question that has no answer. */
  examples: readonly { id: string; answers: readonly string[] }[];
  /** Predicted texts by question id, '' for no answer; a missing one scores 0. */
  predictions: Readonly<Record<string, string>>;
  /** How likely each question has no answer, on any scale that grows with it. Default: 0 for all. */
  noAnswerProbabilities?: Readonly<Record<string, number>> | null;
  /** A question counts as answered with '' where its probability exceeds this. Default 1. */
  threshold?: number | null;
}

const SQUAD_INPUT: Names<SquadInput> = {
  examples: true,
  predictions: true,
  noAnswerProbabilities: true,
  threshold: true,
};

/** Percentages, and numbers of questions. HasAns_ and NoAns_ are there when such questions are. */
export interface SquadScores {
  exact: number;
  f1: number;
  total: number;
  HasAns_exact?: number;
  HasAns_f1?: number;
  HasAns_total?: number;
  NoAns_exact?: number;
  NoAns_f1?: number;
  NoAns_total?: number;
  /** What the best threshold for these very questions would give, and that threshold. */
  best_exact: number;
  best_exact_thresh: number;
  best_f1: number;
  best_f1_thresh: number;
}

// Python's notions: \b looks at letters and digits of any script, split() at these spaces.
const ARTICLES = /(?<![\p{L}\p{N}_])(?:a|an|the)(?![\p{L}\p{N}_])/gu;
const PUNCTUATION = /[!-/:-@[-`{-~]/g;
// eslint-disable-next-line no-control-regex -- Python splits at separators of files to units too
const SPACES = /[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+/;

/** An answer's words as both official scripts compare them: lower-cased, without ASCII punctuation and articles. */
function answerWords(answer: string): string[] {
  const plain = answer.toLowerCase().replace(PUNCTUATION, '').replace(ARTICLES, ' ');
  return plain.split(SPACES).filter((word) => word !== '');
}

function overlap(predicted: string[], gold: string[]): number {
  if (predicted.length === 0 || gold.length === 0) return Number(predicted.length === gold.length);
  const left = new Map<string, number>();
  for (const word of gold) left.set(word, (left.get(word) ?? 0) + 1);
  let common = 0;
  for (const word of predicted) {
    const count = left.get(word) ?? 0;
    if (count > 0) common++;
    left.set(word, count - 1);
  }
  return (2 * common) / (predicted.length + gold.length);
}

interface Scored {
  answerable: boolean;
  /** 0 when the prediction is '' or missing. */
  answered: boolean;
  noAnswer: number;
  exact: number;
  f1: number;
}

function scoreExample(answers: readonly string[], prediction: string | undefined, noAnswer: number): Scored {
  const gold = answers.map(answerWords).filter((words) => words.length > 0);
  const answerable = answers.length > 0;
  if (prediction === undefined) return { answerable, answered: false, noAnswer, exact: 0, f1: 0 };
  const predicted = answerWords(prediction);
  const candidates = gold.length > 0 ? gold : [[]];
  return {
    answerable,
    answered: prediction !== '',
    noAnswer,
    exact: Math.max(...candidates.map((words) => Number(words.join(' ') === predicted.join(' ')))),
    f1: Math.max(...candidates.map((words) => overlap(predicted, words))),
  };
}

// Ids may be names that every object inherits, such as 'constructor'.
function ownValue<T>(record: Readonly<Record<string, T>>, id: string): T | undefined {
  return Object.hasOwn(record, id) ? record[id] : undefined;
}

/** The threshold below which answering gains most, as the official script of 2.0 searches it. */
function bestThreshold(
  scored: readonly { answerable: boolean; answered: boolean; noAnswer: number; score: number }[],
): { score: number; threshold: number } {
  let score = scored.filter(({ answerable }) => !answerable).length;
  let best = { score, threshold: 0 };
  for (const one of [...scored].sort((a, b) => a.noAnswer - b.noAnswer)) {
    score += one.answerable ? one.score : one.answered ? -1 : 0;
    if (score > best.score) best = { score, threshold: one.noAnswer };
  }
  return { score: (100 * best.score) / scored.length, threshold: best.threshold };
}

/**
 * Scores predictions as the official scripts do: the best of a question's gold answers counts, and the mean over
 * all questions is given in percent.
 * @throws AlbertError INVALID_ARGUMENT for input of another form.
 */
export function squad(input: SquadInput): SquadScores {
  const given = optionsObject<SquadInput>('input', input, SQUAD_INPUT);
  const { examples, predictions, noAnswerProbabilities } = given;
  if (!Array.isArray(examples) || examples.length === 0)
    throw invalid('a non-empty array', 'examples', examples);
  if (!isObject(predictions)) throw invalid('an object of texts by question id', 'predictions', predictions);
  if (noAnswerProbabilities != null && !isObject(noAnswerProbabilities))
    throw invalid('an object of numbers by question id', 'noAnswerProbabilities', noAnswerProbabilities);
  const threshold = number('threshold', given.threshold ?? undefined, {}, 1);
  const scored = Array.from(examples as readonly unknown[], (example, i) => {
    if (!isObject(example)) throw invalid('an object with id and answers', `examples[${i}]`, example);
    const id = string(`examples[${i}].id`, example.id);
    if (!Array.isArray(example.answers))
      throw invalid('an array of texts', `examples[${i}].answers`, example.answers);
    const answers = Array.from(example.answers, (answer, a) =>
      string(`examples[${i}].answers[${a}]`, answer),
    );
    const prediction = ownValue(predictions, id);
    if (prediction !== undefined) string(`predictions['${id}']`, prediction);
    const noAnswer = ownValue(noAnswerProbabilities ?? {}, id) ?? 0;
    if (typeof noAnswer !== 'number' || Number.isNaN(noAnswer))
      throw invalid('a number', `noAnswerProbabilities['${id}']`, noAnswer);
    return scoreExample(answers, prediction, noAnswer);
  });
  const applied = scored.map((one) => {
    if (one.noAnswer <= threshold) return one;
    return { ...one, exact: Number(!one.answerable), f1: Number(!one.answerable) };
  });
  const means = (some: Scored[]) => ({
    exact: (100 * some.reduce((sum, one) => sum + one.exact, 0)) / some.length,
    f1: (100 * some.reduce((sum, one) => sum + one.f1, 0)) / some.length,
    total: some.length,
  });
  const part = (prefix: string, answerable: boolean) => {
    const some = applied.filter((one) => one.answerable === answerable);
    if (some.length === 0) return {};
    return Object.fromEntries(
      Object.entries(means(some)).map(([name, value]) => [`${prefix}_${name}`, value]),
    );
  };
  const best = (name: 'exact' | 'f1') => {
    const { score, threshold: at } = bestThreshold(scored.map((one) => ({ ...one, score: one[name] })));
    return { [`best_${name}`]: score, [`best_${name}_thresh`]: at };
  };
  return {
    ...means(applied),
    ...part('HasAns', true),
    ...part('NoAns', false),
    ...best('exact'),
    ...best('f1'),
  } as SquadScores;
}
