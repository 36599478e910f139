/** question-answering: the spans of a context that answer a question, over contexts of any length. */
import type { Albert } from '../albert';
import { softmax } from '../math';
import { abortSignal, boolean, integer, type Names, optionsObject } from '../options';
import type { NativeEncoding } from '../native';
import type { TextOrPair } from '../tokenizer';
import {
  CALL_OPTIONS,
  type CallOptions,
  makePipeline,
  openModel,
  pairsOf,
  type Pipeline,
  type PipelineOptions,
} from './open';
import { encodeFor, runEncodings } from './run';

export interface QuestionAnsweringOptions extends CallOptions {
  /** Answers to return, best first; more than one gives an array. Default 1. */
  top_k?: number;
  /**
   * Tokens that neighbouring windows of a long context share. Default 128, or half a window of less than 256. Half of what the
   * question leaves of a window where so much would leave no room to move on, or by default less than a quarter.
   */
  doc_stride?: number;
  /** Tokens of an answer at most. Default 15. */
  max_answer_len?: number;
  /** Tokens of a window at most, question included. Default 384, or what the model takes. */
  max_seq_len?: number;
  /** Tokens of the question at most. Default 64. */
  max_question_len?: number;
  /** Let the empty answer win where the model says that there is none. Default false. */
  handle_impossible_answer?: boolean;
}

const ANSWERING_OPTIONS: Names<QuestionAnsweringOptions> = {
  ...CALL_OPTIONS,
  top_k: true,
  doc_stride: true,
  max_answer_len: true,
  max_seq_len: true,
  max_question_len: true,
  handle_impossible_answer: true,
};

/** `context.slice(start, end)` is the answer. */
export interface AnswerResult {
  answer: string;
  score: number;
  start: number;
  end: number;
}

export interface QuestionAnsweringPipeline extends Pipeline<'question-answering'> {
  <K extends number = 1>(
    question: string,
    context: string,
    options?: QuestionAnsweringOptions & { top_k?: K },
  ): Promise<Answers<K>>;
  /** Several questions of one context, one question of several, or pairs of both. */
  <K extends number = 1>(
    questions: string | readonly string[],
    contexts: string | readonly string[],
    options?: QuestionAnsweringOptions & { top_k?: K },
  ): Promise<Answers<K>[]>;
}

/** One answer where top_k is 1, else a list. */
export type Answers<K extends number> = number extends K
  ? AnswerResult | AnswerResult[]
  : K extends 1
    ? AnswerResult
    : AnswerResult[];

interface Window {
  example: number;
  encoding: NativeEncoding;
  /** First and last position that belong to the context. */
  first: number;
  last: number;
}

interface Span {
  start: number;
  end: number;
  score: number;
}

/** Probabilities over [CLS] and the context alone, [CLS] first. */
function probabilities(logits: Float32Array, { first, last }: Window): Float64Array {
  const row = new Float64Array(last - first + 2);
  row[0] = logits[0];
  for (let i = first; i <= last; i++) row[i - first + 1] = logits[i];
  return softmax(row);
}

/** The best spans of one window, and the probability that it holds no answer. */
function decode(start: Float64Array, end: Float64Array, window: Window, maxLength: number, k: number) {
  const spans: Span[] = [];
  const offset = (position: number, side: 0 | 1) => window.encoding.offsets[2 * position + side];
  const isEmpty = (i: number) => offset(window.first + i - 1, 0) === offset(window.first + i - 1, 1);
  // A metaspace that stands alone covers nothing: what begins or ends with it is the text that its neighbour begins or ends.
  for (let i = 1; i + 1 < start.length; i++) if (isEmpty(i)) start[i + 1] = Math.max(start[i + 1], start[i]);
  for (let i = end.length - 1; i > 1; i--) if (isEmpty(i)) end[i - 1] = Math.max(end[i - 1], end[i]);
  for (let i = 1; i < start.length; i++) {
    if (isEmpty(i)) continue;
    for (let j = i; j < Math.min(end.length, i + maxLength); j++) {
      if (isEmpty(j)) continue;
      const score = start[i] * end[j];
      if (spans.length === k && !(score > spans[k - 1].score)) continue;
      const span = { start: window.first + i - 1, end: window.first + j - 1, score };
      let at = Math.min(spans.length, k - 1);
      for (; at > 0 && score > spans[at - 1].score; at--) spans[at] = spans[at - 1];
      spans[at] = span;
    }
  }
  return {
    none: start[0] * end[0],
    spans: spans.map((span) => ({ ...span, start: offset(span.start, 0), end: offset(span.end, 1) })),
  };
}

function contextWindow(encoding: NativeEncoding, example: number): Window {
  const first = encoding.types.indexOf(1);
  // The last token of the second segment is [SEP].
  const last = encoding.types.lastIndexOf(1) - 1;
  return { example, encoding, first: first < 0 ? 1 : first, last: first < 0 ? 0 : last };
}

