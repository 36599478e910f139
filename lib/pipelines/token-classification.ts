/** token-classification: a label for every token, or for the entities that neighbouring tokens form. */
import type { Albert } from '../albert';
import { argmax, softmax } from '../math';
import { abortSignal, type Names, oneOf, optionsObject } from '../options';
import type { NativeEncoding } from '../native';
import {
  labelOf,
  limitsOf,
  makePipeline,
  openModel,
  type Pipeline,
  type PipelineOptions,
  TEXT_OPTIONS,
  type TextOptions,
  textsOf,
} from './open';
import { encodeFor, runEncodings } from './run';

const STRATEGIES = ['none', 'simple', 'first', 'average', 'max'] as const;

export interface TokenClassificationOptions extends TextOptions {
  /**
   * 'none' (default): every token. Otherwise neighbours with one label form an entity (a B- label begins a new one), and
   * 'first', 'average' and 'max' first give each word the label of its first token, of the mean of its tokens' scores, or
   * of its surest token.
   */
  aggregation_strategy?: (typeof STRATEGIES)[number];
  /** Labels to leave out. Default ['O']. */
  ignore_labels?: readonly string[];
}

const TAGGING_OPTIONS: Names<TokenClassificationOptions> = {
  ...TEXT_OPTIONS,
  aggregation_strategy: true,
  ignore_labels: true,
};

/** A token's label, with its place in the text: `text.slice(start, end)` is what it covers. */
export interface TokenResult {
  entity: string;
  score: number;
  /** Position in the sequence; [CLS] is 0. */
  index: number;
  word: string;
  start: number;
  end: number;
}

/** An entity of one or more tokens. */
export interface EntityResult {
  entity_group: string;
  /** Mean over its tokens or words. */
  score: number;
  word: string;
  start: number;
  end: number;
}

export interface TokenClassificationPipeline extends Pipeline<'token-classification'> {
  (
    text: string,
    options: TokenClassificationOptions & { aggregation_strategy: 'simple' | 'first' | 'average' | 'max' },
  ): Promise<EntityResult[]>;
  (
    texts: readonly string[],
    options: TokenClassificationOptions & { aggregation_strategy: 'simple' | 'first' | 'average' | 'max' },
  ): Promise<EntityResult[][]>;
  (text: string, options?: TokenClassificationOptions): Promise<TokenResult[]>;
  (texts: readonly string[], options?: TokenClassificationOptions): Promise<TokenResult[][]>;
  (
    text: string | readonly string[],
    options?: TokenClassificationOptions,
  ): Promise<(TokenResult | EntityResult)[] | (TokenResult | EntityResult)[][]>;
}

/** One token or word with the probabilities of all labels. */
interface Unit {
  ids: number[];
  index: number;
  scores: Float64Array;
  start: number;
  end: number;
  continues: boolean;
}

function tokenUnits(
  encoding: NativeEncoding,
  rows: Float32Array,
  special: Set<number>,
  continues: (token: string) => boolean,
) {
  const labels = rows.length / encoding.ids.length;
  const units: Unit[] = [];
  encoding.ids.forEach((id, index) => {
    const [start, end] = encoding.offsets.subarray(2 * index, 2 * index + 2);
    if (special.has(id) && start === end) return;
    const scores = softmax(rows.subarray(index * labels, (index + 1) * labels));
    units.push({ ids: [id], index, scores, start, end, continues: continues(encoding.tokens[index]) });
  });
  return units;
}

/** Joins a metaspace that stands alone, which covers nothing, with the piece that it begins: the label of a word is on its first token. */
function withoutBare(units: Unit[]): Unit[] {
  const joined: Unit[] = [];
  for (const unit of units) {
    const last = joined[joined.length - 1];
    if (last && last.start === last.end && unit.continues)
      joined[joined.length - 1] = { ...last, ids: [...last.ids, ...unit.ids], end: unit.end };
    else joined.push(unit);
  }
  return joined;
}

/** Joins the tokens of each word, with the scores that the strategy gives it. */
function words(units: Unit[], strategy: 'first' | 'average' | 'max'): Unit[] {
  const groups: Unit[][] = [];
  for (const unit of units) {
    if (unit.continues && groups.length > 0) groups[groups.length - 1].push(unit);
    else groups.push([unit]);
  }
  const peak = (unit: Unit) => unit.scores[argmax(unit.scores)];
  return groups.map((group) => {
    let { scores } = group[0];
    if (strategy === 'max')
      scores = group.reduce((best, unit) => (peak(unit) > peak(best) ? unit : best)).scores;
    if (strategy === 'average') {
      scores = scores.map((_, i) => group.reduce((sum, unit) => sum + unit.scores[i], 0) / group.length);
    }
    const ids = group.flatMap((unit) => unit.ids);
    return { ...group[0], ids, scores, end: group[group.length - 1].end };
  });
}

