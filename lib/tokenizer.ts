/** Text to ids and back, exactly as the reference tokenizers do it, with offsets into the caller's own string. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { untilAborted } from './abort';
import { AlbertError, awaitNative, callNative } from './errors';
import {
  binding,
  type NativeEncodeOptions,
  type NativeEncoding,
  type NativePretraining,
  type NativePretrainingOptions,
  type NativeTokenizer,
} from './native';
import { boolean, integer, invalid, type Names, oneOf, optionsObject, string } from './options';
import { findTokenizer, isFile, resolveFolder, settingsBeside, type TokenizerFiles } from './source';

/** One text, or a pair of them. */
export type TextOrPair = string | readonly [text: string, pair: string];

export interface EncodeOptions {
  /** Default true: [CLS] A [SEP] (B [SEP]). */
  add_special_tokens?: boolean;
  /** Default false; true treats '[MASK]' and its like in the text as plain characters, as with untrusted input. */
  split_special_tokens?: boolean;
  /** Tokens in all, special ones included. Default: `maxLength` of the tokenizer where `truncation` is given, else no limit. */
  max_length?: number;
  /** What is cut where max_length is exceeded. Default 'longest_first'; 'none' or false rejects with TOO_LONG. */
  truncation?: boolean | 'none' | 'longest_first' | 'only_first' | 'only_second';
  /** Tokens that one overflow window shares with the next. Default 0. */
  stride?: number;
  /** Default false; true also returns the windows that truncation cut off. */
  return_overflowing?: boolean;
}

const ENCODE_OPTIONS: Names<EncodeOptions> = {
  add_special_tokens: true,
  split_special_tokens: true,
  max_length: true,
  truncation: true,
  stride: true,
  return_overflowing: true,
};

/** A sequence of T tokens. */
export interface Encoding {
  input_ids: Int32Array;
  /** 0 for the first text and its [SEP], 1 for the second. */
  token_type_ids: Int32Array;
  attention_mask: Int32Array;
  /** [start, end] in UTF-16 units of the text that the token came from; [0, 0] for special tokens. */
  offsets: [start: number, end: number][];
  tokens: string[];
  /** The windows after this one, when `return_overflowing` asked for them. */
  overflowing?: Encoding[];
}

const ID = { min: -0x80000000, max: 0x7fffffff };
/** Options of encodeRaw(). */
export type RawOptions = Partial<NativeEncodeOptions> & { signal?: AbortSignal };

const TRUNCATIONS = ['none', 'longest_first', 'only_first', 'only_second'] as const;

// Making JavaScript values blocks the event loop, so long batches return in parts of so many UTF-16 units of text.
const UNITS_PER_PART = { tokens: 8 * 1024, ids: 128 * 1024 };
// The addon divides a part between its own threads. Of libuv's four, others have files to read.
const PARTS_IN_FLIGHT = 2;
// Below this, a fraction of a millisecond, encoding costs less than a trip to another thread.
const UNITS_AT_ONCE = 4096;
const TEXTS_AT_ONCE = 16;

/** What `truncation` asks for, true and nothing meaning the usual. */
export function truncationOf(given: EncodeOptions['truncation']): (typeof TRUNCATIONS)[number] {
  if (typeof given === 'boolean') return given ? 'longest_first' : 'none';
  return oneOf('truncation', given, TRUNCATIONS, 'longest_first');
}

function nativeOptions(options: EncodeOptions | undefined, modelLength = Infinity): NativeEncodeOptions {
  const given = optionsObject<EncodeOptions>('options', options, ENCODE_OPTIONS);
  const { truncation } = given;
  const cuts = truncation !== undefined && truncation !== false && truncation !== 'none';
  const usualLength = cuts && modelLength !== Infinity ? modelLength : 0;
  return {
    addSpecialTokens: boolean('add_special_tokens', given.add_special_tokens, true),
    splitSpecialTokens: boolean('split_special_tokens', given.split_special_tokens, false),
    maxLength: integer('max_length', given.max_length, { min: 1, max: 0x7fffffff }, usualLength),
    truncation: truncationOf(truncation),
    stride: integer('stride', given.stride, { min: 0, max: 0x7fffffff }, 0),
    returnOverflowing: boolean('return_overflowing', given.return_overflowing, false),
    tokens: true,
  };
}

