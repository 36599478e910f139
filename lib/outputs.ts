/** What may be asked of a forward call, and how its outputs come back. */
import { AlbertError } from './errors';
import { type Head, headInfo, type OutputName } from './heads';
import type { NativeTensor, NativeWanted } from './native';
import { boolean, invalid, type Names, strings } from './options';
import { Tensor } from './tensor';

/** Outputs by their Hugging Face names; which exist depends on the head and on what was asked for. */
export interface ForwardOutputs {
  /** [B, T, H] */
  last_hidden_state?: Tensor;
  /** The state of position 0 and the mean over the real tokens, [B, H] each; only where `outputs` names them. */
  first_hidden_state?: Tensor;
  mean_hidden_state?: Tensor;
  /** [B, H] */
  pooler_output?: Tensor;
  /** The mapped embeddings and then each layer's output: [B, T, H] each. */
  hidden_states?: Tensor[];
  /** Probabilities of each layer: [B, A, T, T] each. */
  attentions?: Tensor[];
  /** masked-lm [B, T, V] or [positions, V]; sequence [B, C]; token [B, T, C]; multiple choice [examples, choices]. */
  logits?: Tensor;
  /** pretraining: [B, T, V], or [positions, V]. */
  prediction_logits?: Tensor;
  /** pretraining: [B, 2]; label 0 means in order. */
  sop_logits?: Tensor;
  /** question-answering: [B, T]. */
  start_logits?: Tensor;
  end_logits?: Tensor;
  /**
   * question-answering-beam: the 5 best starts, [B, 5] each, best first. Places are token positions, as floats; a sequence with
   * fewer tokens that may be answers has entries of -1e30 at position 0.
   */
  start_top_log_probs?: Tensor;
  start_top_index?: Tensor;
  /** The 5 best ends of each start, [B, 25] each: entry 5 i + j is the j-th end of the i-th start. */
  end_top_log_probs?: Tensor;
  end_top_index?: Tensor;
  /** [B]; grows with the likelihood that there is no answer. */
  cls_logits?: Tensor;
}

/** Of a model whose head is known: what that gives where no choice is made is there. */
export type OutputsOf<H extends Head> = H extends Head ? ChosenOutputs<OutputName<H>> : never;

/** Outputs of which these are there. */
export type ChosenOutputs<N extends keyof ForwardOutputs> = ForwardOutputs &
  Required<Pick<ForwardOutputs, N>>;

export interface ForwardOptions {
  /** Also return every layer's output. Default false. */
  hidden_states?: boolean;
  /** Also return every layer's attention probabilities. Default false. */
  attentions?: boolean;
  /** Names of the outputs to compute and return. Default: last_hidden_state and whatever the head gives. */
  outputs?: readonly string[];
  /** Masked-language heads: positions of each sequence whose logits are wanted, in place of all. */
  positions?: readonly (readonly number[])[];
  /** Rejects at once with ABORTED and abandons the run between layers. */
  signal?: AbortSignal;
}

export const FORWARD_OPTIONS: Names<ForwardOptions> = {
  hidden_states: true,
  attentions: true,
  outputs: true,
  positions: true,
  signal: true,
};

/** The names of the outputs to return: what `outputs` lists, or everything the head gives, and the two lists asked for. */
export function chooseOutputs(head: Head, options: ForwardOptions): Set<string> {
  const { pooled, logits } = headInfo(head);
  const usual = ['last_hidden_state', ...(pooled ? ['pooler_output'] : []), ...logits];
  const possible = [...usual, 'first_hidden_state', 'mean_hidden_state', 'hidden_states', 'attentions'];
  const names = new Set(options.outputs === undefined ? usual : strings('outputs', options.outputs));
  for (const name of names) {
    if (!possible.includes(name)) {
      throw invalid(`names among ${possible.join(', ')} (the outputs of head '${head}')`, 'outputs', name);
    }
  }
  if (boolean('hidden_states', options.hidden_states, false)) names.add('hidden_states');
  if (boolean('attentions', options.attentions, false)) names.add('attentions');
  return names;
}

/** The addon's flags for a choice of outputs. */
export function wantedOutputs(head: Head, names: Set<string>, logitsRows: Int32Array | null): NativeWanted {
  if (logitsRows && head !== 'masked-lm' && head !== 'pretraining') {
    throw new AlbertError('INVALID_ARGUMENT', `expected no positions, as head '${head}' predicts no tokens`);
  }
  return {
    last_hidden_state: names.has('last_hidden_state'),
    first_hidden_state: names.has('first_hidden_state'),
    mean_hidden_state: names.has('mean_hidden_state'),
    pooler_output: names.has('pooler_output'),
    logits: headInfo(head).logits.some((name) => name !== 'sop_logits' && names.has(name)),
    sop_logits: names.has('sop_logits'),
    hidden_states: names.has('hidden_states'),
    attentions: names.has('attentions'),
    logitsRows,
  };
}

/** The chosen outputs of a finished run; 'hidden_states.3' and its like are gathered into lists. */
export function collectOutputs(native: Record<string, NativeTensor>, names: Set<string>): ForwardOutputs {
  const outputs: Record<string, Tensor | Tensor[]> = {};
  for (const [name, { dims, data }] of Object.entries(native)) {
    const [base, index] = name.split('.');
    if (!names.has(base)) continue;
    const tensor = new Tensor(dims, data);
    if (index === undefined) outputs[base] = tensor;
    else ((outputs[base] ??= []) as Tensor[])[Number(index)] = tensor;
  }
  return outputs;
}
