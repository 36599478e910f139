/** Questions about a context: windows over long contexts, answers from start and end scores, as the reference has them. */
import type { Albert } from '../albert';
import type { ForwardOutputs } from '../outputs';
import { inputsOf } from '../inputs';
import { softmax, topIndices } from '../math';
import { runEncodings, type RunPlan } from '../pipelines/run';
import type { Tokenizer } from '../tokenizer';
import { squad, type SquadInput } from './squad-metric';
import { type AnsweringExample, type Feature, joined, type Kind, type Scores } from './task';

export interface Window extends Feature {
  /** Position of the window's first context token in its sequence, and which token of the context that is. */
  first: number;
  from: number;
  /** Whether no other window shows context token `from + i` with more around it. */
  best: Uint8Array;
  /** [start, end] of every context token in the context, flat. */
  offsets: Int32Array;
}

/** With scores of its start and end: logits, or log-probabilities of a beam. */
interface Answer {
  text: string;
  /** Softmax over the answers kept. */
  probability: number;
  start_logit: number;
  end_logit: number;
}

export interface AnswerPrediction {
  /** Best first; one that is empty when no span qualifies. */
  answers: Answer[];
  /** Grows with the likelihood that there is no answer: its score minus that of the best span, or the logit of its class. */
  nullOdds: number;
}

/** Windows of at most `capacity` context tokens, `stride` apart. */
export function windowSpans(
  tokens: number,
  capacity: number,
  stride: number,
): { from: number; length: number }[] {
  const spans: { from: number; length: number }[] = [];
  for (let from = 0; ;) {
    const length = Math.min(tokens - from, capacity);
    spans.push({ from, length });
    if (from + length >= tokens) return spans;
    from += Math.min(length, stride);
  }
}

/** For each window, which of its tokens no other shows with more context: min(left, right) + length / 100, the first wins. */
export function maxContext(spans: readonly { from: number; length: number }[]): Uint8Array[] {
  const score = (token: number, { from, length }: { from: number; length: number }) =>
    Math.min(token - from, from + length - 1 - token) + 0.01 * length;
  const covers = (token: number, { from, length }: { from: number; length: number }) =>
    token >= from && token < from + length;
  return spans.map((span, index) =>
    Uint8Array.from({ length: span.length }, (_, i) => {
      const token = span.from + i;
      const own = score(token, span);
      return Number(
        spans.every(
          (other, o) =>
            !covers(token, other) ||
            o === index ||
            (o < index ? score(token, other) < own : score(token, other) <= own),
        ),
      );
    }),
  );
}

/** The context token that character `at` belongs to: the last that begins at or before it. */
function tokenAt(offsets: Int32Array, at: number): number {
  let [low, high] = [0, offsets.length / 2 - 1];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (offsets[2 * middle] <= at) low = middle;
    else high = middle - 1;
  }
  return low;
}

async function encode(
  tokenizer: Tokenizer,
  examples: AnsweringExample[],
  limits: { maxLength: number; docStride: number; maxQuestionLength: number },
): Promise<Window[]> {
  const plain = { addSpecialTokens: false };
  const questions = await tokenizer.encodeRaw(
    examples.map(({ question }) => question),
    plain,
  );
  // Several questions share a context: it is tokenised once.
  const distinct = [...new Set(examples.map(({ context }) => context))];
  const encoded = await tokenizer.encodeRaw(distinct, plain);
  const contexts = new Map(distinct.map((context, i) => [context, encoded[i]]));
  const longest = Math.min(limits.maxQuestionLength, Math.max(1, Math.floor(limits.maxLength / 2) - 3));
  return examples.flatMap(({ context }, example) => {
    const question = questions[example].ids.subarray(0, longest);
    const { ids, offsets } = contexts.get(context)!;
    const spans = windowSpans(ids.length, limits.maxLength - question.length - 3, limits.docStride);
    const best = maxContext(spans);
    const first = question.length + 2;
    return spans.map(({ from, length }, w) => {
      const window = joined(tokenizer, question, ids.subarray(from, from + length));
      return {
        example,
        sequences: [window],
        tokens: window.ids.length,
        first,
        from,
        best: best[w],
        offsets,
      };
    });
  });
}

/** Start and end of the answer as positions of the window; [CLS] where the window does not show all of it. */
function targets(window: Window, { answers }: AnsweringExample): [number, number] {
  const answer = answers?.[0];
  if (!answer) return [0, 0];
  const begin = tokenAt(window.offsets, answer.start) - window.from;
  const end = tokenAt(window.offsets, answer.start + answer.text.length - 1) - window.from;
  return begin >= 0 && end < window.best.length ? [begin + window.first, end + window.first] : [0, 0];
}

export interface Candidate {
  start: number;
  end: number;
  startLogit: number;
  endLogit: number;
}

/** What one window of a question shows, or all of them: spans, and the lowest score of no answer. */
interface Found {
  spans: Candidate[];
  none: number;
}

/** Whether positions of a window are an answer: in its context, the start best seen here, and at most `longest` tokens. */
export function isSpan({ first, best }: Window, start: number, end: number, longest: number): boolean {
  const inside = start >= first && end >= start && end < first + best.length && end - start < longest;
  return inside && best[start - first] === 1;
}

/** Spans of one window: the best starts and ends paired. */
function candidates(window: Window, start: Float32Array, end: Float32Array, longest: number, count: number) {
  const token = window.from - window.first;
  const found: Candidate[] = [];
  const ends = topIndices(end, count);
  for (const s of topIndices(start, count)) {
    for (const e of ends) {
      if (!isSpan(window, s, e, longest)) continue;
      found.push({ start: s + token, end: e + token, startLogit: start[s], endLogit: end[e] });
    }
  }
  return found;
}

