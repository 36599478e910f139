/** Writes a model as a folder that loads here and in Hugging Face. */
import { cp, mkdir, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { AlbertError, awaitNative } from './errors';
import { type Head, headInfo } from './heads';
import type { NativeModel } from './native';
import { type AlbertConfig, TOKENIZER_FILES } from './source';

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

/** Copies the files of a tokenizer that a folder has. */
export async function copyTokenizer(from: string, to: string): Promise<void> {
  for (const name of TOKENIZER_FILES) {
    await cp(path.join(from, name), path.join(to, name)).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error;
    });
  }
}

/**
 * Writes model.safetensors and config.json, and copies the tokenizer's files of the folder that the model came from.
 * @throws AlbertError CHECKPOINT when the folder cannot be written.
 */
export async function saveModel(
  native: NativeModel,
  config: AlbertConfig,
  dtype: 'fp32' | 'fp16',
  origin: string | null,
  folder: string,
): Promise<void> {
  const written = { ...config, torch_dtype: dtype === 'fp16' ? 'float16' : 'float32' };
  try {
    await mkdir(folder, { recursive: true });
    await awaitNative(() => native.save(path.join(folder, 'model.safetensors'), dtype));
    const file = path.join(folder, 'config.json');
    await writeFile(`${file}.new`, `${JSON.stringify(written, null, 2)}\n`);
    await rename(`${file}.new`, file);
    if (origin && path.resolve(folder) !== origin) await copyTokenizer(origin, folder);
  } catch (error) {
    if (error instanceof AlbertError) throw error;
    const reason = (error as Error).message;
    throw new AlbertError('CHECKPOINT', `expected a writable folder at ${folder}: ${reason}`, {
      cause: error,
    });
  }
}
