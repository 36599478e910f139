/** Finds a model's files: in a folder, or by name in the places where models are kept. Never uses the network. */
import { randomUUID } from 'node:crypto';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import type { AlbertConfig } from './config';
import { AlbertError, callNative } from './errors';
import { binding } from './native';
import { invalid, isObject, show } from './options';
import { readText, statusOf, unseen } from './text-files';

/** Vocabulary and settings of a tokenizer. */
export interface TokenizerFiles {
  /** spiece.model, tokenizer.json or vocab.txt. */
  vocabulary: string;
  /** Contents of tokenizer_config.json, with the tokens of added_tokens.json, and of special_tokens_map.json; empty when absent. */
  tokenizerConfig: string;
  specialTokens: string;
  /** `model_max_length`, or Infinity when the files set no limit. */
  maxLength: number;
}

function unwritable(folder: string, error: Error): AlbertError {
  return new AlbertError('CHECKPOINT', `expected a writable folder at ${folder}: ${error.message}`, {
    cause: error,
  });
}

/** Makes a folder where there is none. @throws AlbertError CHECKPOINT. */
export async function makeFolder(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true }).catch(async (error: NodeJS.ErrnoException) => {
    // What Node says of a read-only file system, too; making the folder alone tells them apart.
    const reason = error.code === 'ENOENT' ? await mkdir(folder).catch((alone: Error) => alone) : error;
    if (reason) throw unwritable(folder, reason);
  });
}

/** Runs work that writes into a folder. @throws AlbertError CHECKPOINT where it cannot, or what the work throws. */
export async function writing<T>(folder: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw error instanceof AlbertError ? error : unwritable(folder, error as Error);
  }
}

/** Milliseconds between looks whether a folder is free: waiting on a thread would take it from the work that is waited for. */
const LOOK_EVERY = 20;

/**
 * Makes a folder where there is none, and runs work that writes into it once no other does, here or in another process: of
 * several, the folder has all files of the last. (On Windows nobody waits.)
 * @throws AlbertError CHECKPOINT, or what the work throws.
 */
export async function writeInto<T>(folder: string, work: () => Promise<T>): Promise<T> {
  await makeFolder(folder);
  let release: (() => void) | null;
  while (!(release = callNative(() => binding().holdFile(folder)))) await setTimeout(LOOK_EVERY);
  try {
    return await writing(folder, work);
  } finally {
    release();
  }
}

/** Files that save() copies along with a model. */
export const SETTINGS_FILES = ['tokenizer_config.json', 'special_tokens_map.json', 'added_tokens.json'];
export const TOKENIZER_FILES = ['spiece.model', 'tokenizer.json', 'vocab.txt', ...SETTINGS_FILES];

/** Any of these makes a folder that of a model. */
const MODEL_FILES = ['config.json', ...TOKENIZER_FILES];

const WEIGHT_FILES = [
  'model.safetensors',
  'model.safetensors.index.json',
  'pytorch_model.bin',
  'pytorch_model.bin.index.json',
];

const packageModels = path.resolve(__dirname, '..', 'models');

/** Names of what is in a folder. @throws AlbertError CHECKPOINT for one that cannot be read. */
export function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    throw unseen('CHECKPOINT', folder, error);
  }
}

function isFolder(candidate: string): boolean {
  return statusOf(candidate, 'CHECKPOINT')?.isDirectory() ?? false;
}

/** @throws AlbertError CHECKPOINT for a path that cannot be looked at. */
export function isFile(candidate: string): boolean {
  return statusOf(candidate, 'CHECKPOINT')?.isFile() ?? false;
}

/**
 * Gives a file new content, one part after another where there are several: its name stands for the old one or all of the new,
 * also where several write it at once.
 */
export async function replaceFile(file: string, content: string | Iterable<Uint8Array>): Promise<void> {
  const fresh = `${file}.${randomUUID()}.tmp`;
  try {
    await writeFile(fresh, content, { flush: true });
    await rename(fresh, file);
  } catch (error) {
    await rm(fresh, { force: true });
    throw error;
  }
}

/** Where the Python library keeps what it downloaded. */
function hubCache(): string {
  const { HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE, HF_HOME, XDG_CACHE_HOME } = process.env;
  const home = HF_HOME || path.join(XDG_CACHE_HOME || path.join(os.homedir(), '.cache'), 'huggingface');
  return HF_HUB_CACHE ?? HUGGINGFACE_HUB_CACHE ?? path.join(home, 'hub');
}

