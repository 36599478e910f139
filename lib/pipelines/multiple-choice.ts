/** multiple-choice: which of several answers to a question a passage supports. */
import type { Albert } from '../albert';
import { inputsOf } from '../inputs';
import { softmax, topIndices } from '../math';
import { abortSignal, optionsObject, string, strings } from '../options';
import type { TextOrPair } from '../tokenizer';
import {
  CALL_OPTIONS,
  type CallOptions,
  makePipeline,
  openModel,
  type Pipeline,
  type PipelineOptions,
} from './open';
import { encodeFor } from './run';

export interface MultipleChoiceResult {
  choice: string;
  /** Its place in the caller's list. */
  index: number;
  score: number;
}

export interface MultipleChoicePipeline extends Pipeline<'multiple-choice'> {
  /** All choices, best first; scores sum to one. A '_' in the question is the blank that the choice fills. */
  (
    context: string,
    question: string,
    choices: readonly string[],
    options?: CallOptions,
  ): Promise<MultipleChoiceResult[]>;
}

/** As the RACE data of the ALBERT release is prepared: the choice fills every blank, or follows the question. */
export function statement(question: string, choice: string): string {
  return question.includes('_') ? question.replaceAll('_', () => choice) : `${question} ${choice}`.trim();
}

export async function multipleChoice(
  source?: string | Albert,
  options?: PipelineOptions,
): Promise<MultipleChoicePipeline> {
  const opened = await openModel('multiple-choice', source, options, {
    heads: ['multiple-choice'],
  });
  const { model } = opened;

  const call = async (
    context: string,
    question: string,
    choices: readonly string[],
    callOptions?: CallOptions,
  ) => {
    const given = optionsObject<CallOptions>('options', callOptions, CALL_OPTIONS);
    string('context', context);
    string('question', question);
    const pairs = strings('choices', choices).map((choice): TextOrPair => [
      context,
      statement(question, choice),
    ]);
    const signal = abortSignal(given.signal);
    const encodings = await encodeFor(model, pairs, { signal });
    const { input_ids, token_type_ids } = inputsOf(encodings);
    const { logits } = await model.forward(
      { input_ids: [input_ids], token_type_ids: [token_type_ids] },
      { outputs: ['logits'], signal },
    );
    const scores = softmax(logits.row(0));
    return topIndices(scores, scores.length).map((index): MultipleChoiceResult => ({
      choice: choices[index],
      index,
      score: scores[index],
    }));
  };
  return makePipeline('multiple-choice', opened, call);
}
