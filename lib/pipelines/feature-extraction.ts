/** feature-extraction: hidden states or pooled embeddings of texts. */
import type { Albert } from '../albert';
import { headInfo, HEADS } from '../heads';
import { normalise } from '../math';
import { abortSignal, boolean, invalid, type Names, oneOf, optionsObject } from '../options';
import { Tensor } from '../tensor';
import {
  limitsOf,
  makePipeline,
  openModel,
  type Pipeline,
  type PipelineOptions,
  requireTrained,
  type TaskNeeds,
  TEXT_OPTIONS,
  type TextOptions,
  textsOf,
} from './open';
import { Breather, encodeFor, runEncodings } from './run';
import { sentenceSettings } from '../sentence-settings';

const POOLINGS = ['none', 'mean', 'cls', 'first_token', 'pooler', 'sentence'] as const;

export interface FeatureExtractionOptions extends TextOptions {
  /**
   * 'none' (default): every token's state; 'mean': their average, special tokens included; 'cls' or 'first_token': the first
   * token's; 'pooler': the pooled output of the checkpoint; 'sentence': what the files of sentence-transformers beside the
   * model say, normalisation and length included, or 'mean' where there are none.
   */
  pooling?: (typeof POOLINGS)[number];
  /** Scale each vector to unit length. Default false, or with 'sentence' as those files say. */
  normalize?: boolean;
  /** Of transformers.js: vectors are never rounded to bytes here. */
  quantize?: false;
}

const EXTRACTION_OPTIONS: Names<FeatureExtractionOptions> = {
  ...TEXT_OPTIONS,
  pooling: true,
  normalize: true,
  quantize: true,
};

export interface FeatureExtractionPipeline extends Pipeline<'feature-extraction'> {
  /** [texts, tokens, H] without pooling, padded with zeros to the longest; else [texts, H]. One text counts as an array. */
  (text: string | readonly string[], options?: FeatureExtractionOptions): Promise<Tensor>;
}

const OUTPUTS = {
  none: 'last_hidden_state',
  mean: 'mean_hidden_state',
  cls: 'first_hidden_state',
  first_token: 'first_hidden_state',
  pooler: 'pooler_output',
} as const;

/** A checkpoint is loaded without a head; a model that has one for sequences embeds, too. */
export const EMBEDDING_NEEDS: TaskNeeds = {
  heads: ['base'],
  others: HEADS.filter((head) => head !== 'base' && head !== 'multiple-choice'),
  parameters: [],
};

/** One embedding a text: all its states [T, H] in a row, or one pooled vector [H]. */
export async function embed(
  model: Albert,
  texts: readonly string[],
  pooling: keyof typeof OUTPUTS,
  limits: ReturnType<typeof limitsOf>,
  signal?: AbortSignal,
): Promise<Float32Array[]> {
  const encodings = await encodeFor(model, texts, { ...limits, signal });
  const output = OUTPUTS[pooling];
  return runEncodings(model, encodings, { outputs: [output], signal }, (outputs, { row, index }) => {
    const states = outputs[output]!;
    const vector = states.row(row);
    return pooling === 'none' ? vector.subarray(0, encodings[index].ids.length * states.dims[2]) : vector;
  });
}

export async function featureExtraction(
  source?: string | Albert,
  options?: PipelineOptions,
): Promise<FeatureExtractionPipeline> {
  const opened = await openModel('feature-extraction', source, options, EMBEDDING_NEEDS);
  const { model } = opened;
  const width = model.config.hidden_size as number;

  const call = async (input: string | readonly string[], callOptions?: FeatureExtractionOptions) => {
    const given = optionsObject<FeatureExtractionOptions>('options', callOptions, EXTRACTION_OPTIONS);
    const { items: texts } = textsOf('text', input);
    const asked = oneOf('pooling', given.pooling, POOLINGS, 'none');
    const sentence = asked === 'sentence' ? await sentenceSettings(model.folder) : null;
    const pooling = sentence?.pooling ?? (asked as keyof typeof OUTPUTS);
    const unit = boolean('normalize', given.normalize, sentence?.normalize ?? false);
    const limits = limitsOf(model, { ...given, max_length: given.max_length ?? sentence?.max_length });
    if (boolean('quantize', given.quantize, false)) throw invalid('false', 'quantize', given.quantize);
    if (pooling === 'pooler' && !headInfo(model.head).pooled)
      throw invalid(`another, as head '${model.head}' has no pooler,`, 'pooling', pooling);
    if (pooling === 'pooler' && !options?.allow_untrained)
      requireTrained(model, ['pooler.'], "pooling 'pooler'");
    const vectors = await embed(model, texts, pooling, limits, abortSignal(given.signal));
    if (unit) {
      for (const vector of vectors) {
        for (let at = 0; at < vector.length; at += width) normalise(vector.subarray(at, at + width));
      }
    }
    const length = vectors.reduce((most, vector) => Math.max(most, vector.length), 0);
    const data = new Float32Array(texts.length * length);
    const breather = new Breather();
    for (const [i, vector] of vectors.entries()) {
      data.set(vector, i * length);
      await breather.pause();
    }
    return new Tensor(
      pooling === 'none' ? [texts.length, length / width, width] : [texts.length, width],
      data,
    );
  };
  return makePipeline('feature-extraction', opened, call);
}
