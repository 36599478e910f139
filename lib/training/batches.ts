/** Batches for pre-training: pairs of text in or out of order with masked n-grams, made off the event loop. */
import path from 'node:path';
import { throwIfAborted } from '../abort';
import { AlbertError, awaitNative } from '../errors';
import type { NativePretraining } from '../native';
import {
  abortSignal,
  boolean,
  integer,
  invalid,
  type Names,
  number,
  oneOf,
  optionsObject,
  pathString,
} from '../options';
import { findFiles } from '../text-files';
import { Tokenizer } from '../tokenizer';
import { defaultCache, tokenizeCorpus } from './corpus';

export interface PretrainingDataOptions {
  /** Text files, folders, patterns or a list of them, .gz too; or .tfrecord files of ready instances. */
  corpus: string | readonly string[];
  /** A vocabulary file, a model folder or name, or a loaded Tokenizer. */
  vocabulary: string | Tokenizer;
  /** Instances of a batch. Default 64. */
  batchSize?: number;
  /** Tokens of an instance at most, special ones included. Default 128. */
  maxLength?: number;
  /** An integer; the same one gives the same batches. Default 0. */
  seed?: number;
  /** Share of tokens to predict. Default 0.15. */
  maskedLmProbability?: number;
  /** Default 20. */
  maxPredictions?: number;
  /** Words of the longest n-gram masked together. Default 3. */
  ngram?: number;
  /** Default true: n-grams of n words with a probability proportional to 1/n; false: the longest most often. */
  favorShorter?: boolean;
  /** Default true; false masks pieces of words alone. */
  wholeWord?: boolean;
  /** Share of documents cut to a random shorter length. Default 0.1. */
  shortSequenceProbability?: number;
  /** Default 'sop': swapped or in order; 'nsp': a foreign second text or not; 'none': single texts. */
  sentencePairs?: 'sop' | 'nsp' | 'none';
  /** Also gives each instance's chosen n-grams. Default false. */
  spans?: boolean;
  /** Passes over the corpus, masked anew each time. Default: endless. */
  epochs?: number;
  /** Share of documents kept from training, chosen by their numbers. Default 0. */
  holdOut?: number;
  /** 'evaluation': the held-out documents in order, masked alike in every pass. Default 'train'. */
  split?: 'train' | 'evaluation';
  /** Default 'sentences': one a line, blank lines between documents; 'paragraphs': raw text, split into sentences here. */
  format?: 'sentences' | 'paragraphs';
  /** Where tokenised text is kept for the next run. Default: albert-native in the user's cache folder. */
  cache?: string;
  signal?: AbortSignal;
}

export const DATA_OPTIONS: Names<PretrainingDataOptions> = {
  corpus: true,
  vocabulary: true,
  batchSize: true,
  maxLength: true,
  seed: true,
  maskedLmProbability: true,
  maxPredictions: true,
  ngram: true,
  favorShorter: true,
  wholeWord: true,
  shortSequenceProbability: true,
  sentencePairs: true,
  spans: true,
  epochs: true,
  holdOut: true,
  split: true,
  format: true,
  cache: true,
  signal: true,
};

/** Ragged rows, one an instance. */
export interface PretrainingBatch {
  input_ids: Int32Array[];
  /** 0 for [CLS], the first text and its [SEP], 1 for the second text and its. */
  token_type_ids: Int32Array[];
  /** The original id where a token is to be predicted, -100 elsewhere. */
  labels: Int32Array[];
  /** 0: in order; 1: swapped, or with a foreign text. Absent for single texts. */
  sop_labels?: Int32Array;
  /** With `spans`: [first position, pieces, words] of each chosen n-gram, in the order of choosing. */
  spans?: [first: number, pieces: number, words: number][][];
}

/** Where a stream stands: with the options, all it takes to continue exactly. */
export interface PretrainingCursor {
  epoch: number;
  index: number;
}

const MAX = 0x7fffffff;
/** Tokens of an instance where nothing else is asked for. */
export const USUAL_LENGTH = 128;
const UNIT = { min: 0, max: 1 };

interface Settings {
  batchSize: number;
  /** 0: endless. */
  epochs: number;
  spans: boolean;
  paired: boolean;
  signal: AbortSignal | undefined;
}

export async function loadVocabulary(vocabulary: unknown): Promise<Tokenizer> {
  if (vocabulary instanceof Tokenizer) return vocabulary;
  if (typeof vocabulary !== 'string') throw invalid('a path or a Tokenizer', 'vocabulary', vocabulary);
  return Tokenizer.load(vocabulary);
}

/** The stream behind pretrainingBatches, with a cursor that can be saved and set. */
export class PretrainingStream {
  readonly tokenizer: Tokenizer;
  readonly #native: NativePretraining;
  readonly #settings: Settings;
  #cursor: PretrainingCursor = { epoch: 0, index: 0 };

  private constructor(tokenizer: Tokenizer, native: NativePretraining, settings: Settings) {
    this.tokenizer = tokenizer;
    this.#native = native;
    this.#settings = settings;
  }

