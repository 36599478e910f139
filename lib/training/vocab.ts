/** Trains a SentencePiece vocabulary with ALBERT's settings by driving the reference's own trainer, spm_train. */
import { spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { throwIfAborted } from '../abort';
import { AlbertError, callNative } from '../errors';
import { binding } from '../native';
import { abortSignal, boolean, integer, type Names, optionsObject, pathString, string } from '../options';
import { makeFolder } from '../source';
import { findFiles, readLines } from '../text-files';

export interface TrainVocabularyOptions {
  /** Text files, folders, patterns or a list of them; .gz too. A sentence or paragraph a line. */
  input: string | readonly string[];
  /** The .model file to write. */
  output: string;
  /** Pieces, special ones included. Default 30000. */
  size?: number;
  /**
   * Default true: text is lower-cased and its accents are stripped before. With false a tokenizer_config.json beside the
   * vocabulary says so to whoever loads it.
   */
  lowerCase?: boolean;
  /** Sentences that are drawn when there are more. Default 10 million. */
  sampleSize?: number;
  /** Default: spm_train on the PATH. */
  program?: string;
  /** Ends it with ABORTED; nothing is left behind. */
  signal?: AbortSignal;
}

const VOCABULARY_OPTIONS: Names<TrainVocabularyOptions> = {
  input: true,
  output: true,
  size: true,
  lowerCase: true,
  sampleSize: true,
  program: true,
  signal: true,
};

// The published order gives the published ids: 5 to 12 after <pad>, <unk>, [CLS], [SEP] and [MASK].
const CONTROL_SYMBOLS = ['[CLS]', '[SEP]', '[MASK]'];
const USER_SYMBOLS = ['(', ')', '"', '-', '.', '–', '£', '€'];

/** What a tokenizer is told of a vocabulary that keeps case and accents. */
const CASED_SETTINGS = `${JSON.stringify({ tokenizer_class: 'AlbertTokenizer', do_lower_case: false, keep_accents: true }, null, 2)}\n`;

/** A list as spm_train reads it, as CSV: the release's own list loses all after its bare double quote there. */
function csv(symbols: string[]): string {
  return symbols
    .map((symbol) => (/[",]/.test(symbol) ? `"${symbol.replaceAll('"', '""')}"` : symbol))
    .join(',');
}

/** Writes the lines of all files as spm_train is to see them; returns how many. */
async function writePrepared(
  files: string[],
  output: string,
  lowerCase: boolean,
  signal: AbortSignal | undefined,
): Promise<number> {
  let lines = 0;
  const prepared = async function* () {
    for (const file of files) {
      for await (const line of readLines(file)) {
        const text = callNative(() => binding().prepareText(line, lowerCase));
        if (text === '') continue;
        lines++;
        yield `${text}\n`;
      }
    }
  };
  await pipeline(prepared, createWriteStream(output), { signal });
  return lines;
}

async function run(program: string, args: string[], signal: AbortSignal | undefined): Promise<void> {
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'], signal });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (part: string) => (said = (said + part).slice(-4000)));
  const code = await new Promise<number | null>((resolve, reject) => {
    // One that an abort kills has ended when it closes.
    child.on('error', (error) => signal?.aborted || reject(error)).on('close', resolve);
  }).catch((error: NodeJS.ErrnoException) => {
    const missing = `expected the program ${program} but it is not installed; the Debian package sentencepiece has it (apt-get install sentencepiece)`;
    throw new AlbertError(
      'DATA',
      error.code === 'ENOENT' ? missing : `could not run ${program}: ${error.message}`,
    );
  });
  if (code === 0) return;
  const tooSmall = /Vocabulary size too high.*/.exec(said);
  const reason = tooSmall?.[0] ?? (said.trim().split('\n').at(-1) || `exit status ${code}`);
  const hint = tooSmall ? '; give more text or a smaller size' : '';
  throw new AlbertError('DATA', `${program} failed: ${reason}${hint}`);
}

/**
 * Trains a unigram vocabulary: ids 0 to 4 are <pad>, <unk>, [CLS], [SEP], [MASK], as in the released models.
 * @throws AlbertError DATA when the text cannot be read or the vocabulary not written, spm_train is missing, or it refuses.
 */
export async function trainVocabulary(options: TrainVocabularyOptions): Promise<{ sentences: number }> {
  const given = optionsObject<TrainVocabularyOptions>('options', options, VOCABULARY_OPTIONS);
  const output = path.resolve(pathString('output', given.output));
  const size = integer('size', given.size, { min: 20, max: 1 << 24 }, 30000);
  const sample = integer('sampleSize', given.sampleSize, { min: 1, max: 0x7fffffff }, 10_000_000);
  const lowerCase = boolean('lowerCase', given.lowerCase, true);
  const program = given.program === undefined ? 'spm_train' : string('program', given.program);
  const signal = abortSignal(given.signal);
  const files = await findFiles(given.input, 'input');
  const work = await mkdtemp(path.join(os.tmpdir(), 'albert-vocab-'));
  try {
    const text = path.join(work, 'text.txt');
    const sentences = await writePrepared(files, text, lowerCase, signal);
    if (sentences === 0) throw new AlbertError('DATA', `expected text in ${files[0]} but it is empty`);
    await run(
      program,
      [
        `--input=${text}`,
        `--model_prefix=${path.join(work, 'spiece')}`,
        '--model_type=unigram',
        `--vocab_size=${size}`,
        '--pad_id=0',
        '--unk_id=1',
        '--bos_id=-1',
        '--eos_id=-1',
        '--pad_piece=<pad>',
        '--unk_piece=<unk>',
        `--control_symbols=${csv(CONTROL_SYMBOLS)}`,
        `--user_defined_symbols=${csv(USER_SYMBOLS)}`,
        '--character_coverage=0.99995',
        `--input_sentence_size=${sample}`,
        '--shuffle_input_sentence=true',
        '--minloglevel=1',
      ],
      signal,
    );
    await makeFolder(path.dirname(output));
    await copyFile(path.join(work, 'spiece.model'), output);
    if (!lowerCase) await writeFile(path.join(path.dirname(output), 'tokenizer_config.json'), CASED_SETTINGS);
    return { sentences };
  } catch (error) {
    throwIfAborted(signal);
    if (error instanceof AlbertError) throw error;
    const message = `could not make the vocabulary ${output}: ${(error as Error).message}`;
    throw new AlbertError('DATA', message, { cause: error });
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}
