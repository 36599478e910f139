/** fill-mask: the likeliest tokens for every [MASK] of a text. */
import type { Albert } from '../albert';
import { AlbertError } from '../errors';
import { softmax, topIndices } from '../math';
import { abortSignal, integer, type Names, optionsObject, show, strings } from '../options';
import type { Tokenizer } from '../tokenizer';
import {
  limitsOf,
  makePipeline,
  openModel,
  type Pipeline,
  type PipelineOptions,
  TEXT_OPTIONS,
  type TextOptions,
  textsOf,
} from './open';
import { encodeFor, runEncodings } from './run';

export interface FillMaskOptions extends TextOptions {
  /** Answers for each mask. Default 5. */
  top_k?: number;
  /** Rank these words alone; one of several tokens counts as the piece of its name ('.', 'ing', '##ing'), or else as its first. */
  targets?: string | readonly string[];
}

const FILL_MASK_OPTIONS: Names<FillMaskOptions> = { ...TEXT_OPTIONS, top_k: true, targets: true };

export interface FillMaskResult {
  /** Probability among the whole vocabulary. */
  score: number;
  token: number;
  token_str: string;
  /** The text with the token in place of the mask. */
  sequence: string;
}

/** One mask in a text gives a list of answers; several give a list for each mask. */
export type FillMaskOutput = FillMaskResult[] | FillMaskResult[][];

export interface FillMaskPipeline extends Pipeline<'fill-mask'> {
  /** With several masks in a text, ask for `unmask<FillMaskResult[][]>(text)`: a list for each. */
  <Output extends FillMaskOutput = FillMaskResult[]>(
    text: string,
    options?: FillMaskOptions,
  ): Promise<Output>;
  <Output extends FillMaskOutput = FillMaskResult[]>(
    texts: readonly string[],
    options?: FillMaskOptions,
  ): Promise<Output[]>;
  (text: string | readonly string[], options?: FillMaskOptions): Promise<FillMaskOutput | FillMaskOutput[]>;
}

function targetIds(tokenizer: Tokenizer, targets: string | readonly string[] | undefined): number[] | null {
  if (targets === undefined) return null;
  const words = typeof targets === 'string' ? [targets] : strings('targets', targets);
  const ids = words.map((word) => {
    const { input_ids, tokens } = tokenizer.encode(word, { add_special_tokens: false });
    if (input_ids.length === 0) {
      throw new AlbertError('INVALID_ARGUMENT', `expected words for targets but '${word}' has no tokens`);
    }
    const piece = input_ids.length > 1 ? tokenizer.tokenToId(word) : -1;
    if (piece >= 0) return piece;
    if (input_ids.length > 1) {
      process.emitWarning(
        `the target '${word}' is no single token; its first, '${tokens[0]}', stands for it`,
        'AlbertWarning',
      );
    }
    return input_ids[0];
  });
  return [...new Set(ids)];
}

/** The wanted ids, or all, by their probabilities [V], best first. */
function rank(probabilities: Float64Array, wanted: number[] | null, k: number): number[] {
  if (!wanted) return topIndices(probabilities, k);
  const scores = wanted.map((token) => probabilities[token]);
  return topIndices(scores, k).map((i) => wanted[i]);
}

export async function fillMask(
  source?: string | Albert,
  options?: PipelineOptions,
): Promise<FillMaskPipeline> {
  const opened = await openModel('fill-mask', source, options, {
    heads: ['masked-lm', 'pretraining'],
    parameters: ['predictions.'],
  });
  const { model } = opened;
  const { tokenizer } = model;
  const { mask } = tokenizer.specialTokens;
  if (mask < 0) {
    if (opened.owned) await model.dispose();
    throw new AlbertError(
      'TOKENIZER',
      `expected a token for the mask in ${tokenizer.file} but found no [MASK]; name it as mask_token in tokenizer_config.json`,
    );
  }
  const output = model.head === 'pretraining' ? 'prediction_logits' : 'logits';

  const call = async (input: string | readonly string[], callOptions?: FillMaskOptions) => {
    const given = optionsObject<FillMaskOptions>('options', callOptions, FILL_MASK_OPTIONS);
    const { items: texts, single } = textsOf('text', input);
    const k = integer('top_k', given.top_k, { min: 1 }, 5);
    const signal = abortSignal(given.signal);
    const wanted = targetIds(tokenizer, given.targets);
    const limits = limitsOf(model, given);
    const encodings = await encodeFor(model, texts, { ...limits, signal });
    const masks = encodings.map((encoding, i) => {
      const positions: number[] = [];
      encoding.ids.forEach((id, position) => id === mask && positions.push(position));
      if (positions.length > 0) return positions;
      throw new AlbertError(
        'INVALID_ARGUMENT',
        `expected a ${tokenizer.idToToken(mask)} within the first ${limits.maxLength} tokens of ${single ? 'text' : `text[${i}]`} but received ${show(texts[i])}`,
      );
    });
    const results = await runEncodings<FillMaskOutput>(
      model,
      encodings,
      { outputs: [output], positions: (i) => masks[i], signal },
      (outputs, { index, firstPosition }) => {
        const positions = masks[index];
        const lists = positions.map((position, n) => {
          const probabilities = softmax(outputs[output]!.row(firstPosition + n));
          return rank(probabilities, wanted, k).map((token): FillMaskResult => {
            const ids = encodings[index].ids.slice();
            ids[position] = token;
            // With several masks the others stay visible, as the Python library shows them.
            const sequence = tokenizer.decode(ids, { skip_special_tokens: positions.length === 1 });
            return { score: probabilities[token], token, token_str: tokenizer.decode([token]), sequence };
          });
        });
        return lists.length === 1 ? lists[0] : lists;
      },
    );
    return single ? results[0] : results;
  };
  return makePipeline('fill-mask', opened, call);
}
