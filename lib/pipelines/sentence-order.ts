/** sentence-order: whether two passages stand in their original order, by the head ALBERT was pre-trained with. */
import type { Albert } from '../albert';
import { softmax } from '../math';
import { abortSignal, optionsObject } from '../options';
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

export interface SentenceOrderResult {
  /** Probability that the first passage comes first. */
  ordered: number;
  swapped: number;
}

export interface SentenceOrderPipeline extends Pipeline<'sentence-order'> {
  (first: string, second: string, options?: CallOptions): Promise<SentenceOrderResult>;
  /** One passage beside several, or pairs. */
  (
    firsts: string | readonly string[],
    seconds: string | readonly string[],
    options?: CallOptions,
  ): Promise<SentenceOrderResult[]>;
}

export async function sentenceOrder(
  source?: string | Albert,
  options?: PipelineOptions,
): Promise<SentenceOrderPipeline> {
  const opened = await openModel('sentence-order', source, options, {
    heads: ['pretraining'],
    parameters: ['sop_classifier.', 'pooler.'],
  });
  const { model } = opened;

  const call = async (
    first: string | readonly string[],
    second: string | readonly string[],
    callOptions?: CallOptions,
  ) => {
    const given = optionsObject<CallOptions>('options', callOptions, CALL_OPTIONS);
    const [firsts, seconds] = pairsOf('first', first, 'second', second);
    const single = typeof first === 'string' && typeof second === 'string';
    const signal = abortSignal(given.signal);
    const encodings = await encodeFor(
      model,
      firsts.map((text, i): TextOrPair => [text, seconds[i]]),
      { signal },
    );
    const plan = { outputs: ['sop_logits'], signal };
    const results = await runEncodings(model, encodings, plan, (outputs, { row }) => {
      const [ordered, swapped] = softmax(outputs.sop_logits!.row(row).subarray(0, 2));
      return { ordered, swapped };
    });
    return single ? results[0] : results;
  };
  return makePipeline('sentence-order', opened, call) as SentenceOrderPipeline;
}