/** The snapshot of a hub repository that its main branch names, or the newest when no branch is recorded. */
async function hubSnapshot(repository: string): Promise<string | null> {
  const snapshots = path.join(repository, 'snapshots');
  if (!isFolder(snapshots)) return null;
  const main = path.join(repository, 'refs', 'main');
  if (isFile(main)) {
    const folder = path.join(snapshots, (await readFile(main, 'utf8')).trim());
    if (isFolder(folder)) return folder;
  }
  const folders = namesIn(snapshots)
    .map((name) => path.join(snapshots, name))
    .filter(isFolder)
    .sort((a, b) => statSync(b).mtimeMs - statSync(a).mtimeMs);
  return folders[0] ?? null;
}

/**
 * The folder that a source means: a folder itself, else a name in the package's models, in the folders of ALBERT_MODELS, or
 * in the local Hugging Face cache. Without a source, the model that the package ships.
 * @throws AlbertError CHECKPOINT that lists where it looked.
 */
export async function resolveFolder(source?: string | null): Promise<string> {
  if (source === undefined || source === null) {
    const shipped = existsSync(packageModels)
      ? readdirSync(packageModels)
          .map((name) => path.join(packageModels, name))
          .find((folder) => existsSync(path.join(folder, 'config.json')))
      : undefined;
    if (shipped) return shipped;
    throw new AlbertError(
      'CHECKPOINT',
      "expected a model folder or name, as the package's own model is not there; for instance " +
        "pipeline('fill-mask', './albert-base-v2')",
    );
  }
  if (typeof source !== 'string' || source === '') throw invalid('a model folder or name', 'source', source);
  const here = path.resolve(source);
  const looked = [here];
  const isPath = path.isAbsolute(source) || /^\.{1,2}([\\/]|$)/.test(source);
  // A name is not hidden by a folder that holds something else.
  if (isFolder(here) && (isPath || MODEL_FILES.some((name) => existsSync(path.join(here, name)))))
    return here;
  if (isPath) throw noModel(source, looked);
  const shelves = [packageModels, ...(process.env.ALBERT_MODELS ?? '').split(path.delimiter).filter(Boolean)];
  for (const shelf of shelves) {
    const folder = path.join(shelf, source);
    looked.push(folder);
    if (isFolder(folder)) return folder;
  }
  // The hub moved 'albert-base-v2' and its like to 'albert/albert-base-v2'; caches hold either.
  const names = source.includes('/') ? [source] : [source, `albert/${source}`];
  for (const name of names) {
    const repository = path.join(hubCache(), `models--${name.replaceAll('/', '--')}`);
    looked.push(repository);
    const folder = await hubSnapshot(repository);
    if (folder) return folder;
  }
  if (isFolder(here)) return here;
  throw noModel(source, looked);
}

function noModel(source: string, looked: string[]): AlbertError {
  return new AlbertError(
    'CHECKPOINT',
    `expected a model folder or the name of a local model but found none for ${show(source)}; looked in ` +
      `${looked.join(', ')}. Nothing is downloaded: fetch the model first and pass its folder`,
  );
}

