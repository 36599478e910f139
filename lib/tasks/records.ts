/** Records of a user's data file: fields by the names that a description gives them, whatever the format. */
import path from 'node:path';
import { AlbertError } from '../errors';
import { invalid, show } from '../options';
import { cellOf, columnOf, readConll, readJsonLines, readTable, type Row, slicesOf } from './table';
import { dataError } from './task';

export const FORMATS = ['tsv', 'csv', 'jsonl', 'conll', 'squad'] as const;
/** Of a data file; 'squad' is JSON in SQuAD's form. */
type Format = (typeof FORMATS)[number];

/** A column by name, or by number from 0; negative numbers count from the end. */
type Column = string | number;

/** How a file is read: its form, and where things stand in it. */
export interface FileLayout {
  /** Default: what the files' names end in; .json is SQuAD's form. */
  format?: Format;
  /** Whether tables begin with the names of their columns. Default true. */
  header?: boolean;
  /**
   * Where things stand; the names below are the defaults. Classification, multi-label and regression: text, pair (none), label.
   * Tagging: words and tags of JSON lines, or the word and the tag among CoNLL's columns, 0 and -1. Question answering: question,
   * context, answers ([{ text, answer_start }], none for no answer). Multiple choice: context, question, choices, label (a place
   * from 0, or a letter). All: id (the number of the row).
   */
  columns?: Record<string, Column>;
}

/** One record of a file. */
export interface FileRecord {
  field: (name: string) => unknown;
  has: (name: string) => boolean;
  slices?: Record<string, string>;
  /** The error for something wrong here. */
  fail: (message: string) => AlbertError;
}

/** The form of a file. @throws AlbertError INVALID_ARGUMENT where neither layout nor name tells it. */
export function formatOf(layout: FileLayout, file: string): Format {
  const endings: Record<string, Format> = {
    '.tsv': 'tsv',
    '.csv': 'csv',
    '.jsonl': 'jsonl',
    '.ndjson': 'jsonl',
    '.conll': 'conll',
    '.json': 'squad',
  };
  const format = layout.format ?? endings[path.extname(file.replace(/\.gz$/, ''))];
  if (format === undefined) {
    throw new AlbertError(
      'INVALID_ARGUMENT',
      `expected format to be one of ${FORMATS.map((one) => `'${one}'`).join(', ')} since the name of ${file} does not tell it`,
    );
  }
  return format;
}

function slicesOfObject(
  value: Record<string, unknown>,
  slices: readonly string[],
  file: string,
  line: number,
): Record<string, string> {
  return Object.fromEntries(
    slices.map((name) => {
      const field = value[name];
      if (field === undefined) throw dataError(file, line, `expected a field '${name}' to slice by`);
      return [name, typeof field === 'string' ? field : JSON.stringify(field)];
    }),
  );
}

/** The records of a table or of JSON lines, with the columns to slice by. @throws AlbertError DATA. */
export async function readRecords(
  layout: FileLayout,
  file: string,
  format: Format,
  slices: readonly string[],
): Promise<FileRecord[]> {
  const columns = layout.columns ?? {};
  if (format === 'jsonl') {
    return (await readJsonLines(file)).map(({ line, value }) => ({
      fail: (message) => dataError(file, line, message),
      field: (name) => value[columns[name] ?? name],
      has: (name) => value[columns[name] ?? name] !== undefined,
      slices: slices.length > 0 ? slicesOfObject(value, slices, file, line) : undefined,
    }));
  }
  const table = await readTable(file, format as 'tsv' | 'csv', layout.header ?? true);
  const { header, rows } = table;
  for (const row of header ? rows : []) {
    if (row.cells.length <= header!.length || row.cells.slice(header!.length).every((cell) => cell === ''))
      continue;
    const quotes = format === 'csv' ? '; a cell with a comma stands in quotes' : '';
    const message = `expected ${header!.length} columns, as the first line names, but received ${row.cells.length}${quotes}`;
    throw dataError(file, row.line, message);
  }
  const places = new Map<string, number>();
  const place = (name: string) => {
    if (!places.has(name)) places.set(name, columnOf(table, columns[name] ?? name));
    return places.get(name)!;
  };
  return table.rows.map((row) => ({
    fail: (message) => dataError(file, row.line, message),
    field: (name) => cellOf(table, row, place(name)),
    has: (name) => name in columns || (table.header?.includes(name) ?? false),
    slices: slicesOf(table, row, slices),
  }));
}

/** A text, or a value that is written as one, of a field. */
export function asText(record: FileRecord, name: string, value: unknown): string {
  if (['string', 'number', 'boolean'].includes(typeof value)) return String(value);
  throw record.fail(`expected a text for ${name} but received ${show(value)}`);
}

/** A field that holds a text, or a value that is written as one. */
export function text(record: FileRecord, name: string, mayBeEmpty = false): string {
  const shown = asText(record, name, record.field(name));
  if (shown.trim() === '' && !mayBeEmpty) throw record.fail(`expected a text for ${name} but it is empty`);
  return shown;
}

/** A field that holds texts. */
export function list(record: FileRecord, name: string): string[] {
  const value = record.field(name);
  if (!Array.isArray(value) || value.length === 0 || !value.every((entry) => typeof entry === 'string'))
    throw record.fail(`expected a list of texts for ${name} but received ${show(value)}`);
  return value;
}

/** Sentences with their words, the names of the tags, and the error for something wrong with a word. */
export async function readTagged(layout: FileLayout, file: string, format: Format, labelled: boolean) {
  const columns = layout.columns ?? {};
  if (format === 'conll') {
    const place = (name: string, usual: number) => {
      const column = columns[name] ?? usual;
      if (typeof column === 'number') return column;
      throw invalid(`a number, as the columns of ${file} have no names,`, `columns.${name}`, column);
    };
    const [word, tag] = [place('word', 0), place('tag', -1)];
    const cell = (row: Row, column: number) => {
      const found = cellOf({ file, header: null, rows: [] }, row, column);
      if (found !== '') return found;
      throw dataError(file, row.line, `expected a text in column ${column} but it is empty`);
    };
    const tagOf = (row: Row) => {
      if (row.cells.length + tag === word)
        throw dataError(
          file,
          row.line,
          'expected a word and its tag but received no column besides the word',
        );
      return cell(row, tag);
    };
    return (await readConll(file)).map((rows) => ({
      words: rows.map((row) => cell(row, word)),
      tags: labelled ? rows.map(tagOf) : null,
      fail: (w: number) => (message: string) => dataError(file, rows[w].line, message),
    }));
  }
  return (await readRecords(layout, file, format, [])).map((record) => {
    const words = list(record, 'words');
    const tags = labelled ? list(record, 'tags') : null;
    if (tags && tags.length !== words.length)
      throw record.fail(`expected ${words.length} tags, one a word, but received ${tags.length}`);
    return { words, tags, fail: () => record.fail };
  });
}
