/** The configurations of the published ALBERT sizes, by name. */
import { type AlbertConfig, type ParameterSharing, withSharing } from './config';
import { AlbertError } from './errors';
import { show } from './options';

const common = {
  model_type: 'albert',
  architectures: ['AlbertForPreTraining'],
  vocab_size: 30000,
  embedding_size: 128,
  num_hidden_groups: 1,
  inner_group_num: 1,
  max_position_embeddings: 512,
  type_vocab_size: 2,
  initializer_range: 0.02,
  layer_norm_eps: 1e-12,
  classifier_dropout_prob: 0.1,
  pad_token_id: 0,
  bos_token_id: 2,
  eos_token_id: 3,
};

const sizes: Record<string, [hidden: number, layers: number, heads: number, inner: number]> = {
  base: [768, 12, 12, 3072],
  large: [1024, 24, 16, 4096],
  xlarge: [2048, 24, 16, 8192],
  xxlarge: [4096, 12, 64, 16384],
};

function shape([hidden_size, num_hidden_layers, num_attention_heads, intermediate_size]: number[]) {
  return { hidden_size, num_hidden_layers, num_attention_heads, intermediate_size };
}

// The first version was trained with dropout (but for xxlarge) and Hugging Face runs it with the erf form of GELU.
function published(name: string, version: 'v1' | 'v2'): AlbertConfig {
  const dropout = version === 'v1' && name !== 'xxlarge' ? 0.1 : 0;
  return {
    ...common,
    ...shape(sizes[name]),
    hidden_act: version === 'v1' ? 'gelu' : 'gelu_new',
    hidden_dropout_prob: dropout,
    attention_probs_dropout_prob: dropout,
  };
}

/** Names that `Albert.create` and `albert info` know. */
export const PRESETS = [
  ...Object.keys(sizes).flatMap((name) => [`${name}-v1`, `${name}-v2`]),
  ...Object.keys(sizes),
  'tiny',
];

/**
 * The configuration called `name`: base-v1 to xxlarge-v2, the same without a version (v2), or tiny.
 * @param sharing what the layers share in place of everything.
 * @throws AlbertError INVALID_ARGUMENT that lists the names.
 */
export function preset(name: string, sharing?: ParameterSharing): AlbertConfig {
  return sharing === undefined ? named(name) : withSharing(named(name), sharing);
}

function named(name: string): AlbertConfig {
  if (!PRESETS.includes(name)) {
    throw new AlbertError(
      'INVALID_ARGUMENT',
      `expected one of ${PRESETS.join(', ')} for the preset but received ${show(name)}`,
    );
  }
  if (name === 'tiny') {
    const small = { hidden_act: 'gelu_new', hidden_dropout_prob: 0, attention_probs_dropout_prob: 0 };
    return { ...common, ...shape([312, 4, 12, 1248]), ...small };
  }
  const [size, version] = name.split('-');
  return published(size, version === 'v1' ? 'v1' : 'v2');
}
