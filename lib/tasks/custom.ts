/** Tasks of a user's own data, from a short description of its files and columns. */
import path from 'node:path';
import { AlbertError } from '../errors';
import { integer, invalid, number, oneOf, optionsObject, show, string, strings } from '../options';
import { statement } from '../pipelines/multiple-choice';
import { answering } from './answering';
import { choosing } from './choosing';
import { classification, multiLabel, regression } from './classifying';
import { checkAnswers, readSquad } from './squad';
import { cellOf, columnOf, readConll, readJsonLines, readTable, slicesOf } from './table';
import { tagging } from './tagging';
import {
  dataError,
  type Example,
  type Kind,
  labelIndex,
  type Split,
  SPLITS,
  type Task,
  type TrainingDefaults,
} from './task';

const TYPES = [
  'classification',
  'multi-label',
  'regression',
  'tagging',
  'question-answering',
  'multiple-choice',
] as const;
const FORMATS = ['tsv', 'csv', 'jsonl', 'conll', 'squad'] as const;
type Format = (typeof FORMATS)[number];

/** A column by name, or by number from 0; negative numbers count from the end. */
export type Column = string | number;

export interface TaskDescription {
  type: (typeof TYPES)[number];
  /** Files of the splits, relative to the folder of the data. */
  files: Partial<Record<Split, string>>;
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
  /** Label names in the order of the model's outputs. Default: those of the training file, sorted. */
  labels?: string[];
  /** Between several labels in one cell of a table. Default ','. */
  separator?: string;
  /** Scores to report; the first decides which checkpoint is best. */
  metrics?: string[];
  /** Hyper-parameters. */
  defaults?: Partial<TrainingDefaults>;
}

const USUAL: TrainingDefaults = { learningRate: 3e-5, batchSize: 32, epochs: 3, warmup: 0.1, maxLength: 512 };

const KINDS: Record<TaskDescription['type'], { kind: Kind; metrics: string[]; labelled: boolean }> = {
  classification: { kind: classification, metrics: ['accuracy', 'macro_f1'], labelled: true },
  'multi-label': { kind: multiLabel, metrics: ['micro_f1', 'macro_f1', 'accuracy'], labelled: true },
  regression: { kind: regression, metrics: ['pearson', 'spearman'], labelled: false },
  tagging: { kind: tagging, metrics: ['span_f1', 'accuracy'], labelled: true },
  'question-answering': { kind: answering(true), metrics: ['f1', 'exact'], labelled: false },
  'multiple-choice': { kind: choosing, metrics: ['accuracy'], labelled: false },
};

/** One record of a file: its fields by the names of the description, whatever the format. */
interface Record_ {
  line: number;
  field: (name: string) => unknown;
  has: (name: string) => boolean;
  slices?: Record<string, string>;
}

function formatOf(description: TaskDescription, file: string): Format {
  const endings: Record<string, Format> = {
    '.tsv': 'tsv',
    '.csv': 'csv',
    '.jsonl': 'jsonl',
    '.ndjson': 'jsonl',
    '.conll': 'conll',
    '.json': 'squad',
  };
  const format = description.format ?? endings[path.extname(file.replace(/\.gz$/, ''))];
  if (format === undefined) {
    throw new AlbertError(
      'INVALID_ARGUMENT',
      `expected format to be one of ${FORMATS.map((one) => `'${one}'`).join(', ')} since the name of ${file} does not tell it`,
    );
  }
  return format;
}

async function readRecords(
  description: TaskDescription,
  file: string,
  format: Format,
  slices: readonly string[],
): Promise<Record_[]> {
  const columns = description.columns ?? {};
  if (format === 'jsonl') {
    return (await readJsonLines(file)).map(({ line, value }) => ({
      line,
      field: (name) => value[columns[name] ?? name],
      has: (name) => value[columns[name] ?? name] !== undefined,
      slices:
        slices.length > 0 ? Object.fromEntries(slices.map((name) => [name, String(value[name])])) : undefined,
    }));
  }
  const table = await readTable(file, format as 'tsv' | 'csv', description.header ?? true);
  const places = new Map<string, number>();
  const place = (name: string) => {
    if (!places.has(name)) places.set(name, columnOf(table, columns[name] ?? name));
    return places.get(name)!;
  };
  return table.rows.map((row) => ({
    line: row.line,
    field: (name) => cellOf(table, row, place(name)),
    has: (name) => name in columns || (table.header?.includes(name) ?? false),
    slices: slicesOf(table, row, slices),
  }));
}

