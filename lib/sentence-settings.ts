/** What sentence-transformers keeps beside a model: how its states become the embedding of a text. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { AlbertError } from './errors';
import { show } from './options';
import { readJson } from './source';

interface SentenceSettings {
  pooling: 'mean' | 'cls';
  normalize: boolean;
  /** Tokens of a text at most; undefined where the files set no limit. */
  max_length?: number;
}

const POOLINGS = { pooling_mode_mean_tokens: 'mean', pooling_mode_cls_token: 'cls' } as const;
/** Names the files that say how sentences are embedded. */
export const MODULE_LIST = 'modules.json';
/** [CLS], a token and [SEP]. */
const SHORTEST = 3;
const LENGTH_FILES = ['sentence_bert_config.json', 'sentence_albert_config.json'];

async function settingsIn(file: string): Promise<Record<string, unknown>> {
  return existsSync(file) ? (await readJson(file, 'CHECKPOINT')).value : {};
}

async function poolingOf(file: string): Promise<SentenceSettings['pooling']> {
  const modes = Object.entries(await settingsIn(file)).filter(
    ([name, value]) => name.startsWith('pooling_mode_') && value === true,
  );
  const names = modes.map(([name]) => name);
  const [name] = names;
  if (names.length === 1 && Object.hasOwn(POOLINGS, name)) return POOLINGS[name as keyof typeof POOLINGS];
  throw new AlbertError(
    'CHECKPOINT',
    `expected pooling by mean or first token in ${file} but found ${names.join(', ') || 'none'}; ask for another pooling and ` +
      'combine the vectors yourself',
  );
}

interface Module {
  type: string;
  /** Where its files are, '.' for the folder itself. */
  place: string;
}

async function modulesOf(folder: string): Promise<Module[]> {
  const file = path.join(folder, MODULE_LIST);
  if (!existsSync(file)) return [];
  const { value } = await readJson<({ type?: unknown; path?: unknown } | null)[]>(
    file,
    'CHECKPOINT',
    'array',
  );
  return value.map((module) => {
    const place = path.normalize(typeof module?.path === 'string' ? module.path : '');
    if (path.isAbsolute(place) || place.startsWith('..'))
      throw new AlbertError(
        'CHECKPOINT',
        `expected paths within the folder in ${file} but found ${show(place)}`,
      );
    return { type: String(module?.type), place };
  });
}

/** Names of the files that a folder's settings may be in, for whoever copies them; none of a folder whose list is broken. */
export async function sentenceFiles(folder: string): Promise<string[]> {
  const modules = await modulesOf(folder).catch(() => []);
  const inside = modules.flatMap(({ place }) =>
    [...LENGTH_FILES, ...(place === '.' ? [] : ['config.json'])].map((name) => path.join(place, name)),
  );
  return modules.length > 0 ? [MODULE_LIST, ...new Set(inside)] : [];
}

/**
 * The settings of modules.json and the files that it names; the mean without them.
 * @param folder of the model, or null for one that has none.
 * @throws AlbertError CHECKPOINT for files that are broken or ask for what is not done here.
 */
export async function sentenceSettings(folder: string | null): Promise<SentenceSettings> {
  const settings: SentenceSettings = { pooling: 'mean', normalize: false };
  if (folder === null) return settings;
  for (const { type, place } of await modulesOf(folder)) {
    const kind = type.split('.').at(-1)!;
    const inside = (name: string) => path.join(folder, place, name);
    if (kind === 'Transformer') {
      for (const name of LENGTH_FILES) {
        const { max_seq_length } = await settingsIn(inside(name));
        if (!Number.isInteger(max_seq_length)) continue;
        settings.max_length = max_seq_length as number;
        if (settings.max_length < SHORTEST)
          throw new AlbertError(
            'CHECKPOINT',
            `expected a max_seq_length of at least ${SHORTEST} in ${inside(name)} but found ${settings.max_length}`,
          );
      }
    } else if (kind === 'Pooling') {
      settings.pooling = await poolingOf(inside('config.json'));
    } else if (kind === 'Normalize') {
      settings.normalize = true;
    } else {
      throw new AlbertError(
        'CHECKPOINT',
        `expected modules Transformer, Pooling and Normalize in ${path.join(folder, MODULE_LIST)} but found ${show(type)}; ask for a pooling and do ` +
          'the rest yourself',
      );
    }
  }
  return settings;
}
