/** Turns the work of a case into batches: random ids, or texts of data that the repository does not hold. */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { Tokenizer } from '../dist';
import type { Work } from './cases';
import { type Batch, NotAvailable } from './peer';
import { random } from './statistics';
import { albert } from './subject';

const BATCH = 32;
const VOCABULARY = 30000;

/** Where the data of others lies: GLUE folders and the published vocabulary. */
export const dataFiles = (folder: string) => ({
  vocabulary: path.join(folder, 'data', 'albert-spiece.model'),
  rte: path.join(folder, 'data', 'glue', 'RTE', 'dev.tsv'),
  sst2: path.join(folder, 'data', 'glue', 'SST-2', 'train.tsv'),
});

function randomBatch(lengths: number[]): Batch {
  const draw = random(lengths.length * 1009 + lengths[0]);
  // Ids below 5 are special; a sequence is [CLS] ... [SEP] where it is long enough.
  const input_ids = lengths.map((length) =>
    Array.from({ length }, (_, i) => {
      if (i === 0) return 2;
      return i === length - 1 ? 3 : 5 + Math.floor(draw() * (VOCABULARY - 5));
    }),
  );
  return { input_ids, token_type_ids: lengths.map((length) => Array<number>(length).fill(0)), texts: null };
}

/** The published vocabulary. @throws NotAvailable when it is not in the folder of --data. */
export async function loadVocabulary(data: string): Promise<Tokenizer> {
  const { vocabulary } = dataFiles(data);
  if (!existsSync(vocabulary))
    throw new NotAvailable('expected data/albert-spiece.model in the data folder; name it with --data');
  return albert().Tokenizer.load(vocabulary);
}

/** Rows of a GLUE file without its header. @throws NotAvailable when it is not there. */
export function readRows(file: string): string[][] {
  if (!existsSync(file))
    throw new NotAvailable(
      `expected ${path.basename(path.dirname(file))}/${path.basename(file)} in the data folder; name it with --data`,
    );
  const lines = readFileSync(file, 'utf8').split('\n').slice(1).filter(Boolean);
  return lines.map((line) => line.split('\t'));
}

/**
 * The batches of a case.
 * @param data the folder of --data.
 * @throws NotAvailable when the data is not there.
 */
export async function batchesOf(work: Work, data: string): Promise<Batch[]> {
  if (work.kind === 'ids') return [randomBatch(work.lengths)];
  const files = dataFiles(data);
  const texts: (string | [string, string])[] =
    work.kind === 'pairs'
      ? readRows(files.rte).map(([, first, second]) => [first, second])
      : readRows(files.sst2)
          .slice(0, work.count)
          .map(([sentence]) => sentence);
  const tokenizer = await loadVocabulary(data);
  const options = { max_length: 512, truncation: 'longest_first' } as const;
  const rows = (await tokenizer.encodeBatch(texts, options)).map((encoding, i) => ({
    ids: Array.from(encoding.input_ids),
    types: Array.from(encoding.token_type_ids),
    text: texts[i],
  }));
  if (work.kind === 'pairs' && work.sorted) rows.sort((a, b) => a.ids.length - b.ids.length);
  return Array.from({ length: Math.ceil(rows.length / BATCH) }, (_, i) => {
    const part = rows.slice(i * BATCH, (i + 1) * BATCH);
    return {
      input_ids: part.map(({ ids }) => ids),
      token_type_ids: part.map(({ types }) => types),
      texts: work.kind === 'texts' ? part.map(({ text }) => text as string) : null,
    };
  });
}

export const lengthsOf = (batch: Batch) => batch.input_ids.map((row) => row.length);