/** Ranges of texts with about `limit` UTF-16 units each. */
function cut(texts: [string, string | null][], limit: number): [begin: number, end: number][] {
  const parts: [number, number][] = [];
  let begin = 0;
  let units = 0;
  texts.forEach(([first, second], i) => {
    units += first.length + (second?.length ?? 0);
    if (units < limit && i < texts.length - 1) return;
    parts.push([begin, i + 1]);
    begin = i + 1;
    units = 0;
  });
  return parts;
}

function splitPair(subject: string, text: unknown): [string, string | null] {
  if (typeof text === 'string') return [text, null];
  if (Array.isArray(text) && text.length === 2) {
    return [string(`${subject}[0]`, text[0]), string(`${subject}[1]`, text[1])];
  }
  throw invalid('a string or a pair of strings', subject, text);
}

function toEncoding(native: NativeEncoding, withOverflow: boolean): Encoding {
  const offsets: [number, number][] = [];
  for (let i = 0; i < native.offsets.length; i += 2) offsets.push([native.offsets[i], native.offsets[i + 1]]);
  return {
    input_ids: native.ids,
    token_type_ids: native.types,
    attention_mask: new Int32Array(native.ids.length).fill(1),
    offsets,
    tokens: native.tokens,
    ...(withOverflow ? { overflowing: native.overflowing.map((window) => toEncoding(window, false)) } : {}),
  };
}

/** A loaded vocabulary. Immutable, and freed by the garbage collector. */
export class Tokenizer {
  readonly #native: NativeTokenizer;
  readonly #files: TokenizerFiles;
  /** `model_max_length` of tokenizer_config.json, or what the positions of the model allow that it came with, or Infinity. */
  readonly maxLength: number;
  /** Number of ids, special tokens included. */
  readonly vocabSize: number;
  /** Ids by role; -1 when the vocabulary has none. */
  readonly specialTokens: Readonly<Record<'pad' | 'unk' | 'cls' | 'sep' | 'mask' | 'bos' | 'eos', number>>;

  private constructor(native: NativeTokenizer, files: TokenizerFiles) {
    this.#native = native;
    this.#files = files;
    this.maxLength = files.maxLength;
    this.vocabSize = native.vocabSize;
    this.specialTokens = native.specialTokens;
  }

  /**
   * Loads spiece.model, tokenizer.json or vocab.txt of a model, with tokenizer_config.json.
   * @param source a model's folder or name, or a vocabulary file, whose settings are read from beside it.
   * @throws AlbertError CHECKPOINT when there is no such model, TOKENIZER when its files are missing or broken.
   */
  static async load(source: string): Promise<Tokenizer> {
    if (typeof source === 'string' && isFile(source)) {
      const vocabulary = path.resolve(source);
      return Tokenizer.fromFiles({ ...(await settingsBeside(vocabulary)), vocabulary });
    }
    const folder = await resolveFolder(source);
    const files = await findTokenizer(folder);
    if (!files) {
      throw new AlbertError('TOKENIZER', `expected spiece.model, tokenizer.json or vocab.txt in ${folder}`);
    }
    return Tokenizer.fromFiles(files);
  }

  /** Loads the files that were found already. */
  static async fromFiles(files: TokenizerFiles): Promise<Tokenizer> {
    const native = await awaitNative(() => {
      const { threads } = binding().cpuInfo();
      return binding().loadTokenizer(files.vocabulary, files.tokenizerConfig, files.specialTokens, threads);
    });
    return new Tokenizer(native, files);
  }

  /** The vocabulary file. */
  get file(): string {
    return this.#files.vocabulary;
  }

