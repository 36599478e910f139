/** Tasks of a user's own data, from a short description of its files and columns. */
import path from 'node:path';
import { AlbertError } from '../errors';
import {
  boolean,
  checkNames,
  integer,
  invalid,
  isObject,
  type Names,
  number,
  oneOf,
  optionsObject,
  pathString,
  pick,
  show,
  string,
  strings,
} from '../options';
import { statement } from '../pipelines/multiple-choice';
import { answering } from './answering';
import { choosing } from './choosing';
import { classification, multiLabel, regression } from './classifying';
import {
  asText,
  type FileLayout,
  type FileRecord,
  formatOf,
  FORMATS,
  list,
  readRecords,
  readTagged,
  text,
} from './records';
import { checkAnswers, readSquad } from './squad';
import { haveSpans, tagging } from './tagging';
import {
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

/** A task of a user's own, as `task` of finetune() and evaluate() or as a JSON file describes it. */
export interface TaskDescription extends FileLayout {
  type: (typeof TYPES)[number];
  /** Files of the splits, relative to the folder of the data. */
  files: Partial<Record<Split, string>>;
  /** Label names in the order of the model's outputs. Default: those of the training file, sorted. */
  labels?: string[];
  /** Between several labels in one cell of a table. Default ','. */
  separator?: string;
  /** Scores, of which the first decides which checkpoint is best; all that the type has are reported. */
  metrics?: string[];
  /** Hyper-parameters. */
  defaults?: Partial<TrainingDefaults>;
}

const DESCRIPTION: Names<TaskDescription> = {
  type: true,
  files: true,
  format: true,
  header: true,
  columns: true,
  labels: true,
  separator: true,
  metrics: true,
  defaults: true,
};
const DEFAULTS: Names<TrainingDefaults> = {
  learningRate: true,
  batchSize: true,
  steps: true,
  epochs: true,
  warmup: true,
  dropout: true,
  maxLength: true,
};

const USUAL: TrainingDefaults = { learningRate: 3e-5, batchSize: 32, epochs: 3, warmup: 0.1, maxLength: 512 };

/** Names of the labels of a record that may have several. */
function labelNames(record: FileRecord, { type, separator = ',' }: TaskDescription): string[] {
  if (type !== 'multi-label') return [text(record, 'label').trim()];
  const value = record.field('label');
  const names = Array.isArray(value)
    ? value.map((name: unknown) => asText(record, 'label', name))
    : text(record, 'label', true).split(separator);
  return names.map((name) => name.trim()).filter((name) => name !== '');
}

/** What a record's label is turned into. */
type LabelReader = (
  record: FileRecord,
  labels: readonly string[],
  description: TaskDescription,
) => number | number[];

const oneLabel: LabelReader = (record, labels, description) =>
  labelIndex(labels, labelNames(record, description)[0], record.fail);

const anyLabels: LabelReader = (record, labels, description) => {
  const present = labelNames(record, description).map((name) => labelIndex(labels, name, record.fail));
  return labels.map((_, i) => Number(present.includes(i)));
};

const oneValue: LabelReader = (record) => {
  const number = Number(text(record, 'label'));
  if (!Number.isFinite(number))
    throw record.fail(`expected a number for label but received '${text(record, 'label').trim()}'`);
  return number;
};

/** An example but for its id and slices. */
type Reader = (
  record: FileRecord,
  labelled: boolean,
  labels: readonly string[],
  description: TaskDescription,
) => object;

const textReader =
  (label: LabelReader): Reader =>
  (record, labelled, labels, description) => ({
    text: text(record, 'text'),
    pair: record.has('pair') ? text(record, 'pair', true) : '',
    label: labelled ? label(record, labels, description) : null,
  });

const answerReader: Reader = (record, labelled) => {
  const context = text(record, 'context');
  const known = labelled || record.has('answers');
  return {
    question: text(record, 'question'),
    context,
    answers: known ? checkAnswers(record.field('answers'), context, record.fail) : null,
  };
};

const choiceReader: Reader = (record, labelled) => {
  const question = record.has('question') ? text(record, 'question', true) : '';
  const choices = list(record, 'choices');
  const place = () => {
    const given = record.field('label');
    const isLetter = typeof given === 'string' && /^[A-Z]$/.test(given);
    const index = isLetter
      ? given.charCodeAt(0) - 65
      : choices.findIndex((_, i) => given === i || given === String(i));
    if (index < 0 || index >= choices.length)
      throw record.fail(
        `expected label to be a place among ${choices.length} choices but received ${show(given)}`,
      );
    return index;
  };
  return {
    context: text(record, 'context'),
    choices: choices.map((choice) => statement(question, choice)),
    label: labelled ? place() : null,
  };
};

const TEXT_COLUMNS = ['text', 'pair', 'label', 'id'];

/** What each type is made of: the scores it reports, and others that it has; `read` where an example is one record. */
const FORMS: Record<
  TaskDescription['type'],
  { kind: Kind; metrics: string[]; others: string[]; hasLabels: boolean; columns: string[]; read?: Reader }
> = {
  classification: {
    kind: classification,
    metrics: ['accuracy', 'macro_f1'],
    others: ['f1', 'matthews', 'loss'],
    hasLabels: true,
    columns: TEXT_COLUMNS,
    read: textReader(oneLabel),
  },
  'multi-label': {
    kind: multiLabel,
    metrics: ['micro_f1', 'macro_f1', 'accuracy'],
    others: ['loss'],
    hasLabels: true,
    columns: TEXT_COLUMNS,
    read: textReader(anyLabels),
  },
  regression: {
    kind: regression,
    metrics: ['pearson', 'spearman'],
    others: ['loss'],
    hasLabels: false,
    columns: TEXT_COLUMNS,
    read: textReader(oneValue),
  },
  tagging: {
    kind: tagging,
    metrics: ['span_f1', 'accuracy'],
    others: ['macro_f1'],
    hasLabels: true,
    columns: ['words', 'tags', 'word', 'tag'],
  },
  'question-answering': {
    kind: answering(true),
    metrics: ['f1', 'exact'],
    others: ['best_f1', 'best_exact', 'HasAns_f1', 'HasAns_exact', 'NoAns_f1', 'NoAns_exact'],
    hasLabels: false,
    columns: ['question', 'context', 'answers', 'id'],
    read: answerReader,
  },
  'multiple-choice': {
    kind: choosing,
    metrics: ['accuracy'],
    others: ['loss'],
    hasLabels: false,
    columns: ['context', 'question', 'choices', 'label', 'id'],
    read: choiceReader,
  },
};

async function readExamples(
  description: TaskDescription,
  file: string,
  split: Split,
  labels: readonly string[],
  slices: readonly string[],
): Promise<Example[]> {
  const format = formatOf(description, file);
  const labelled = split !== 'test';
  if (slices.length > 0 && (description.type === 'tagging' || format === 'squad'))
    throw invalid(`no slices, as ${file} has no columns for them,`, 'slices', slices);
  if (description.type === 'tagging') {
    return (await readTagged(description, file, format, labelled)).map(({ words, tags, fail }, i) => ({
      id: String(i),
      words,
      tags: tags?.map((tag, w) => labelIndex(labels, tag, fail(w))) ?? null,
    }));
  }
  if (format === 'squad' && description.type === 'question-answering') return readSquad(file, true, labelled);
  const { read } = FORMS[description.type];
  if (!read || format === 'squad' || format === 'conll') {
    throw new AlbertError(
      'INVALID_ARGUMENT',
      `expected another format than '${format}' for a task of type '${description.type}'`,
    );
  }
  return (await readRecords(description, file, format, slices)).map((record, i) => ({
    id: record.has('id') ? String(record.field('id')) : String(i),
    ...read(record, labelled, labels, description),
    slices: record.slices,
  }));
}

/** The label names that a training file has, sorted. */
async function discoverLabels(description: TaskDescription, file: string): Promise<string[]> {
  const format = formatOf(description, file);
  const names = new Set<string>();
  if (description.type === 'tagging') {
    for (const { tags } of await readTagged(description, file, format, true))
      for (const tag of tags!) names.add(tag);
  } else {
    for (const record of await readRecords(description, file, format, []))
      for (const name of labelNames(record, description)) names.add(name);
  }
  return [...names].sort();
}

function checkDescription(value: TaskDescription): TaskDescription {
  const { files } = value;
  checkNames('a description', value, DESCRIPTION);
  oneOf('type', value.type, TYPES, 'classification');
  if (value.type === undefined) throw invalid(`one of ${TYPES.join(', ')}`, 'type', value.type);
  if (typeof files !== 'object' || files === null)
    throw invalid('an object with train, dev or test', 'files', files);
  for (const [split, file] of Object.entries(files)) {
    oneOf('files', split, SPLITS, 'train');
    pathString(`files.${split}`, file);
  }
  oneOf('format', value.format, FORMATS, 'tsv');
  const form = FORMS[value.type];
  if (value.columns != null && !isObject(value.columns)) throw invalid('an object', 'columns', value.columns);
  for (const [name, column] of Object.entries(value.columns ?? {})) {
    oneOf('a name in columns', name, form.columns, name);
    if (typeof column !== 'string' && !Number.isSafeInteger(column))
      throw invalid('the name or number of a column', `columns.${name}`, column);
  }
  if (value.labels !== undefined && new Set(strings('labels', value.labels)).size < value.labels.length)
    throw invalid('different names', 'labels', value.labels);
  boolean('header', value.header, true);
  if (value.separator !== undefined) string('separator', value.separator);
  if (value.metrics !== undefined) {
    const { metrics, others } = form;
    const given = strings('metrics', value.metrics);
    if (given[0] === 'loss')
      throw invalid('a score of which more is better as the first', 'metrics', given[0]);
    for (const [i, name] of given.entries()) oneOf(`metrics[${i}]`, name, [...metrics, ...others], name);
  }
  const given = optionsObject<TrainingDefaults>('defaults', value.defaults as TrainingDefaults, DEFAULTS);
  number('defaults.learningRate', given.learningRate, { min: 0 }, 0);
  integer('defaults.batchSize', given.batchSize, { min: 1 }, 1);
  integer('defaults.steps', given.steps, { min: 1 }, 1);
  number('defaults.epochs', given.epochs, { min: 0.001 }, 1);
  number('defaults.warmup', given.warmup, { min: 0, max: 1 }, 0);
  number('defaults.dropout', given.dropout, { min: 0, max: 0.99 }, 0);
  integer('defaults.maxLength', given.maxLength, { min: 8 }, 8);
  return value;
}

/**
 * The task of a description.
 * @param folder where its files are, to find the labels of the training file when none are listed.
 * @throws AlbertError INVALID_ARGUMENT or DATA.
 */
export async function customTask(name: string, value: TaskDescription, folder: string): Promise<Task> {
  const description = checkDescription(value);
  const { kind, metrics, hasLabels } = FORMS[description.type];
  const { train } = description.files;
  let labels = description.labels ?? [];
  if (hasLabels && labels.length === 0) {
    if (train === undefined)
      throw new AlbertError(
        'INVALID_ARGUMENT',
        'expected labels in the description, as it names no training file that shows them',
      );
    labels = await discoverLabels(description, path.join(folder, train));
  }
  if (description.type === 'classification' && description.metrics?.includes('f1') && labels.length !== 2)
    throw invalid(`other metrics, as 'f1' is of two labels and there are ${labels.length},`, 'metrics', 'f1');
  const spanless = description.type === 'tagging' && !haveSpans(labels);
  if (spanless && description.metrics?.includes('span_f1'))
    throw invalid('other metrics, as no label begins with B- or I-,', 'metrics', 'span_f1');
  return {
    name,
    kind,
    labels,
    metrics: description.metrics ?? metrics.filter((name) => !spanless || name !== 'span_f1'),
    defaults: { ...USUAL, ...pick(description.defaults ?? {}, DEFAULTS) },
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
