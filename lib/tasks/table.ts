/** Reads rows of data files, each with the line it stands on: tab-separated as GLUE has it, CSV, JSON lines, CoNLL. */
import { AlbertError } from '../errors';
import { isObject } from '../options';
import { readLines, readText } from '../text-files';
import { dataError } from './task';

/** A row: cells by place or, where the file names its columns, by name. */
export interface Row {
  line: number;
  cells: string[];
}

export interface Table {
  file: string;
  /** Names of the columns; null where the file has none. */
  header: string[] | null;
  rows: Row[];
}

type TableFormat = 'tsv' | 'csv';

async function* numbered(file: string): AsyncGenerator<[line: number, text: string]> {
  let line = 0;
  for await (const text of readLines(file)) yield [++line, text];
}

async function readTsv(file: string): Promise<Row[]> {
  const rows: Row[] = [];
  for await (const [line, text] of numbered(file))
    if (text.trim() !== '') rows.push({ line, cells: text.split('\t') });
  return rows;
}

async function readCsv(file: string): Promise<Row[]> {
  const { parse } = await import('csv-parse/sync'); // only who reads CSV pays for it
  try {
    const records = parse(await readText(file), {
      info: true,
      relax_column_count: true,
      skip_empty_lines: true,
    }) as unknown as { record: string[]; info: { lines: number } }[];
    return records.map(({ record, info }) => ({ line: info.lines, cells: record }));
  } catch (error) {
    if (error instanceof AlbertError) throw error;
    const { lines = 1, message } = error as Error & { lines?: number };
    throw dataError(file, lines, `expected CSV (RFC 4180): ${message}`);
  }
}

/**
 * A table of a file. TSV has no quoting, as in GLUE; CSV follows RFC 4180. Blank lines are skipped.
 * @throws AlbertError DATA when it cannot be read or has no rows.
 */
export async function readTable(file: string, format: TableFormat, hasHeader: boolean): Promise<Table> {
  const rows = format === 'tsv' ? await readTsv(file) : await readCsv(file);
  const header = hasHeader ? (rows.shift()?.cells ?? null) : null;
  if (rows.length === 0) throw dataError(file, 1, 'expected rows of data but there are none');
  return { file, header: header && header.map((name) => name.trim()), rows };
}

/** The place of a column given by name or number; negative numbers count from the end. */
export function columnOf(table: Table, column: string | number): number {
  if (typeof column === 'number') return column;
  const index = table.header?.indexOf(column) ?? -1;
  if (index >= 0 && table.header!.lastIndexOf(column) !== index)
    throw dataError(table.file, 1, `expected one column '${column}' but two have that name`);
  if (index >= 0) return index;
  const has = table.header ? `has ${table.header.map((name) => `'${name}'`).join(', ')}` : 'names no columns';
  throw dataError(table.file, 1, `expected a column '${column}' but the file ${has}`);
}

/** A cell. @throws AlbertError DATA when the row is too short. */
export function cellOf(table: Table, row: Row, column: number): string {
  const cell = row.cells.at(column);
  if (cell !== undefined) return cell;
  const needed = column < 0 ? -column : column + 1;
  throw dataError(
    table.file,
    row.line,
    `expected at least ${needed} columns but received ${row.cells.length}`,
  );
}

/** The values of the columns that slices are made of. */
export function slicesOf(
  table: Table,
  row: Row,
  slices: readonly string[],
): Record<string, string> | undefined {
  if (slices.length === 0) return undefined;
  return Object.fromEntries(slices.map((name) => [name, cellOf(table, row, columnOf(table, name))]));
}

/** Objects of a file of JSON lines. @throws AlbertError DATA with the line. */
export async function readJsonLines(
  file: string,
): Promise<{ line: number; value: Record<string, unknown> }[]> {
  const records: { line: number; value: Record<string, unknown> }[] = [];
  for await (const [line, text] of numbered(file)) {
    if (text.trim() === '') continue;
    records.push({ line, value: parseObject(text, (message) => dataError(file, line, message)) });
  }
  if (records.length === 0) throw dataError(file, 1, 'expected lines of JSON but there are none');
  return records;
}

/** A JSON object. */
export function parseObject(text: string, fail: (message: string) => AlbertError): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw fail(`expected JSON: ${(error as Error).message}`);
  }
  if (!isObject(value)) throw fail('expected a JSON object');
  return value;
}

/** Sentences of a CoNLL file: a word a line with its columns, blank lines between sentences. */
export async function readConll(file: string): Promise<Row[][]> {
  const sentences: Row[][] = [];
  let sentence: Row[] = [];
  const end = () => {
    if (sentence.length > 0) sentences.push(sentence);
    sentence = [];
  };
  for await (const [line, text] of numbered(file)) {
    if (text.trim() === '' || text.startsWith('-DOCSTART-')) end();
    else if (text.includes('\t')) sentence.push({ line, cells: text.split('\t').map((cell) => cell.trim()) });
    else sentence.push({ line, cells: text.trim().split(/\s+/) });
  }
  end();
  if (sentences.length === 0) throw dataError(file, 1, 'expected words in columns but there are none');
  return sentences;
}
