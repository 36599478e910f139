/** What config.json says: its fields, what is filled in where they are missing, how they are saved, and the parameters they describe. */
import { callNative } from './errors';
import { type Head, headInfo, HEADS } from './heads';
import { binding, type NativeModel } from './native';
import { jsonOf, oneOf } from './options';

/** The fields of config.json that TypeScript reads; all others are kept as they stand. */
export interface AlbertConfig {
  architectures?: string[];
  id2label?: Record<string, string>;
  label2id?: Record<string, number>;
  num_labels?: number;
  embedding_size?: number;
  hidden_size?: number;
  num_hidden_layers?: number;
  num_hidden_groups?: number;
  inner_group_num?: number;
  num_attention_heads?: number;
  intermediate_size?: number;
  type_vocab_size?: number;
  hidden_act?: string;
  problem_type?: string | null;
  max_position_embeddings?: number;
  vocab_size?: number;
  tokenizer_class?: string;
  [field: string]: unknown;
}

/** What the layers have in common, as config.json's parameter_sharing spells it. */
export const PARAMETER_SHARINGS = ['all', 'attention', 'feed_forward', 'none'] as const;
/** Everything (ALBERT), one half of the block, or nothing (BERT). */
export type ParameterSharing = (typeof PARAMETER_SHARINGS)[number];

/** More labels are refused when the model is made. */
const MOST_LABELS = 1 << 20;

/** Positions of a model whose configuration may not say. */
export function positionsOf(config: AlbertConfig): number {
  return config.max_position_embeddings ?? 512;
}

/** Outputs of a classifier, as Hugging Face counts them: by their names, or by number where config.json has none. */
export function labelCount({ id2label, num_labels, _num_labels }: AlbertConfig): number {
  return Object.keys(id2label ?? {}).length || (num_labels ?? (_num_labels as number | undefined) ?? 2);
}

/** The fields that name labels. */
export function labelConfig(labels: readonly string[]): AlbertConfig {
  return {
    num_labels: labels.length,
    id2label: Object.fromEntries(labels.map((label, i) => [i, label])),
    label2id: Object.fromEntries(labels.map((label, i) => [label, i])),
  };
}

/** A configuration with the fields that files always have. */
export function completeConfig(config: AlbertConfig, head: Head | undefined): AlbertConfig {
  const complete: AlbertConfig = { model_type: 'albert', ...config };
  if (head) complete.architectures = [headInfo(head).architecture];
  const count = config.num_labels;
  if (config.id2label === undefined && Number.isInteger(count) && count! <= MOST_LABELS)
    Object.assign(complete, labelConfig(Array.from({ length: count! }, (_, i) => `LABEL_${i}`)));
  return complete;
}

/** A configuration whose layers share what `sharing` says in place of what its own fields said. */
export function withSharing(config: AlbertConfig, sharing: ParameterSharing): AlbertConfig {
  const parameter_sharing = oneOf('parameter_sharing', sharing, PARAMETER_SHARINGS, 'all');
  const changed: AlbertConfig = { ...config, parameter_sharing };
  delete changed.num_hidden_groups;
  return changed;
}

/**
 * config.json as files have it: the model's head, float32, whether the decoder is the word table, and the number of groups,
 * which is all that Hugging Face knows of parameter_sharing.
 */
export function savedConfig(given: AlbertConfig, native: NativeModel): AlbertConfig {
  const config: AlbertConfig = {
    ...given,
    model_type: 'albert',
    architectures: [headInfo(native.head as Head).architecture],
  };
  delete config.dtype;
  config.torch_dtype = 'float32';
  if (config.parameter_sharing) config.num_hidden_groups = native.hiddenGroups;
  if (!native.tiedDecoder) config.tie_word_embeddings = false;
  return config;
}

/** Names, shapes and the head of the parameters that a configuration describes, without making them. */
export function describeConfig(config: AlbertConfig, name: string, head?: Head) {
  const chosen = oneOf('head', head, HEADS, null);
  return callNative(() => binding().describe(jsonOf('config', config), name, chosen));
}
