/** Tokenises text files once, into shards that later runs map into memory and reuse. */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { throwIfAborted } from '../abort';
import { AlbertError, awaitNative } from '../errors';
import { binding } from '../native';
import { makeFolder } from '../source';
import { readLines } from '../text-files';
import type { Tokenizer } from '../tokenizer';

interface TokenizeOptions {
  /** 'sentences': one a line, blank lines between documents. 'paragraphs': raw text, a paragraph a line, split here. */
  format: 'sentences' | 'paragraphs';
  /** The folder for shards. */
  cache: string;
  signal?: AbortSignal;
}

/** What a tokenised corpus is: its shards and their sums. */
interface TokenizedCorpus {
  shards: string[];
  documents: number;
  segments: number;
  tokens: number;
}

// Segments and characters tokenised in one call, calls at a time, and tokens of a shard (64 MB).
const SEGMENTS_PER_CALL = 4096;
const UNITS_PER_CALL = 1 << 19;
const TOKENS_PER_SHARD = 1 << 24;

/** The cache folder of this user. */
export function defaultCache(): string {
  return path.join(process.env.XDG_CACHE_HOME || path.join(os.homedir(), '.cache'), 'albert-native');
}

/** Segments of all files in order; null ends a document. A file need not end one, as in the reference. */
async function* readSegments(
  files: string[],
  format: TokenizeOptions['format'],
): AsyncGenerator<string | null> {
  const segmenter = new Intl.Segmenter('en', { granularity: 'sentence' });
  for (const file of files) {
    for await (const line of readLines(file)) {
      const text = line.trim();
      if (text === '') yield null;
      else if (format === 'sentences') yield text;
      else for (const { segment } of segmenter.segment(text)) yield segment;
    }
  }
  yield null;
}

/** Collects tokens and writes a shard whenever enough documents have come together. */
class ShardWriter {
  readonly shards: string[] = [];
  documents = 0;
  segments = 0;
  tokens = 0;
  // Grows as needed; its first #pending places are taken.
  #ids = new Int32Array(1 << 16);
  #pending = 0;
  #lengths: number[] = [];
  #documentSegments: number[] = [];
  #open = 0;

  constructor(private readonly folder: string) {}

  add(ids: Int32Array): void {
    if (ids.length === 0) return;
    const needed = this.#pending + ids.length;
    if (needed > this.#ids.length) {
      const grown = new Int32Array(Math.max(needed, 2 * this.#ids.length));
      grown.set(this.#ids.subarray(0, this.#pending));
      this.#ids = grown;
    }
    this.#ids.set(ids, this.#pending);
    this.#pending = needed;
    this.#lengths.push(ids.length);
    this.#open++;
  }

  async endDocument(): Promise<void> {
    if (this.#open === 0) return;
    this.#documentSegments.push(this.#open);
    this.#open = 0;
    if (this.#pending >= TOKENS_PER_SHARD) await this.flush();
  }

  async flush(): Promise<void> {
    if (this.#documentSegments.length === 0) return;
    const tokens = this.#ids.subarray(0, this.#pending);
    const lengths = Int32Array.from(this.#lengths);
    const documents = Int32Array.from(this.#documentSegments);
    const file = path.join(this.folder, `${String(this.shards.length).padStart(5, '0')}.tokens`);
    await awaitNative(() => binding().writeShard(file, tokens, lengths, documents));
    this.shards.push(file);
    this.documents += documents.length;
    this.segments += lengths.length;
    this.tokens += tokens.length;
    this.#pending = 0;
    this.#lengths = [];
    this.#documentSegments = [];
  }
}

async function tokenizeInto(folder: string, files: string[], tokenizer: Tokenizer, options: TokenizeOptions) {
  const writer = new ShardWriter(folder);
  let group: (string | null)[] = [];
  let units = 0;
  const encodeGroup = async () => {
    throwIfAborted(options.signal);
    const texts = group.filter((segment) => segment !== null);
    // Text of a corpus may speak of '[MASK]' without meaning it.
    const encodings = await tokenizer.encodeRaw(texts, { addSpecialTokens: false, splitSpecialTokens: true });
    let next = 0;
    for (const segment of group) {
      if (segment === null) await writer.endDocument();
      else writer.add(encodings[next++].ids);
    }
    group = [];
    units = 0;
  };
  for await (const segment of readSegments(files, options.format)) {
    group.push(segment);
    units += segment?.length ?? 0;
    if (group.length >= SEGMENTS_PER_CALL || units >= UNITS_PER_CALL) await encodeGroup();
  }
  await encodeGroup();
  await writer.flush();
  if (writer.documents === 0) {
    throw new AlbertError(
      'DATA',
      `expected text in ${files[0]}${files.length > 1 ? ' and others' : ''} but it is empty`,
    );
  }
  const { documents, segments, tokens } = writer;
  return { shards: writer.shards.map((shard) => path.basename(shard)), documents, segments, tokens };
}

/** What is in a cached folder; null where there is none or it is damaged, as by a full disk: it is then made anew. */
async function readCached(folder: string): Promise<TokenizedCorpus | null> {
  try {
    const manifest = JSON.parse(await readFile(path.join(folder, MANIFEST), 'utf8')) as TokenizedCorpus;
    const shards = manifest.shards.map((shard) => path.join(folder, shard));
    return shards.every((shard) => existsSync(shard)) ? { ...manifest, shards } : null;
  } catch {
    return null;
  }
}

const MANIFEST = 'corpus.json';
const DAY = 24 * 3600e3;

/** Removes what runs that were killed while they tokenised left of this folder: where nothing was written for a day. */
async function removeLeftovers(folder: string): Promise<void> {
  const parent = path.dirname(folder);
  for (const name of await readdir(parent).catch(() => [])) {
    if (!name.startsWith(`${path.basename(folder)}.`)) continue;
    const left = path.join(parent, name);
    const { mtimeMs } = await stat(left).catch(() => ({ mtimeMs: Infinity }));
    if (Date.now() - mtimeMs > DAY) await rm(left, { recursive: true, force: true });
  }
}

/**
 * The shards of the files' text: those in the cache when files, vocabulary and format are as they were, else made now.
 * @throws AlbertError DATA that names file and line of text that cannot be used.
 */
export async function tokenizeCorpus(
  files: string[],
  tokenizer: Tokenizer,
  options: TokenizeOptions,
): Promise<TokenizedCorpus> {
  const states = await Promise.all(
    files.map(async (file) => {
      const { size, mtimeMs } = await stat(file);
      return [file, size, mtimeMs];
    }),
  );
  const identity = JSON.stringify([1, states, await tokenizer.fingerprint(), options.format]);
  const folder = path.join(options.cache, createHash('sha256').update(identity).digest('hex').slice(0, 24));
  const cached = await readCached(folder);
  if (cached) return cached;
  // Made beside its place and renamed, so that a run that was stopped leaves nothing that looks whole. Of several that make the
  // same at once, the first to end has its folder used by all.
  await removeLeftovers(folder);
  await makeFolder(options.cache);
  const work = await mkdtemp(`${folder}.`);
  try {
    const manifest = await tokenizeInto(work, files, tokenizer, options);
    await writeFile(path.join(work, MANIFEST), JSON.stringify(manifest));
    await rename(work, folder).catch(async (error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error;
      if (await readCached(folder)) return;
      await rm(folder, { recursive: true, force: true });
      await rename(work, folder);
    });
    const made = await readCached(folder);
    if (made) return made;
    throw new AlbertError(
      'DATA',
      `expected the shards that were just made in ${folder}; are others removing them?`,
    );
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}