/**
 * Joins neighbours with one label; 'B-PER' and 'S-PER' always begin an entity, 'I-PER', 'E-PER' and 'PER' continue one of PER that
 * neither 'E-PER' nor 'S-PER' has ended.
 * @param prefix of labels of spans.
 */
function entities(
  units: Unit[],
  labels: (i: number) => string,
  prefix: RegExp,
  wordOf: (ids: number[], start: number, end: number) => string,
): EntityResult[] {
  const groups: { tag: string; units: Unit[]; score: number; ended: boolean }[] = [];
  for (const unit of units) {
    const best = argmax(unit.scores);
    const label = labels(best);
    const tag = label.replace(prefix, '');
    const [begins, ended] = ['BS', 'ES'].map((marks) => prefix.test(label) && marks.includes(label[0]));
    const last = groups[groups.length - 1];
    if (last && last.tag === tag && !begins && !last.ended) {
      last.units.push(unit);
      last.score += unit.scores[best];
      last.ended = ended;
    } else {
      groups.push({ tag, units: [unit], score: unit.scores[best], ended });
    }
  }
  return groups.map((group) => {
    const [{ start }, { end }] = [group.units[0], group.units[group.units.length - 1]];
    const ids = group.units.flatMap((unit) => unit.ids);
    const score = group.score / group.units.length;
    return { entity_group: group.tag, score, word: wordOf(ids, start, end), start, end };
  });
}

export async function tokenClassification(
  source?: string | Albert,
  options?: PipelineOptions,
): Promise<TokenClassificationPipeline> {
  const opened = await openModel('token-classification', source, options, {
    heads: ['token-classification'],
  });
  const { model } = opened;
  const { tokenizer } = model;
  const special = new Set(Object.values(tokenizer.specialTokens));
  // SentencePiece marks what begins a word, WordPiece what continues one.
  const marksBeginnings = tokenizer.tokenToId('▁') >= 0;
  const continues = (token: string) => (marksBeginnings ? !token.startsWith('▁') : token.startsWith('##'));
  const label = (i: number) => labelOf(model, i);
  // E- and S- are prefixes where every label has one.
  const names = Object.values(model.config.id2label ?? {});
  const prefix = names.every((name) => name === 'O' || /^[BIES]-/.test(name)) ? /^[BIES]-/ : /^[BI]-/;

  const call = async (input: string | readonly string[], callOptions?: TokenClassificationOptions) => {
    const given = optionsObject<TokenClassificationOptions>('options', callOptions, TAGGING_OPTIONS);
    const { items: texts, single } = textsOf('text', input);
    const strategy = oneOf('aggregation_strategy', given.aggregation_strategy, STRATEGIES, 'none');
    const { items: ignored } = textsOf('ignore_labels', given.ignore_labels ?? ['O']);
    const signal = abortSignal(given.signal);
    const encodings = await encodeFor(model, texts, { ...limitsOf(model, given), tokens: true, signal });
    const plan = { outputs: ['logits'], signal };
    const results = await runEncodings(model, encodings, plan, (outputs, { row, index }) => {
      const encoding = encodings[index];
      const width = outputs.logits!.dims[2];
      const rows = outputs.logits!.row(row).subarray(0, encoding.ids.length * width);
      const units = tokenUnits(encoding, rows, special, continues);
      // What the vocabulary does not know stands as it is in the text.
      const wordOf = (ids: number[], start: number, end: number) =>
        ids.includes(tokenizer.specialTokens.unk) ? texts[index].slice(start, end) : tokenizer.decode(ids);
      if (strategy !== 'none') {
        const joined = strategy === 'simple' ? withoutBare(units) : words(units, strategy);
        return entities(joined, label, prefix, wordOf).filter(
          (entity) => !ignored.includes(entity.entity_group),
        );
      }
      return units
        .map(({ ids, index: position, scores, start, end }): TokenResult => {
          const best = argmax(scores);
          const word = wordOf(ids, start, end);
          return { entity: label(best), score: scores[best], index: position, word, start, end };
        })
        .filter((token) => !ignored.includes(token.entity));
    });
    return single ? results[0] : results;
  };
  return makePipeline('token-classification', opened, call) as TokenClassificationPipeline;
}
