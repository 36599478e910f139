/** Writes a model as a folder that loads here and in Hugging Face. */
import { cp, rm } from 'node:fs/promises';
import path from 'node:path';
import type { AlbertConfig } from './config';
import { awaitNative } from './errors';
import type { NativeModel } from './native';
import { MODULE_LIST, sentenceFiles } from './sentence-settings';
import { replaceFile, TOKENIZER_FILES, writeInto } from './source';

/** Copies the files of a tokenizer that a folder has; where it has one, those of another tokenizer go. */
export async function copyTokenizer(from: string, to: string): Promise<void> {
  const copied = await copyFiles(from, to, TOKENIZER_FILES);
  if (copied.length > 0)
    for (const name of TOKENIZER_FILES)
      if (!copied.includes(name)) await rm(path.join(to, name), { force: true });
}

/** Copies those of the files that there are, and returns their names. */
async function copyFiles(from: string, to: string, names: readonly string[]): Promise<string[]> {
  const copied: string[] = [];
  for (const name of names) {
    try {
      await cp(path.join(from, name), path.join(to, name));
      copied.push(name);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
  return copied;
}

/**
 * Writes model.safetensors and config.json, and copies the tokenizer's files of the folder that the model came from, with an
 * encoder also those that say how it embeds sentences. Such files of a model that was saved there before do not stay.
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
      const settings = native.head === 'base' ? await sentenceFiles(origin) : [];
      if (settings.length === 0) await rm(path.join(folder, MODULE_LIST), { force: true });
      await copyFiles(origin, folder, settings);
    }
    await beside();
  });
}
