/** Labelled batches as callers give them, laid out for the addon, and the losses that come back. */
import { AlbertError } from '../errors';
import { type ForwardInputs, packInputs } from '../inputs';
import type { NativeLabelledBatch, NativeLosses } from '../native';
import type { Head } from '../heads';
import { checkNames, invalid, type Names, show } from '../options';
import { type AlbertConfig, labelCount } from '../config';
import type { PretrainingBatch } from './batches';

type Numbers = readonly number[] | Int32Array | Float32Array;

/** What forward() takes, and the labels of the head, named as in Hugging Face; -100 takes no part in a loss. */
export interface LabelledInputs extends ForwardInputs {
  /**
   * Language and token heads: one a token, shaped like input_ids. Sequence classification: one a sequence, a list of
   * 0 and 1 a sequence for several labels, or a float for one label (regression). Multiple choice: one an example.
   */
  labels?: Numbers | readonly Numbers[];
  /** Pre-training: 0 in order, 1 swapped, one a sequence. */
  sop_labels?: Numbers;
  /**
   * Question answering: token positions, one a sequence; one outside of its sequence takes no part, with a beam neither one
   * outside of the context and position 0.
   */
  start_positions?: Numbers;
  end_positions?: Numbers;
  /** Question answering with a beam: 1 where there is no answer, so that both positions are 0, else 0. */
  is_impossible?: Numbers;
}

/** What a batch may hold: all heads' labels, as they take no part where the head has none, and what pre-training adds. */
export const LABELLED_INPUTS: Names<LabelledInputs & Pick<PretrainingBatch, 'spans'>> = {
  input_ids: true,
  attention_mask: true,
  token_type_ids: true,
  labels: true,
  sop_labels: true,
  start_positions: true,
  end_positions: true,
  is_impossible: true,
  spans: true,
};

/** A loss and its parts by name: mlm_loss and sop_loss of pre-training, answer_loss and impossible_loss of a beam. */
export interface Losses {
  loss: number;
  losses: Record<string, number>;
}

export function lossesOf({ total, parts }: NativeLosses): Losses {
  return { loss: total, losses: Object.fromEntries(parts.map(({ name, mean }) => [name, mean])) };
}

function isList(value: unknown): value is Numbers {
  return Array.isArray(value) || (ArrayBuffer.isView(value) && 'length' in value);
}

function integers(name: string, value: unknown, count: number, unit: string): Int32Array {
  if (!isList(value)) throw invalid(`an array of integers, one a ${unit},`, name, value);
  if (value.length !== count) {
    throw new AlbertError(
      'INVALID_ARGUMENT',
      `expected ${count} values in ${name}, one a ${unit}, but received ${value.length}`,
    );
  }
  return Int32Array.from(value as ArrayLike<number>, (entry, i) => {
    if (!Number.isInteger(entry) || Math.abs(entry) > 0x7fffffff)
      throw invalid('an integer', `${name}[${i}]`, entry);
    return entry;
  });
}

/** One label a token, rows shaped like input_ids. */
function tokenLabels(value: unknown, lengths: Int32Array): Int32Array {
  if (!Array.isArray(value) || value.length !== lengths.length) {
    throw invalid(`${lengths.length} arrays of labels, shaped like input_ids,`, 'labels', value);
  }
  const rows = value.map((row: unknown, i) => integers(`labels[${i}]`, row, lengths[i], 'token'));
  const flat = new Int32Array(rows.reduce((sum, row) => sum + row.length, 0));
  rows.reduce((at, row) => (flat.set(row, at), at + row.length), 0);
  return flat;
}

/** Floats [B, labels] where the head regresses or has several labels a sequence; else null. */
function floatTargets(value: unknown, count: number, config: AlbertConfig): Float32Array | null {
  if (!isList(value)) return null;
  const type = config.problem_type as string | undefined;
  const nested = isList(value[0]);
  if (type === 'multi_label_classification' && !nested)
    throw invalid('a list of a number for each label, one list a sequence,', 'labels', value);
  if (
    type === 'single_label_classification' ||
    (!nested && type !== 'regression' && labelCount(config) !== 1)
  )
    return null;
  const width = labelCount(config);
  const severalLabels = type === 'multi_label_classification' || (type !== 'regression' && width > 1);
  const rows = Array.from(value as ArrayLike<unknown>, (row) => (isList(row) ? Array.from(row) : [row]));
  if (rows.length !== count) throw invalid(`${count} labels, one a sequence,`, 'labels', value);
  return Float32Array.from(
    rows.flatMap((row, i) => {
      if (row.length !== width || !row.every((entry) => typeof entry === 'number')) {
        throw new AlbertError(
          'INVALID_ARGUMENT',
          `expected ${width} numbers in labels[${i}], one a label, but received ${show(row)}`,
        );
      }
      if (severalLabels && row.some((entry) => !(entry >= 0 && entry <= 1)))
        throw invalid('numbers from 0 to 1', `labels[${i}]`, row);
      return row;
    }),
  );
}

/** @throws AlbertError INVALID_ARGUMENT where there is nothing to train towards. */
export function requireHead(head: Head): void {
  if (head !== 'base') return;
  throw new AlbertError(
    'INVALID_ARGUMENT',
    "expected a model with a task head to train but this one is 'base'; load or create it with a head",
  );
}

/** Lays a labelled batch out for the addon. @throws AlbertError INVALID_ARGUMENT that names the place. */
export function packLabelled(inputs: LabelledInputs, head: Head, config: AlbertConfig): NativeLabelledBatch {
  const batch = packInputs(inputs, head === 'multiple-choice');
  checkNames('inputs', inputs, LABELLED_INPUTS);
  const sequences = batch.lengths.length;
  const labelled: NativeLabelledBatch = {
    ...batch,
    labels: null,
    targets: null,
    sopLabels: null,
    startPositions: null,
    endPositions: null,
    isImpossible: null,
  };
  switch (head) {
    case 'pretraining':
    case 'masked-lm':
    case 'token-classification':
      labelled.labels = tokenLabels(inputs.labels, batch.lengths);
      if (head === 'pretraining' && inputs.sop_labels !== undefined)
        labelled.sopLabels = integers('sop_labels', inputs.sop_labels, sequences, 'sequence');
      break;
    case 'sequence-classification':
      labelled.targets = floatTargets(inputs.labels, sequences, config);
      if (!labelled.targets) labelled.labels = integers('labels', inputs.labels, sequences, 'sequence');
      break;
    case 'multiple-choice':
      labelled.labels = integers('labels', inputs.labels, sequences / batch.choices, 'example');
      break;
    case 'question-answering':
    case 'question-answering-beam':
      labelled.startPositions = integers('start_positions', inputs.start_positions, sequences, 'sequence');
      labelled.endPositions = integers('end_positions', inputs.end_positions, sequences, 'sequence');
      if (head === 'question-answering-beam')
        labelled.isImpossible = integers('is_impossible', inputs.is_impossible, sequences, 'sequence');
      break;
    case 'base':
      requireHead(head);
  }
  return labelled;
}
