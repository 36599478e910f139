/** The tasks of GLUE: one entry each, with files and columns as the release has them. */
import path from 'node:path';
import { AlbertError } from '../errors';
import { classification, regression } from './classifying';
import { argmax } from '../math';
import { cellOf, columnOf, readTable, slicesOf, type Table } from './table';
import {
  dataError,
  fileOfSplit,
  labelIndex,
  type Split,
  type Task,
  type TextExample,
  type TrainingDefaults,
} from './task';

/** Columns of a file, from 0; negative ones count from the end. */
interface Columns {
  text: number;
  pair?: number;
  /** Absent where the file has none, as in test splits. */
  label?: number;
  /** Absent: the number of the row, from 0. */
  id?: number;
  /** Absent: true. */
  header?: boolean;
}

interface GlueEntry {
  name: string;
  folder: string;
  /** Names of the files without '.tsv'. */
  files: Partial<Record<Split, string>>;
  labelled?: Columns;
  test: Columns;
  /** None: a score from 0 to 5. */
  labels: string[];
  metrics: string[];
  /** Rows that are too short are left out, as the release does. */
  skipsShortRows?: boolean;
  submission: string;
  defaults: TrainingDefaults;
}

const FILES = { train: 'train', dev: 'dev', test: 'test' };
const ENTAILMENT = ['entailment', 'not_entailment'];
const THREE_WAYS = ['contradiction', 'entailment', 'neutral'];

/** The ALBERT paper's appendix: rate, batch, steps, steps of warm-up, dropout of the encoder. */
function paper(
  learningRate: number,
  batchSize: number,
  steps: number,
  warmup: number,
  dropout = 0,
): TrainingDefaults {
  return { learningRate, batchSize, steps, warmup: warmup / steps, dropout, maxLength: 512 };
}

const MNLI = paper(3e-5, 128, 10000, 1000);

const ENTRIES: GlueEntry[] = [
  {
    name: 'cola',
    folder: 'CoLA',
    files: FILES,
    labelled: { text: 3, label: 1, header: false },
    test: { text: 1, id: 0 },
    labels: ['0', '1'],
    metrics: ['matthews', 'accuracy'],
    submission: 'CoLA',
    defaults: paper(1e-5, 16, 5336, 320),
  },
  {
    name: 'sst-2',
    folder: 'SST-2',
    files: FILES,
    labelled: { text: 0, label: 1 },
    test: { text: 1, id: 0 },
    labels: ['0', '1'],
    metrics: ['accuracy'],
    submission: 'SST-2',
    defaults: paper(1e-5, 32, 20935, 1256),
  },
  {
    name: 'mrpc',
    folder: 'MRPC',
    files: FILES,
    labelled: { text: 3, pair: 4, label: 0 },
    test: { text: 3, pair: 4, id: 0 },
    labels: ['0', '1'],
    metrics: ['accuracy', 'f1'],
    submission: 'MRPC',
    defaults: paper(2e-5, 32, 800, 200),
  },
  {
    name: 'qqp',
    folder: 'QQP',
    files: FILES,
    labelled: { text: 3, pair: 4, label: 5, id: 0 },
    test: { text: 1, pair: 2, id: 0 },
    labels: ['0', '1'],
    metrics: ['accuracy', 'f1'],
    skipsShortRows: true,
    submission: 'QQP',
    defaults: paper(5e-5, 128, 14000, 1000, 0.1),
  },
  {
    name: 'sts-b',
    folder: 'STS-B',
    files: FILES,
    labelled: { text: 7, pair: 8, label: -1, id: 0 },
    test: { text: 7, pair: 8, id: 0 },
    labels: [],
    metrics: ['pearson', 'spearman'],
    submission: 'STS-B',
    defaults: paper(2e-5, 16, 3598, 214),
  },
  ...['matched', 'mismatched'].map((genres): GlueEntry => ({
    name: genres === 'matched' ? 'mnli' : 'mnli-mm',
    folder: 'MNLI',
    files: { train: 'train', dev: `dev_${genres}`, test: `test_${genres}` },
    labelled: { text: 8, pair: 9, label: -1, id: 0 },
    test: { text: 8, pair: 9, id: 0 },
    labels: THREE_WAYS,
    metrics: ['accuracy'],
    submission: genres === 'matched' ? 'MNLI-m' : 'MNLI-mm',
    defaults: MNLI,
  })),
  {
    name: 'qnli',
    folder: 'QNLI',
    files: FILES,
    labelled: { text: 1, pair: 2, label: -1, id: 0 },
    test: { text: 1, pair: 2, id: 0 },
    labels: ENTAILMENT,
    metrics: ['accuracy'],
    submission: 'QNLI',
    defaults: paper(1e-5, 32, 33112, 1986),
  },
  {
    name: 'rte',
    folder: 'RTE',
    files: FILES,
    labelled: { text: 1, pair: 2, label: -1, id: 0 },
    test: { text: 1, pair: 2, id: 0 },
    labels: ENTAILMENT,
    metrics: ['accuracy'],
    submission: 'RTE',
    defaults: paper(3e-5, 32, 800, 200, 0.1),
  },
  {
    name: 'wnli',
    folder: 'WNLI',
    files: FILES,
    labelled: { text: 1, pair: 2, label: -1, id: 0 },
    test: { text: 1, pair: 2, id: 0 },
    labels: ['0', '1'],
    metrics: ['accuracy'],
    submission: 'WNLI',
    defaults: paper(2e-5, 16, 2000, 250, 0.1),
  },
  {
    // The diagnostic set, for a model of MNLI; it has no labels.
    name: 'ax',
    folder: 'AX',
    files: { test: 'diagnostic' },
    test: { text: 1, pair: 2, id: 0 },
    labels: THREE_WAYS,
    metrics: ['accuracy'],
    submission: 'AX',
    defaults: MNLI,
  },
];

