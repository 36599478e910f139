/** text-classification: labels of texts or pairs, with regression and multi-label heads. */
import type { Albert } from '../albert';
import { sigmoid, softmax, topIndices } from '../math';
import {
  abortSignal,
  checkNames,
  integer,
  invalid,
  type Names,
  oneOf,
  optionsObject,
  string,
} from '../options';
import type { TextOrPair } from '../tokenizer';
import {
  batchOf,
  labelOf,
  limitsOf,
  makePipeline,
  openModel,
  type Pipeline,
  type PipelineOptions,
  TEXT_OPTIONS,
  type TextOptions,
} from './open';
import { encodeFor, runEncodings } from './run';

/** A text, or a pair of them such as premise and hypothesis. */
export type ClassificationInput = string | { text: string; text_pair?: string };

export interface TextClassificationOptions extends TextOptions {
  /** Labels to return, best first; null for all. Default 1. */
  top_k?: number | null;
  /**
   * How logits become scores. Default: none for regression, sigmoid for multi-label or a single output, else softmax, as
   * `problem_type` and the number of labels say.
   */
  function_to_apply?: 'softmax' | 'sigmoid' | 'none';
}

const CLASSIFICATION_OPTIONS: Names<TextClassificationOptions> = {
  ...TEXT_OPTIONS,
  top_k: true,
  function_to_apply: true,
};

export interface ClassificationResult {
  label: string;
  score: number;
}

export interface TextClassificationPipeline extends Pipeline<'text-classification'> {
  (input: ClassificationInput, options?: TextClassificationOptions): Promise<ClassificationResult[]>;
  (
    inputs: readonly ClassificationInput[],
    options: TextClassificationOptions & { top_k: number | null },
  ): Promise<ClassificationResult[] | ClassificationResult[][]>;
  (
    inputs: readonly ClassificationInput[],
    options?: TextClassificationOptions,
  ): Promise<ClassificationResult[]>;
  (
    inputs: ClassificationInput | readonly ClassificationInput[],
    options?: TextClassificationOptions,
  ): Promise<ClassificationResult[] | ClassificationResult[][]>;
}

function readInput(subject: string, value: unknown): TextOrPair {
  if (typeof value === 'string') return value;
  if (typeof value !== 'object' || value === null || !('text' in value)) {
    throw invalid('a string or { text, text_pair }', subject, value);
  }
  checkNames(subject, value as { text: unknown; text_pair?: unknown }, { text: true, text_pair: true });
  const { text, text_pair } = value as { text: unknown; text_pair?: unknown };
  const first = string(`${subject}.text`, text);
  return text_pair == null ? first : [first, string(`${subject}.text_pair`, text_pair)];
}

function usualFunction(model: Albert, labels: number): 'softmax' | 'sigmoid' | 'none' {
  const { problem_type } = model.config;
  if (problem_type === 'regression') return 'none';
  return problem_type === 'multi_label_classification' || labels === 1 ? 'sigmoid' : 'softmax';
}

export async function textClassification(
  source?: string | Albert,
  options?: PipelineOptions,
): Promise<TextClassificationPipeline> {
  const opened = await openModel('text-classification', source, options, {
    heads: ['sequence-classification'],
  });
  const { model } = opened;

  const call = async (
    input: ClassificationInput | readonly ClassificationInput[],
    callOptions?: TextClassificationOptions,
  ) => {
    const given = optionsObject<TextClassificationOptions>('options', callOptions, CLASSIFICATION_OPTIONS);
    const { items, single } = batchOf<unknown>('text', input, readInput);
    const k = given.top_k === null ? Infinity : integer('top_k', given.top_k, { min: 1 }, 1);
    const asked = oneOf('function_to_apply', given.function_to_apply, ['softmax', 'sigmoid', 'none'], null);
    const signal = abortSignal(given.signal);
    const encodings = await encodeFor(model, items as TextOrPair[], { ...limitsOf(model, given), signal });
    const results = await runEncodings(
      model,
      encodings,
      { outputs: ['logits'], signal },
      (outputs, { row }) => {
        const logits = outputs.logits!.row(row);
        const apply = asked ?? usualFunction(model, logits.length);
        const scores =
          apply === 'softmax'
            ? softmax(logits)
            : Float64Array.from(logits, apply === 'sigmoid' ? sigmoid : (x) => x);
        return topIndices(scores, Math.min(k, scores.length)).map((i): ClassificationResult => ({
          label: labelOf(model, i),
          score: scores[i],
        }));
      },
    );
    if (k === 1) return results.map((labels) => labels[0]);
    return single ? results[0] : results;
  };
  return makePipeline('text-classification', opened, call) as TextClassificationPipeline;
}