/** The best answers to each question from all its windows; `read` finds the spans of one. */
export async function findAnswers(
  model: Albert,
  windows: Window[],
  examples: AnsweringExample[],
  { bestCount, ...plan }: RunPlan & { bestCount: number },
  read: (outputs: ForwardOutputs, row: number, window: Window) => Found,
): Promise<{ answers: Answer[]; none: number }[]> {
  const found = examples.map((): Found & Pick<Window, 'offsets'> => ({
    spans: [],
    none: Infinity,
    offsets: new Int32Array(),
  }));
  await runEncodings(
    model,
    windows.map(({ sequences }) => sequences[0]),
    plan,
    (computed, { row, index }) => {
      const { spans, none } = read(computed, row, windows[index]);
      const own = found[windows[index].example];
      own.spans.push(...spans);
      own.none = Math.min(own.none, none);
      own.offsets = windows[index].offsets;
    },
  );
  return found.map(({ spans, none, offsets }, example) => ({
    answers: rank(examples[example], offsets, spans, bestCount),
    none,
  }));
}

/** The distinct texts of the best spans of all windows of a question. */
function rank(example: AnsweringExample, offsets: Int32Array, found: Candidate[], count: number): Answer[] {
  const sorted = [...found].sort((a, b) => b.startLogit + b.endLogit - (a.startLogit + a.endLogit));
  const answers: Answer[] = [];
  const seen = new Set<string>();
  for (const { start, end, startLogit, endLogit } of sorted) {
    if (answers.length === count) break;
    const text = example.context.slice(offsets[2 * start], offsets[2 * end + 1]).trim();
    if (seen.has(text)) continue;
    seen.add(text);
    answers.push({ text, probability: 0, start_logit: startLogit, end_logit: endLogit });
  }
  if (answers.length === 0) answers.push({ text: '', probability: 0, start_logit: 0, end_logit: 0 });
  const probabilities = softmax(answers.map((answer) => answer.start_logit + answer.end_logit));
  return answers.map((answer, i) => ({ ...answer, probability: probabilities[i] }));
}

/**
 * The threshold with the best F1 on the scored questions themselves, as the reference searches it. There 0 answers nothing, which
 * holds for probabilities; odds may all lie below, so the search sees them moved above it.
 */
function searchThreshold(input: SquadInput, odds: Record<string, number>): number {
  const least = Object.values(odds).reduce((a, b) => Math.min(a, b), Infinity);
  const moved = Object.entries(odds).map(([id, value]): [string, number] => [id, value - least + 1]);
  const { best_f1_thresh: found } = squad({
    ...input,
    noAnswerProbabilities: Object.fromEntries(moved),
    threshold: Number.MAX_VALUE,
  });
  const id = moved.find(([, value]) => value === found)?.[0];
  return id === undefined ? least - 1 : odds[id];
}

function scores(examples: AnsweringExample[], predictions: AnswerPrediction[], mayHaveNone: boolean): Scores {
  // By place, as questions may share an id.
  const byPlace = <T>(value: (prediction: AnswerPrediction) => T) =>
    Object.fromEntries(predictions.map((prediction, i) => [String(i), value(prediction)]));
  const input = {
    examples: examples.map(({ answers }, i) => ({
      id: String(i),
      answers: answers!.map(({ text }) => text),
    })),
    predictions: byPlace(({ answers }) => answers[0].text),
  };
  if (!mayHaveNone) {
    const { exact, f1, total } = squad(input);
    return { f1, exact, total };
  }
  const noAnswerProbabilities = byPlace(({ nullOdds }) => nullOdds);
  const threshold = searchThreshold(input, noAnswerProbabilities);
  const { f1, exact, ...others } = squad({ ...input, noAnswerProbabilities, threshold });
  return { f1, exact, ...(others as Scores), threshold };
}

/** Answers as spans; `mayHaveNone` where a question may have no answer, as in SQuAD 2.0. */
export function answering(mayHaveNone: boolean): Kind<AnsweringExample, Window, AnswerPrediction> {
  return {
    head: 'question-answering',
    config: () => ({}),
    encode,
    batch: (windows, examples) => {
      const spans = windows.map((window) => targets(window, examples[window.example]));
      return {
        ...inputsOf(windows.map(({ sequences }) => sequences[0])),
        start_positions: spans.map(([start]) => start),
        end_positions: spans.map(([, end]) => end),
      };
    },
    async predict(model, windows, examples, { signal, onProgress, maxAnswerLength = 30, bestCount = 20 }) {
      const found = await findAnswers(
        model,
        windows,
        examples,
        { outputs: ['start_logits', 'end_logits'], signal, onProgress, bestCount },
        (outputs, row, window) => {
          const start = outputs.start_logits!.row(row).subarray(0, window.tokens);
          const end = outputs.end_logits!.row(row).subarray(0, window.tokens);
          const spans = candidates(window, start, end, maxAnswerLength, bestCount);
          return { spans, none: start[0] + end[0] };
        },
      );
      return found.map(({ answers, none }) => ({
        answers,
        nullOdds: none - (answers[0].start_logit + answers[0].end_logit),
      }));
    },
    score: (_task, examples, predictions) => scores(examples, predictions, mayHaveNone),
    show: (_task, { question }, { answers, nullOdds }) => ({
      question,
      prediction: answers[0].text,
      ...(mayHaveNone ? { null_odds: nullOdds } : {}),
      answers,
    }),
  };
}