function text(
  record: Record_,
  name: string,
  fail: (message: string) => AlbertError,
  mayBeEmpty = false,
): string {
  const value = record.field(name);
  const shown = typeof value === 'number' || typeof value === 'boolean' ? String(value) : value;
  if (typeof shown !== 'string') throw fail(`expected a text for ${name} but received ${show(value)}`);
  if (shown.trim() === '' && !mayBeEmpty) throw fail(`expected a text for ${name} but it is empty`);
  return shown;
}

function list(record: Record_, name: string, fail: (message: string) => AlbertError): string[] {
  const value = record.field(name);
  if (!Array.isArray(value) || value.length === 0 || !value.every((entry) => typeof entry === 'string'))
    throw fail(`expected a list of texts for ${name} but received ${show(value)}`);
  return value;
}

/** Names of the labels of one record that has several. */
function severalLabels(
  description: TaskDescription,
  record: Record_,
  fail: (message: string) => AlbertError,
): string[] {
  if (Array.isArray(record.field('label'))) return (record.field('label') as unknown[]).map(String);
  return text(record, 'label', fail, true)
    .split(description.separator ?? ',')
    .map((label) => label.trim())
    .filter((label) => label !== '');
}

type Reader = (
  record: Record_,
  id: string,
  labelled: boolean,
  labels: readonly string[],
  fail: (message: string) => AlbertError,
) => Example;

function textReader(description: TaskDescription): Reader {
  return (record, id, labelled, labels, fail) => {
    const label = () => {
      if (description.type === 'multi-label') {
        const present = severalLabels(description, record, fail).map((name) =>
          labelIndex(labels, name, fail),
        );
        return labels.map((_, i) => Number(present.includes(i)));
      }
      const name = text(record, 'label', fail).trim();
      if (description.type === 'classification') return labelIndex(labels, name, fail);
      const value = Number(name);
      if (!Number.isFinite(value)) throw fail(`expected a number for label but received '${name}'`);
      return value;
    };
    return {
      id,
      text: text(record, 'text', fail),
      pair: record.has('pair') ? text(record, 'pair', fail, true) : '',
      label: labelled ? label() : null,
      slices: record.slices,
    };
  };
}

const answerReader: Reader = (record, id, labelled, _labels, fail) => {
  const context = text(record, 'context', fail);
  return {
    id,
    question: text(record, 'question', fail),
    context,
    answers: labelled || record.has('answers') ? checkAnswers(record.field('answers'), context, fail) : null,
    slices: record.slices,
  };
};

const choiceReader: Reader = (record, id, labelled, _labels, fail) => {
  const question = record.has('question') ? text(record, 'question', fail, true) : '';
  const choices = list(record, 'choices', fail);
  const label = () => {
    const value = record.field('label');
    const index =
      typeof value === 'string' && /^[A-Z]$/.test(value) ? value.charCodeAt(0) - 65 : Number(value);
    if (!Number.isInteger(index) || index < 0 || index >= choices.length)
      throw fail(`expected label to be a place among ${choices.length} choices but received ${show(value)}`);
    return index;
  };
  return {
    id,
    context: text(record, 'context', fail),
    choices: choices.map((choice) => statement(question, choice)),
    label: labelled ? label() : null,
    slices: record.slices,
  };
};

/** Sentences with their words, and the names of the tags. */
async function readTagged(description: TaskDescription, file: string, format: Format, labelled: boolean) {
  const columns = description.columns ?? {};
  if (format === 'conll') {
    const [word, tag] = [Number(columns.word ?? 0), Number(columns.tag ?? -1)];
    return (await readConll(file)).map((rows) => ({
      line: rows[0].line,
      lines: rows.map((row) => row.line),
      words: rows.map((row) => cellOf({ file, header: null, rows }, row, word)),
      tags: labelled ? rows.map((row) => cellOf({ file, header: null, rows }, row, tag)) : null,
    }));
  }
  return (await readRecords(description, file, format, [])).map((record) => {
    const fail = (message: string) => dataError(file, record.line, message);
    const words = list(record, 'words', fail);
    const tags = labelled ? list(record, 'tags', fail) : null;
    if (tags && tags.length !== words.length)
      throw fail(`expected ${words.length} tags, one a word, but received ${tags.length}`);
    return { line: record.line, lines: words.map(() => record.line), words, tags };
  });
}