export async function questionAnswering(
  source?: string | Albert,
  options?: PipelineOptions,
): Promise<QuestionAnsweringPipeline> {
  const opened = await openModel('question-answering', source, options, {
    heads: ['question-answering'],
  });
  const { model } = opened;

  /** Questions cut to `limit` tokens, and how many they have. */
  async function shorten(questions: readonly string[], limit: number, signal?: AbortSignal) {
    const encodings = await encodeFor(model, questions, {
      addSpecialTokens: false,
      maxLength: limit,
      signal,
    });
    return Promise.all(
      questions.map(async (question, i) => {
        const { ids, offsets } = encodings[i];
        if (ids.length < limit) return { text: question, tokens: ids.length };
        // What is cut may have other tokens than its beginning had.
        const text = question.slice(0, offsets[2 * limit - 1]);
        const [alone] = await encodeFor(model, [text], { addSpecialTokens: false, signal });
        return { text, tokens: alone.ids.length };
      }),
    );
  }

  /** Windows of each pair. Pairs whose windows share as many tokens are encoded together. */
  async function windowsOf(
    pairs: readonly [string, string][],
    strides: readonly number[],
    maxLength: number,
    signal?: AbortSignal,
  ) {
    const windows: Window[][] = [];
    for (const stride of new Set(strides)) {
      const members = pairs.map((_, i) => i).filter((i) => strides[i] === stride);
      const encodings = await encodeFor(
        model,
        members.map((i): TextOrPair => pairs[i]),
        { maxLength, truncation: 'only_second', stride, returnOverflowing: true, signal },
      );
      encodings.forEach((encoding, m) => {
        const all = [encoding, ...encoding.overflowing];
        windows[members[m]] = all.map((window) => contextWindow(window, members[m]));
      });
    }
    return windows.flat();
  }

  const call = async (
    questionInput: string | readonly string[],
    contextInput: string | readonly string[],
    callOptions?: QuestionAnsweringOptions,
  ) => {
    const given = optionsObject<QuestionAnsweringOptions>('options', callOptions, ANSWERING_OPTIONS);
    const [questions, contexts] = pairsOf('question', questionInput, 'context', contextInput);
    const single = typeof questionInput === 'string' && typeof contextInput === 'string';
    const signal = abortSignal(given.signal);
    const k = integer('top_k', given.top_k, { min: 1 }, 1);
    const longestAnswer = integer('max_answer_len', given.max_answer_len, { min: 1 }, 15);
    const longestWindow = integer('max_seq_len', given.max_seq_len, { min: 8 }, 384);
    const longestQuestion = integer('max_question_len', given.max_question_len, { min: 1 }, 64);
    const maxLength = Math.min(longestWindow, model.maxLength);
    const questionLength = Math.min(longestQuestion, Math.max(1, Math.floor(maxLength / 2) - 3));
    const shared = integer('doc_stride', given.doc_stride, { min: 0 }, Math.min(128, maxLength >> 1));
    const mayBeImpossible = boolean('handle_impossible_answer', given.handle_impossible_answer, false);

    const asked = await shorten(questions, questionLength, signal);
    // Windows must move on, and by a quarter of their room where nothing else was asked for; else they share half of it.
    const strides = asked.map(({ tokens }) => {
      const room = maxLength - tokens - 3;
      const most = given.doc_stride === undefined ? (3 * room) >> 2 : room - 1;
      return shared <= most ? shared : room >> 1;
    });
    const pairs = asked.map(({ text }, i): [string, string] => [text, contexts[i]]);
    const windows = await windowsOf(pairs, strides, maxLength, signal);
    const decoded = await runEncodings(
      model,
      windows.map((window) => window.encoding),
      { outputs: ['start_logits', 'end_logits'], signal },
      (outputs, { row, index }) => {
        const start = probabilities(outputs.start_logits!.row(row), windows[index]);
        const end = probabilities(outputs.end_logits!.row(row), windows[index]);
        return decode(start, end, windows[index], longestAnswer, k);
      },
    );
    const ofExample = questions.map((): typeof decoded => []);
    decoded.forEach((window, w) => ofExample[windows[w].example].push(window));
    const results = ofExample.map((own, example) => {
      // Neighbouring windows find the same span twice: the surer one counts.
      const best = new Map<string, Span>();
      for (const span of own.flatMap((window) => window.spans)) {
        const key = `${span.start}:${span.end}`;
        if (span.score > (best.get(key)?.score ?? -1)) best.set(key, span);
      }
      const answers = [...best.values()].map(({ start, end, score }): AnswerResult => ({
        answer: contexts[example].slice(start, end),
        score,
        start,
        end,
      }));
      if (mayBeImpossible) {
        answers.push({
          answer: '',
          score: Math.min(1, ...own.map((window) => window.none)),
          start: 0,
          end: 0,
        });
      }
      answers.sort((a, b) => b.score - a.score);
      const none: AnswerResult = { answer: '', score: 0, start: 0, end: 0 };
      return k === 1 ? (answers[0] ?? none) : answers.slice(0, k);
    });
    return single ? results[0] : results;
  };
  return makePipeline('question-answering', opened, call) as QuestionAnsweringPipeline;
}
