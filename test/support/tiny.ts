/** Small untrained models with the project's vocabulary, for pipelines, the command line and packaging. */
import { copyFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { Albert, type AlbertConfig, type Head } from '../../lib';
import { labelConfig } from '../../lib/config';
import { temporaryFolder, vocabulary } from './data';

/** Pieces of the project's vocabulary. */
export const VOCABULARY_SIZE = 1800;

const SHAPE = {
  vocab_size: VOCABULARY_SIZE,
  embedding_size: 16,
  hidden_size: 32,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  intermediate_size: 64,
  max_position_embeddings: 128,
  hidden_act: 'gelu_new',
  // Larger than usual, so that untrained scores differ visibly.
  initializer_range: 0.3,
};

/** A folder with a model of this head, freshly drawn, and the vocabulary beside it. */
export async function tinyModel(
  head: Head,
  config: AlbertConfig = {},
  tokenizerConfig: object = { model_max_length: 64 },
): Promise<string> {
  const folder = temporaryFolder();
  const model = await Albert.create({ ...SHAPE, ...config }, { head, seed: 7 });
  await model.save(folder);
  await model.dispose();
  copyFileSync(vocabulary, path.join(folder, 'spiece.model'));
  writeFileSync(path.join(folder, 'tokenizer_config.json'), JSON.stringify(tokenizerConfig));
  return folder;
}

/** The fields of a configuration that name labels. */
export function labels(...names: string[]): AlbertConfig {
  return labelConfig(names);
}