async function readExamples(
  description: TaskDescription,
  file: string,
  split: Split,
  labels: readonly string[],
  slices: readonly string[],
): Promise<Example[]> {
  const format = formatOf(description, file);
  const labelled = split !== 'test';
  if (description.type === 'tagging') {
    return (await readTagged(description, file, format, labelled)).map(({ lines, words, tags }, i) => ({
      id: String(i),
      words,
      tags:
        tags?.map((tag, t) => labelIndex(labels, tag, (message) => dataError(file, lines[t], message))) ??
        null,
    }));
  }
  if (format === 'squad' && description.type === 'question-answering') return readSquad(file, true, labelled);
  if (format === 'squad' || format === 'conll')
    throw new AlbertError(
      'INVALID_ARGUMENT',
      `expected another format than '${format}' for a task of type '${description.type}'`,
    );
  const reader =
    { 'question-answering': answerReader, 'multiple-choice': choiceReader }[description.type as string] ??
    textReader(description);
  return (await readRecords(description, file, format, slices)).map((record, i) => {
    const id = record.has('id') ? String(record.field('id')) : String(i);
    return reader(record, id, labelled, labels, (message) => dataError(file, record.line, message));
  });
}

/** The label names that a training file has, sorted. */
async function discoverLabels(description: TaskDescription, file: string): Promise<string[]> {
  const format = formatOf(description, file);
  const names = new Set<string>();
  if (description.type === 'tagging') {
    for (const { tags } of await readTagged(description, file, format, true))
      for (const tag of tags!) names.add(tag);
  } else {
    for (const record of await readRecords(description, file, format, [])) {
      const fail = (message: string) => dataError(file, record.line, message);
      if (description.type === 'multi-label')
        for (const label of severalLabels(description, record, fail)) names.add(label);
      else names.add(text(record, 'label', fail).trim());
    }
  }
  return [...names].sort();
}

function checkDescription(value: TaskDescription): TaskDescription {
  const { files } = value;
  oneOf('type', value.type, TYPES, 'classification');
  if (value.type === undefined) throw invalid(`one of ${TYPES.join(', ')}`, 'type', value.type);
  if (typeof files !== 'object' || files === null)
    throw invalid('an object with train, dev or test', 'files', files);
  for (const [split, file] of Object.entries(files)) {
    oneOf('files', split, SPLITS, 'train');
    string(`files.${split}`, file);
  }
  oneOf('format', value.format, FORMATS, 'tsv');
  if (value.labels !== undefined) strings('labels', value.labels);
  if (value.metrics !== undefined) strings('metrics', value.metrics);
  const given = optionsObject<Partial<TrainingDefaults>>('defaults', value.defaults);
  number('defaults.learningRate', given.learningRate, { min: 0 }, 0);
  integer('defaults.batchSize', given.batchSize, { min: 1 }, 1);
  return value;
}

/**
 * The task of a description.
 * @param folder where its files are, to find the labels of the training file when none are listed.
 * @throws AlbertError INVALID_ARGUMENT or DATA.
 */
export async function customTask(name: string, value: TaskDescription, folder: string): Promise<Task> {
  const description = checkDescription(value);
  const { kind, metrics, labelled } = KINDS[description.type];
  const { train } = description.files;
  let labels = description.labels ?? [];
  if (labelled && labels.length === 0) {
    if (train === undefined)
      throw new AlbertError(
        'INVALID_ARGUMENT',
        'expected labels in the description, as it names no training file that shows them',
      );
    labels = await discoverLabels(description, path.join(folder, train));
  }
  return {
    name,
    kind,
    labels,
    metrics: description.metrics ?? metrics,
    defaults: { ...USUAL, ...description.defaults },
    read(data, split, slices) {
      const file = description.files[split];
      if (file === undefined)
        throw new AlbertError(
          'INVALID_ARGUMENT',
          `expected a file for the ${split} split in the description but it names none`,
        );
      return readExamples(description, path.join(data, file), split, labels, slices);
    },
  };
}