/** Reads a JSON file that holds an object, or an array. @throws AlbertError with the given code. */
export async function readJson<T = AlbertConfig>(
  file: string,
  code: 'INVALID_CONFIG' | 'TOKENIZER' | 'CHECKPOINT',
  kind: 'object' | 'array' = 'object',
) {
  // Nobody may ever write into a pipe, and a device may never end.
  const status = statusOf(file, code);
  if (status && !status.isFile()) throw new AlbertError(code, `expected a regular file at ${file}`);
  const text = await readText(file).catch((error: Error) => {
    throw new AlbertError(code, error.message, { cause: error });
  });
  try {
    const value: unknown = JSON.parse(text);
    if (kind === 'array' ? !Array.isArray(value) : !isObject(value)) throw new Error(`it holds no ${kind}`);
    return { text, value: value as T };
  } catch (error) {
    throw new AlbertError(code, `expected a JSON ${kind} in ${file}: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

/** config.json of a model folder: its path, its text and its contents. */
export async function readConfig(folder: string) {
  const file = path.join(folder, 'config.json');
  if (!statusOf(file, 'CHECKPOINT')) {
    throw new AlbertError(
      'CHECKPOINT',
      `expected config.json in the model folder but found none in ${folder}`,
    );
  }
  const { text, value } = await readJson(file, 'INVALID_CONFIG');
  const names: unknown = value.id2label;
  if (typeof names !== 'object' || names === null || Array.isArray(names)) return { file, text, value };
  // Training on numbered classes leaves numbers for names.
  const id2label = Object.fromEntries(
    Object.entries(names).map(([id, name]) => [
      id,
      typeof name === 'number' ? String(name) : (name as string),
    ]),
  );
  return { file, text, value: { ...value, id2label } };
}

/** The weights of a model folder: one file, or the index of several. */
export function findWeights(folder: string): string {
  const found = WEIGHT_FILES.find((name) => existsSync(path.join(folder, name)));
  if (found) return path.join(folder, found);
  const others = namesIn(folder).filter((name) =>
    /\.(h5|onnx|msgpack|ot|ckpt|pt|pth|bin|safetensors)$/.test(name),
  );
  // What transformers.js downloads holds the graph of a model but no checkpoint.
  const isExport = existsSync(path.join(folder, 'onnx'));
  if (isExport) others.push('onnx/');
  throw new AlbertError(
    'CHECKPOINT',
    `expected one of ${WEIGHT_FILES.join(', ')} in ${folder} but found ${others.length ? others.join(', ') : 'no weights'}` +
      (isExport ? '; ONNX is not read: fetch the checkpoint that it was exported from' : ''),
  );
}

/** Where calibrate() writes by default. */
export const CALIBRATION_FILE = 'calibration.safetensors';

/** The calibration in a model folder, or null. */
export function findCalibration(folder: string): string | null {
  const file = path.join(folder, CALIBRATION_FILE);
  return existsSync(file) ? file : null;
}

/** What the tokenizers of 2019 to 2023 call a special token. */
const SPECIAL_NAMES = ['[CLS]', '[SEP]', '[MASK]', '[PAD]', '[UNK]', '<pad>', '<unk>'];

/**
 * tokenizer_config.json with the tokens of added_tokens.json, where older versions of transformers keep what was added to a
 * vocabulary. It counts where tokenizer_config.json lists no tokens itself.
 */
function withAddedTokens(config: AlbertConfig, special: AlbertConfig, added: AlbertConfig): AlbertConfig {
  if (config.added_tokens_decoder !== undefined || Object.keys(added).length === 0) return config;
  const named = [config, special].flatMap((settings) =>
    Object.entries(settings)
      .filter(([key]) => key.endsWith('_token') || key === 'additional_special_tokens')
      .flatMap(([, value]) => value as unknown[]),
  );
  const contents = named.map((token) => (token as { content?: unknown } | null)?.content ?? token);
  const entries = Object.entries(added).map(([content, id]) => {
    if (!Number.isInteger(id))
      throw new AlbertError(
        'TOKENIZER',
        `expected the id of '${content}' in added_tokens.json but found ${show(id)}`,
      );
    const isSpecial = contents.includes(content) || SPECIAL_NAMES.includes(content);
    return [id, { content, lstrip: content === '[MASK]', special: isSpecial }];
  });
  return { ...config, added_tokens_decoder: Object.fromEntries(entries) as object };
}

/** What the files beside a vocabulary say of it, and the class of tokenizer that they name. */
async function readSettings(folder: string) {
  const optional = async (name: string, code: 'INVALID_CONFIG' | 'TOKENIZER') => {
    const file = path.join(folder, name);
    return existsSync(file) ? readJson(file, code) : { text: '', value: {} as AlbertConfig };
  };
  const [tokenizer, special, added, config] = await Promise.all([
    optional('tokenizer_config.json', 'TOKENIZER'),
    optional('special_tokens_map.json', 'TOKENIZER'),
    optional('added_tokens.json', 'TOKENIZER'),
    optional('config.json', 'INVALID_CONFIG'),
  ]);
  const settings = withAddedTokens(tokenizer.value, special.value, added.value);
  // Files written without a limit hold 1e30.
  const limit = tokenizer.value.model_max_length;
  return {
    className: tokenizer.value.tokenizer_class ?? config.value.tokenizer_class ?? '',
    tokenizerConfig: settings === tokenizer.value ? tokenizer.text : JSON.stringify(settings),
    specialTokens: special.text,
    maxLength: typeof limit === 'number' && limit > 0 && limit < 1e9 ? Math.floor(limit) : Infinity,
  };
}

/** The settings in the folder of a vocabulary file. */
export async function settingsBeside(vocabulary: string): Promise<Omit<TokenizerFiles, 'vocabulary'>> {
  const { tokenizerConfig, specialTokens, maxLength } = await readSettings(path.dirname(vocabulary));
  return { tokenizerConfig, specialTokens, maxLength };
}

/**
 * The tokenizer files of a model folder, or null when it has no vocabulary. The class that tokenizer_config.json or
 * config.json names decides between several vocabularies.
 */
export async function findTokenizer(folder: string): Promise<TokenizerFiles | null> {
  const { className, ...settings } = await readSettings(folder);
  const order = /^Bert/.test(className)
    ? ['vocab.txt', 'tokenizer.json', 'spiece.model']
    : ['spiece.model', 'tokenizer.json', 'vocab.txt'];
  const vocabulary = order.find((name) => existsSync(path.join(folder, name)));
  if (!vocabulary) return null;
  return { ...settings, vocabulary: path.join(folder, vocabulary) };
}