/** Index of a label, or the value of a score. */
function labelOf(entry: GlueEntry, cell: string, table: Table, line: number): number {
  const fail = (message: string) => dataError(table.file, line, message);
  const text = cell.trim();
  if (entry.labels.length > 0) return labelIndex(entry.labels, text, fail);
  const value = Number(text);
  if (text === '' || !Number.isFinite(value)) throw fail(`expected a score but received '${text}'`);
  return value;
}

async function read(
  entry: GlueEntry,
  folder: string,
  split: Split,
  slices: readonly string[],
): Promise<TextExample[]> {
  const name = entry.files[split];
  const columns = split === 'test' ? entry.test : entry.labelled;
  if (name === undefined || columns === undefined)
    throw new AlbertError(
      'INVALID_ARGUMENT',
      `expected a split that task '${entry.name}' has, ${Object.keys(entry.files).join(', ')}, but received '${split}'`,
    );
  const places = [path.join(folder, entry.folder, `${name}.tsv`), path.join(folder, `${name}.tsv`)];
  const file = fileOfSplit(entry.name, split, places);
  const table = await readTable(file, 'tsv', columns.header ?? true);
  slices.forEach((slice) => columnOf(table, slice));
  const needed = Math.max(columns.text, columns.pair ?? 0, columns.label ?? 0) + 1;
  const rows = entry.skipsShortRows ? table.rows.filter(({ cells }) => cells.length >= needed) : table.rows;
  return rows.map((row, index) => {
    const cell = (column: number) => cellOf(table, row, column);
    const text = cell(columns.text);
    const pair = columns.pair === undefined ? '' : cell(columns.pair);
    // A pair may lack its first text: the reference takes it as it is.
    if (text.trim() === '' && pair.trim() === '')
      throw dataError(file, row.line, 'expected a text but it is empty');
    return {
      id: columns.id === undefined ? String(index) : cell(columns.id).trim(),
      text,
      pair,
      label: columns.label === undefined ? null : labelOf(entry, cell(columns.label), table, row.line),
      slices: slicesOf(table, row, slices),
    };
  });
}

export const GLUE_TASKS: Task[] = ENTRIES.map((entry) => ({
  name: entry.name,
  kind: entry.labels.length > 0 ? classification : regression,
  labels: entry.labels,
  metrics: entry.metrics,
  defaults: entry.defaults,
  read: (folder, split, slices) => read(entry, folder, split, slices),
  submission: {
    file: `${entry.submission}.tsv`,
    line: ({ id }, prediction) => {
      const outputs = prediction as Float32Array;
      return `${id}\t${entry.labels.length > 0 ? entry.labels[argmax(outputs)] : outputs[0]}`;
    },
  },
}));
