/** sentence-similarity: cosine of the embeddings of two texts, pooled as the model's own files say, else by their mean. */
import type { Albert } from '../albert';
import { dot, normalise } from '../math';
import { abortSignal, optionsObject, string } from '../options';
import { embed, EMBEDDING_NEEDS } from './feature-extraction';
import {
  CALL_OPTIONS,
  type CallOptions,
  limitsOf,
  makePipeline,
  openModel,
  type Pipeline,
  type PipelineOptions,
  textsOf,
} from './open';
import { sentenceSettings } from '../sentence-settings';

export interface SentenceSimilarityPipeline extends Pipeline<'sentence-similarity'> {
  /** From -1 to 1. */
  (first: string, second: string, options?: CallOptions): Promise<number>;
  /** One similarity for each of the others. */
  (first: string, others: readonly string[], options?: CallOptions): Promise<number[]>;
  (first: string, second: string | readonly string[], options?: CallOptions): Promise<number | number[]>;
}

export async function sentenceSimilarity(
  source?: string | Albert,
  options?: PipelineOptions,
): Promise<SentenceSimilarityPipeline> {
  const opened = await openModel('sentence-similarity', source, options, EMBEDDING_NEEDS);
  const { model } = opened;

  const call = async (first: string, second: string | readonly string[], callOptions?: CallOptions) => {
    const given = optionsObject<CallOptions>('options', callOptions, CALL_OPTIONS);
    const { items: others, single } = textsOf('second text', second);
    const texts = [string('first text', first), ...others];
    const { pooling, max_length } = await sentenceSettings(model.folder);
    const vectors = await embed(
      model,
      texts,
      pooling,
      limitsOf(model, { max_length }),
      abortSignal(given.signal),
    );
    vectors.forEach(normalise);
    const similarities = vectors.slice(1).map((vector) => Math.min(1, Math.max(-1, dot(vectors[0], vector))));
    return single ? similarities[0] : similarities;
  };
  return makePipeline('sentence-similarity', opened, call) as SentenceSimilarityPipeline;
}