  /**
   * Checks the options, and tokenises the corpus unless the cache has it.
   * @param tokenizing aborts that; default: the signal of the options, which aborts next(), too.
   */
  static async open(
    options: PretrainingDataOptions,
    tokenizing = options?.signal,
  ): Promise<PretrainingStream> {
    const given = optionsObject<PretrainingDataOptions>('options', options, DATA_OPTIONS);
    const signal = abortSignal(given.signal);
    const settings: Settings = {
      signal,
      batchSize: integer('batchSize', given.batchSize, { min: 1, max: 1 << 20 }, 64),
      epochs: integer('epochs', given.epochs, { min: 1, max: 1 << 20 }, 0),
      spans: boolean('spans', given.spans, false),
      paired: given.sentencePairs !== 'none',
    };
    const nativeOptions = {
      maxLength: integer('maxLength', given.maxLength, { min: 5, max: 1 << 20 }, USUAL_LENGTH),
      seed: integer('seed', given.seed, { min: 0 }, 0),
      maskedLmProbability: number('maskedLmProbability', given.maskedLmProbability, UNIT, 0.15),
      maxPredictions: integer('maxPredictions', given.maxPredictions, { min: 0, max: MAX }, 20),
      ngram: integer('ngram', given.ngram, { min: 1, max: 1000 }, 3),
      favorShorter: boolean('favorShorter', given.favorShorter, true),
      wholeWord: boolean('wholeWord', given.wholeWord, true),
      shortSequenceProbability: number('shortSequenceProbability', given.shortSequenceProbability, UNIT, 0.1),
      sentencePairs: oneOf('sentencePairs', given.sentencePairs, ['sop', 'nsp', 'none'], 'sop'),
      holdOut: number('holdOut', given.holdOut, UNIT, 0),
      evaluation: oneOf('split', given.split, ['train', 'evaluation'], 'train') === 'evaluation',
      records: false,
    };
    const format = oneOf('format', given.format, ['sentences', 'paragraphs'], 'sentences');
    const cache = given.cache === undefined ? defaultCache() : path.resolve(pathString('cache', given.cache));
    const tokenizer = await loadVocabulary(given.vocabulary);
    let files = await findFiles(given.corpus);
    const records = files.filter((file) => /\.tfrecords?$/.test(file));
    nativeOptions.records = records.length > 0;
    if (nativeOptions.records && records.length < files.length) {
      const other = files.find((file) => !records.includes(file));
      throw new AlbertError(
        'DATA',
        `expected only .tfrecord files or only text files in corpus but ${other} stands among records`,
      );
    }
    if (!nativeOptions.records) {
      files = (await tokenizeCorpus(files, tokenizer, { format, cache, signal: tokenizing })).shards;
    }
    return new PretrainingStream(tokenizer, await tokenizer.openPretraining(files, nativeOptions), settings);
  }

  /** Where the next batch begins. */
  get cursor(): PretrainingCursor {
    return { ...this.#cursor };
  }

  /** Continues at a cursor, which may come from another stream with the same options. */
  seek(cursor: PretrainingCursor): void {
    this.#cursor = {
      epoch: integer('cursor.epoch', cursor?.epoch, { min: 0 }),
      index: integer('cursor.index', cursor?.index, { min: 0 }),
    };
  }

  /** Documents that holdOut keeps from training; 0 for records. */
  get heldOut(): number {
    return this.#native.heldOut;
  }

  /** Instances of an epoch. */
  async size(epoch = 0): Promise<number> {
    return awaitNative(() => this.#native.size(integer('epoch', epoch, { min: 0 })));
  }

  /** The next batch; null after the last epoch. Not to be called again before it has resolved. */
  async next(): Promise<PretrainingBatch | null> {
    const { epoch, index } = this.#cursor;
    const { batchSize, epochs, spans, paired, signal } = this.#settings;
    throwIfAborted(signal);
    const native = await awaitNative(() => this.#native.batch(epoch, index, batchSize, epochs));
    this.#cursor = { epoch: native.epoch, index: native.index };
    if (native.lengths.length === 0) return null;
    const rows = (flat: Int32Array): Int32Array[] => {
      let end = 0;
      return Array.from(native.lengths, (length) => flat.subarray(end, (end += length)));
    };
    let at = 0;
    const instanceSpans = (count: number) =>
      Array.from({ length: count }, (): [number, number, number] => [
        native.spans[at++],
        native.spans[at++],
        native.spans[at++],
      ]);
    return {
      input_ids: rows(native.ids),
      token_type_ids: rows(native.types),
      labels: rows(native.labels),
      ...(paired ? { sop_labels: native.orders } : {}),
      ...(spans ? { spans: Array.from(native.spanCounts, instanceSpans) } : {}),
    };
  }
}

/**
 * Batches of pre-training instances: endless unless `epochs` ends them, deterministic in the seed, masked anew in every pass.
 * The next batch is made while the caller works on the last one.
 * @throws AlbertError INVALID_ARGUMENT for options, DATA for text or files that cannot be used, with file and line.
 */
export async function* pretrainingBatches(
  options: PretrainingDataOptions,
): AsyncGenerator<PretrainingBatch, void, void> {
  const stream = await PretrainingStream.open(options);
  let upcoming = stream.next();
  for (let batch = await upcoming; batch !== null; batch = await upcoming) {
    upcoming = stream.next();
    // Whoever stops early never awaits it; its failure is then nobody's.
    upcoming.catch(() => {});
    yield batch;
  }
}

/** The same held-out batches at every call: all, or so many that are spread evenly over the held-out text, whose files stand in order. */
export async function evaluationBatches(
  data: PretrainingDataOptions,
  count: number,
): Promise<PretrainingBatch[]> {
  const stream = await PretrainingStream.open({ ...data, split: 'evaluation', epochs: 1 });
  const instances = await stream.size();
  const batches: PretrainingBatch[] = [];
  for (let batch = await stream.next(); batch; batch = await stream.next()) {
    batches.push(batch);
    if (batches.length === count) break;
    const { epoch, index } = stream.cursor;
    const spread = Math.floor((batches.length * instances) / count);
    if (epoch === 0 && spread > index) stream.seek({ epoch, index: spread });
  }
  return batches;
}
