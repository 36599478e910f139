/** feature-extraction: hidden states or pooled embeddings of texts. */
import type { Albert } from '../albert';
import { abortSignal, boolean, invalid, oneOf, optionsObject } from '../options';
import { Tensor } from '../tensor';
import { normalise } from './math';
import {
  type CallOptions,
  makePipeline,
  openModel,
  type Pipeline,
  type PipelineOptions,
  requireTrained,
  textsOf,
} from './open';
import { encodeFor, runEncodings } from './run';

const POOLINGS = ['none', 'mean', 'cls', 'pooler'] as const;

export interface FeatureExtractionOptions extends CallOptions {
  /**
   * 'none' (default): every token's state; 'mean': their average, special tokens included; 'cls': the first token's;
   * 'pooler': the pooled output of the checkpoint.
   */
  pooling?: (typeof POOLINGS)[number];
  /** Scale each vector to unit length. Default false. */
  normalize?: boolean;
}

export interface FeatureExtractionPipeline extends Pipeline<'feature-extraction'> {
  /** [texts, tokens, H] without pooling, padded with zeros to the longest; else [texts, H]. One text counts as an array. */
  (text: string | string[], options?: FeatureExtractionOptions): Promise<Tensor>;
}

function meanRow(states: Float32Array, length: number, width: number): Float32Array {
  const mean = new Float64Array(width);
  for (let t = 0; t < length; t++) for (let h = 0; h < width; h++) mean[h] += states[t * width + h];
  return Float32Array.from(mean, (sum) => sum / length);
}

/** One embedding a text: all its states [T, H] in a row, or one pooled vector [H]. */
export async function embed(
  model: Albert,
  texts: string[],
  pooling: (typeof POOLINGS)[number],
  signal?: AbortSignal,
): Promise<Float32Array[]> {
  const encodings = await encodeFor(model, texts);
  const output = pooling === 'pooler' ? 'pooler_output' : 'last_hidden_state';
  return runEncodings(model, encodings, { outputs: [output], signal }, (outputs, { row, index }) => {
    const states = outputs[output]!.row(row);
    if (pooling === 'pooler') return states.slice();
    const width = outputs[output]!.dims[2];
    const length = encodings[index].ids.length;
    if (pooling === 'mean') return meanRow(states, length, width);
    return states.slice(0, pooling === 'cls' ? width : length * width);
  });
}

export async function featureExtraction(
  source?: string | Albert,
  options?: PipelineOptions,
): Promise<FeatureExtractionPipeline> {
  const opened = await openModel('feature-extraction', source, options, { heads: ['base'], parameters: [] });
  const { model } = opened;
  const width = model.config.hidden_size as number;

  const call = async (input: string | string[], callOptions?: FeatureExtractionOptions) => {
    const given = optionsObject<FeatureExtractionOptions>('options', callOptions);
    const { items: texts } = textsOf('text', input);
    if (texts.length === 0) throw invalid('at least one text', 'text', input);
    const pooling = oneOf('pooling', given.pooling, POOLINGS, 'none');
    const unit = boolean('normalize', given.normalize, false);
    if (pooling === 'pooler' && !options?.allow_untrained)
      requireTrained(model, ['pooler.'], "pooling 'pooler'");
    const vectors = await embed(model, texts, pooling, abortSignal(given.signal));
    if (unit) {
      for (const vector of vectors) {
        for (let at = 0; at < vector.length; at += width) normalise(vector.subarray(at, at + width));
      }
    }
    const length = Math.max(...vectors.map((vector) => vector.length));
    const data = new Float32Array(texts.length * length);
    vectors.forEach((vector, i) => data.set(vector, i * length));
    return new Tensor(
      pooling === 'none' ? [texts.length, length / width, width] : [texts.length, width],
      data,
    );
  };
  return makePipeline('feature-extraction', opened, call);
}
