/** Text files as users have them: found by paths, folders and patterns, and read whole or line by line, UTF-8 alone. */
import { isUtf8 } from 'node:buffer';
import { createReadStream, type Stats, statSync } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { createGunzip } from 'node:zlib';
import { AlbertError, type ErrorCode } from './errors';
import { invalid, pathString, show } from './options';

const BYTE_ORDER_MARK = /^\ufeff/;

/** The error for a path that cannot be looked at. */
export function unseen(code: ErrorCode, place: string, error: unknown): AlbertError {
  const reason = (error as Error).message;
  return new AlbertError(code, `could not look at ${show(place)}: ${reason}`, { cause: error });
}

/**
 * What stands at a path; undefined where there is nothing, as below a file.
 * @param code of the error for a path that cannot be looked at, as in a folder that may not be entered.
 */
export function statusOf(place: string, code: ErrorCode): Stats | undefined {
  try {
    return statSync(place, { throwIfNoEntry: false });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOTDIR') return undefined;
    throw unseen(code, place, error);
  }
}

/** `*`, `**` and `?` of a path pattern as a regular expression. */
function globExpression(pattern: string): RegExp {
  const source = pattern
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replace(
      /\*\*\/|\*\*|\*|\?/g,
      (wild) => ({ '**/': '(?:.*/)?', '**': '.*', '*': '[^/]*', '?': '[^/]' })[wild]!,
    );
  return new RegExp(`^${source}$`);
}

async function filesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true, recursive: true }).catch((error: Error) => {
    throw unreadable(folder, '', error);
  });
  const files: string[] = [];
  for (const entry of entries) {
    const file = path.join(entry.parentPath ?? entry.path, entry.name);
    // A link counts as the file that it means; those to folders are not followed, as they may lead in a circle.
    const status = entry.isSymbolicLink() ? await stat(file).catch(() => null) : entry;
    if (status?.isFile() && !entry.name.startsWith('.')) files.push(file);
  }
  return files.sort();
}

/**
 * The files that paths, folders and patterns mean, in order.
 * @param subject what errors call them.
 * @throws AlbertError DATA when one of them means none, or cannot be looked at.
 */
export async function findFiles(corpus: unknown, subject = 'corpus'): Promise<string[]> {
  const patterns: unknown[] = Array.isArray(corpus) ? corpus : [corpus];
  if (patterns.length === 0) throw invalid('a path, a pattern or a list of them', subject, corpus);
  const found: string[] = [];
  for (const pattern of patterns) {
    if (typeof pattern !== 'string' || pattern === '') {
      throw invalid('a path, a pattern or a list of them', subject, pattern);
    }
    const full = path.resolve(pattern);
    const status = statusOf(full, 'DATA');
    let files: string[] = [];
    if (status?.isFile()) {
      files = [full];
    } else if (status?.isDirectory()) {
      files = await filesBelow(full);
    } else if (/[*?]/.test(full)) {
      const base = path.dirname(full.slice(0, full.search(/[*?]/)) + 'x');
      const expression = globExpression(full.replaceAll(path.sep, '/'));
      if (statusOf(base, 'DATA')) {
        files = (await filesBelow(base)).filter((file) => expression.test(file.replaceAll(path.sep, '/')));
      }
    }
    if (files.length === 0) {
      throw new AlbertError('DATA', `expected text files at ${pattern} but found none`);
    }
    for (const file of files) found.push(file);
  }
  return [...new Set(found)];
}

/** Why a file is not read; `at` is the line that was reached. */
function unreadable(file: string, at: string, error: Error): AlbertError {
  const { code } = error as NodeJS.ErrnoException;
  const found = code === 'ENOENT' ? 'there is none' : code === 'EISDIR' ? 'it is a folder' : null;
  const message = found
    ? `expected a file at ${file} but ${found}`
    : `${file}${at}: cannot be read: ${error.message}`;
  return new AlbertError('DATA', message, { cause: error });
}

/** @throws AlbertError DATA for a name that no file can have, or INVALID_ARGUMENT for none. */
function openText(file: string, highWaterMark = 1 << 16): Readable {
  pathString('file', file);
  try {
    return createReadStream(file, { highWaterMark });
  } catch (error) {
    throw unreadable(file, '', error as Error);
  }
}

/** The bytes of a file that `input` reads, gunzipped where its name ends in .gz. */
function unpacked(file: string, input: Readable): Readable {
  if (!file.endsWith('.gz')) return input;
  const bytes = createGunzip();
  // Errors of the file would otherwise be lost on the way through the pipe.
  input.on('error', (error) => bytes.destroy(error));
  return input.pipe(bytes);
}

/**
 * Lines of a text file, gunzipped where its name ends in .gz. They end in a line feed, or a carriage return before it; a mark of
 * byte order is no part of the first.
 * @param input what is read in place of the file.
 * @throws AlbertError DATA with the line when the bytes are no UTF-8 or cannot be read.
 */
export async function* readLines(
  file: string,
  input: Readable = openText(file, 1 << 18),
): AsyncGenerator<string> {
  // Of the line whose end has not come yet; joined once, as a line may be long.
  let parts: Buffer[] = [];
  let number = 0;
  const decode = (last: Buffer): string => {
    const line = parts.length === 0 ? last : Buffer.concat([...parts, last]);
    if (!isUtf8(line)) {
      throw new AlbertError(
        'DATA',
        `${file}:${number + 1}: expected UTF-8 text but the line holds other bytes; convert it first`,
      );
    }
    const text = line.toString('utf8', 0, line.at(-1) === 13 ? line.length - 1 : line.length);
    parts = [];
    number++;
    return number === 1 ? text.replace(BYTE_ORDER_MARK, '') : text;
  };
  try {
    for await (const chunk of unpacked(file, input)) {
      const data = chunk as Buffer;
      let begin = 0;
      for (let end = data.indexOf(10); end >= 0; end = data.indexOf(10, begin)) {
        yield decode(data.subarray(begin, end));
        begin = end + 1;
      }
      if (begin < data.length) parts.push(data.subarray(begin));
    }
    const last = parts.pop();
    if (last) yield decode(last);
  } catch (error) {
    if (error instanceof AlbertError) throw error;
    throw unreadable(file, `:${number + 1}`, error as Error);
  } finally {
    input.destroy();
  }
}

/**
 * The whole of a text file, gunzipped where its name ends in .gz, without its mark of byte order.
 * @param input what is read in place of the file.
 * @throws AlbertError DATA.
 */
export async function readText(file: string, input: Readable = openText(file)): Promise<string> {
  const bytes = await buffer(unpacked(file, input)).catch((error: Error) => {
    throw unreadable(file, '', error);
  });
  if (!isUtf8(bytes))
    throw new AlbertError('DATA', `${file}: expected UTF-8 text but it holds other bytes; convert it first`);
  try {
    return bytes.toString('utf8').replace(BYTE_ORDER_MARK, '');
  } catch (error) {
    throw unreadable(file, '', error as Error);
  }
}
