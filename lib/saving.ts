/** Writes a model as a folder that loads here and in Hugging Face. */
import { cp } from 'node:fs/promises';
import path from 'node:path';
import type { AlbertConfig } from './config';
import { awaitNative } from './errors';
import type { NativeModel } from './native';
import { sentenceFiles } from './sentence-settings';
import { replaceFile, TOKENIZER_FILES, writeInto } from './source';

/** Copies the files of a tokenizer that a folder has. */
export function copyTokenizer(from: string, to: string): Promise<void> {
  return copyFiles(from, to, TOKENIZER_FILES);
}

/** Copies those of the files that there are. */
async function copyFiles(from: string, to: string, names: readonly string[]): Promise<void> {
  for (const name of names) {
    await cp(path.join(from, name), path.join(to, name)).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error;
    });
  }
}

/**
 * Writes model.safetensors and config.json, and copies the tokenizer's files of the folder that the model came from, with an
 * encoder also those that say how it embeds sentences.
 * @param beside writes what else belongs to the model.
 * @throws AlbertError CHECKPOINT when the folder cannot be written.
 */
export async function saveModel(
  native: NativeModel,
  config: AlbertConfig,
  dtype: 'fp32' | 'fp16',
  origin: string | null,
  folder: string,
  beside: () => Promise<void>,
): Promise<void> {
  const written = { ...config, torch_dtype: dtype === 'fp16' ? 'float16' : 'float32' };
  await writeInto(folder, async () => {
    await awaitNative(() => native.save(path.join(folder, 'model.safetensors'), dtype));
    const file = path.join(folder, 'config.json');
    await replaceFile(file, `${JSON.stringify(written, null, 2)}\n`);
    if (origin && path.resolve(folder) !== origin) {
      await copyTokenizer(origin, folder);
      if (native.head === 'base') await copyFiles(origin, folder, await sentenceFiles(origin));
    }
    await beside();
  });
}
