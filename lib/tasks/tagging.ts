/** Tasks with a tag for each word: the first token of a word stands for it. */
import { labelConfig } from '../config';
import { inputsOf } from '../inputs';
import { argmax } from '../math';
import { runEncodings } from '../pipelines/run';
import * as metrics from './metrics';
import { type Feature, type Kind, type Scores, type TaggingExample } from './task';

interface TaggingFeature extends Feature {
  /** The word that each token begins, or -1. */
  words: Int32Array;
}

const IGNORED = -100;

/** Whether labels are those of spans, which begin with B- or I- at least. */
export function haveSpans(labels: readonly string[]): boolean {
  return labels.some((label) => /^[BI]-/.test(label));
}

/**
 * Spans of BIO or BIOES tags as 'begin:end:type'; a type without B- before it opens a span, as CoNLL's script and seqeval have
 * it.
 */
export function tagSpans(tags: readonly string[]): string[] {
  const spans: string[] = [];
  let open: { begin: number; type: string } | null = null;
  let previous = 'O';
  [...tags, 'O'].forEach((tag, i) => {
    const [prefix, type] = /^[BIES]-/.test(tag) ? [tag[0], tag.slice(2)] : ['O', ''];
    const begins = 'BSO'.includes(prefix) || 'ES'.includes(previous);
    previous = prefix;
    if (open && (begins || open.type !== type)) {
      spans.push(`${open.begin}:${i}:${open.type}`);
      open = null;
    }
    if (prefix !== 'O' && !open) open = { begin: i, type };
  });
  return spans;
}

/** F1 over exact spans of all examples, as CoNLL-2003 scores them. */
function spanF1(truth: string[][], predicted: string[][]): number {
  let [both, either] = [0, 0];
  truth.forEach((tags, i) => {
    const gold = new Set(tagSpans(tags));
    const found = tagSpans(predicted[i]);
    both += found.filter((span) => gold.has(span)).length;
    either += found.length + gold.size;
  });
  return either === 0 ? 0 : (2 * both) / either;
}

export const tagging: Kind<TaggingExample, TaggingFeature, number[]> = {
  head: 'token-classification',
  config: (task) => labelConfig(task.labels),
  async encode(tokenizer, examples, { maxLength }) {
    const encodings = await tokenizer.encodeRaw(
      examples.map(({ words }) => words.join(' ')),
      { maxLength, truncation: 'only_first', returnOverflowing: true },
    );
    const special = new Set(Object.values(tokenizer.specialTokens));
    return encodings.flatMap((encoding, example) => {
      const { words } = examples[example];
      let word = 0;
      let begin = 0; // of that word in the joined text
      let started = -1;
      return [encoding, ...encoding.overflowing].map(({ ids, types, offsets }) => ({
        example,
        sequences: [{ ids, types }],
        tokens: ids.length,
        words: Int32Array.from(ids, (_, token) => {
          const [from, to] = [offsets[2 * token], offsets[2 * token + 1]];
          // A metaspace that stands alone covers nothing, too, but is the first token of its word.
          if (to === from && special.has(ids[token])) return -1;
          while (word < words.length && from >= begin + words[word].length) begin += words[word++].length + 1;
          if (word === started || word >= words.length) return -1;
          started = word;
          return word;
        }),
      }));
    });
  },
  batch: (features, examples) => ({
    ...inputsOf(features.map(({ sequences }) => sequences[0])),
    labels: features.map(({ example, words }) =>
      words.map((word) => (word < 0 ? IGNORED : examples[example].tags![word])),
    ),
  }),
  async predict(model, features, examples, { signal, onProgress }) {
    // Words without a token, such as a lone accent, are no part of anything.
    const outside = Object.values(model.config.id2label ?? {}).indexOf('O');
    const results = examples.map(({ words }) => new Array<number>(words.length).fill(Math.max(0, outside)));
    await runEncodings(
      model,
      features.map(({ sequences }) => sequences[0]),
      { outputs: ['logits'], signal, onProgress },
      (outputs, { row, index }) => {
        const { example, words } = features[index];
        const logits = outputs.logits!.row(row);
        const width = logits.length / outputs.logits!.dims[1];
        words.forEach((word, token) => {
          if (word >= 0) results[example][word] = argmax(logits.subarray(token * width, (token + 1) * width));
        });
      },
    );
    return results;
  },
  score({ labels }, examples, predictions): Scores {
    const truth = examples.map(({ tags }) => tags!);
    const named = (tags: number[]) => tags.map((tag) => labels[tag]);
    return {
      ...(haveSpans(labels) && { span_f1: spanF1(truth.map(named), predictions.map(named)) }),
      accuracy: metrics.accuracy(predictions.flat(), truth.flat()),
      macro_f1: metrics.f1(predictions.flat(), truth.flat(), { average: 'macro' }),
    };
  },
  show: ({ labels }, { words }, tags) => ({ words, prediction: tags.map((tag) => labels[tag]) }),
};