  /** A digest of the vocabulary file and its settings: what was tokenised with the same one need not be again. */
  async fingerprint(): Promise<string> {
    const hash = createHash('sha256').update(await readFile(this.#files.vocabulary));
    return hash.update(`${this.#files.tokenizerConfig}\0${this.#files.specialTokens}`).digest('hex');
  }

  /** Opens pre-training data of this vocabulary, for lib/training. */
  async openPretraining(files: string[], options: NativePretrainingOptions): Promise<NativePretraining> {
    return awaitNative(() => binding().openPretraining(this.#native, files, options));
  }

  /**
   * Ids of a text or pair, at once on this thread.
   * @throws AlbertError TOO_LONG when truncation is 'none' and the result exceeds max_length.
   */
  encode(text: TextOrPair, options?: EncodeOptions): Encoding {
    const native = nativeOptions(options, this.maxLength);
    const [first, second] = splitPair('text', text);
    return toEncoding(
      callNative(() => this.#native.encode(first, second, native)),
      native.returnOverflowing,
    );
  }

  /** Ids of many texts or pairs, off the event loop and on several threads. */
  async encodeBatch(texts: readonly TextOrPair[], options?: EncodeOptions): Promise<Encoding[]> {
    const native = nativeOptions(options, this.maxLength);
    return this.#encodeParts(texts, native, (encoding) => toEncoding(encoding, native.returnOverflowing));
  }

  /**
   * encodeBatch in the addon's own form, for the pipelines: typed arrays only, tokens where asked for.
   * @throws AlbertError ABORTED by the signal of its options.
   */
  async encodeRaw(
    texts: readonly TextOrPair[],
    { signal, ...options }: RawOptions,
  ): Promise<NativeEncoding[]> {
    const native = { ...nativeOptions(undefined), tokens: false, ...options };
    return untilAborted(signal, () => this.#encodeParts(texts, native, (encoding) => encoding, signal));
  }

  async #encodeParts<T>(
    texts: readonly TextOrPair[],
    options: NativeEncodeOptions,
    convert: (encoding: NativeEncoding) => T,
    signal?: AbortSignal,
  ): Promise<T[]> {
    if (!Array.isArray(texts)) throw invalid('an array of strings or pairs', 'texts', texts);
    const split = Array.from(texts, (text, i) => splitPair(`texts[${i}]`, text));
    const units = split.reduce((sum, [first, second]) => sum + first.length + (second?.length ?? 0), 0);
    if (units <= UNITS_AT_ONCE && split.length <= TEXTS_AT_ONCE)
      return callNative(() => split.map((text) => convert(this.#native.encode(...text, options))));
    const parts = cut(split, options.tokens ? UNITS_PER_PART.tokens : UNITS_PER_PART.ids);
    const results: T[][] = [];
    let next = 0;
    const work = async () => {
      while (next < parts.length && !signal?.aborted) {
        const index = next++;
        const slice = split.slice(...parts[index]);
        const firsts = slice.map((entry) => entry[0]);
        const seconds = slice.some((entry) => entry[1] !== null) ? slice.map((entry) => entry[1]) : null;
        const encodings = await awaitNative(() => this.#native.encodeBatch(firsts, seconds, options));
        results[index] = encodings.map(convert);
        // Parts that finish together would otherwise be converted in one turn of the event loop.
        await setImmediate();
      }
    };
    try {
      await Promise.all(Array.from({ length: Math.min(PARTS_IN_FLIGHT, parts.length) }, work));
    } finally {
      next = parts.length; // where one part fails, the others need not go on
    }
    return results.flat();
  }

  /**
   * Text of ids as the reference decoder writes it.
   * @throws AlbertError OUT_OF_VOCABULARY for an id the vocabulary does not have.
   */
  decode(ids: ArrayLike<number>, options?: { skip_special_tokens?: boolean }): string {
    if (typeof ids !== 'object' || ids === null || typeof ids.length !== 'number') {
      throw invalid('an array of ids', 'ids', ids);
    }
    const length = integer('the length of ids', ids.length, { min: 0 });
    // Checked as they are read, since a list may claim more of them than there is memory for.
    const checked: number[] = [];
    for (let i = 0; i < length; i++) checked.push(integer(`ids[${i}]`, ids[i], ID));
    const list = Int32Array.from(checked);
    const { skip_special_tokens } = optionsObject<{ skip_special_tokens?: boolean }>('options', options, {
      skip_special_tokens: true,
    });
    const skip = boolean('skip_special_tokens', skip_special_tokens, false);
    return callNative(() => this.#native.decode(list, skip));
  }

  /** The piece of an id. @throws AlbertError OUT_OF_VOCABULARY. */
  idToToken(id: number): string {
    const checked = integer('id', id, ID);
    return callNative(() => this.#native.idToToken(checked));
  }

  /** The id of a piece, or -1 when there is none. */
  tokenToId(token: string): number {
    return callNative(() => this.#native.tokenToId(string('token', token)));
  }
}
