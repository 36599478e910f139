/** Ids as forward() takes them: of encoded texts, and callers' nested or typed arrays, checked and laid out for the addon. */
import { invalid, show } from './options';
import type { NativeBatch } from './native';
import { AlbertError } from './errors';

/** One sequence: an array or typed array of integers. */
export type Sequence =
  readonly number[] | readonly bigint[] | Int32Array | Uint32Array | BigInt64Array | Uint8Array | Uint16Array;
/** Sequences of one batch, ragged or rectangular; multiple choice takes one level more. */
export type SequenceBatch = readonly Sequence[] | readonly (readonly Sequence[])[];

export interface ForwardInputs {
  /** Token ids: B sequences of up to max_position_embeddings tokens, or examples of choices of sequences. */
  input_ids: SequenceBatch;
  /** The same shape: 0 removes a token completely. Default: all ones. */
  attention_mask?: SequenceBatch | null;
  /** The same shape: the segment of each token. Default: all zeros. */
  token_type_ids?: SequenceBatch | null;
}

/** The ids and segments of an encoded text or pair. */
export interface SequenceIds {
  ids: Int32Array;
  types: Int32Array;
}

/** Encoded sequences as forward() takes them. */
export function inputsOf(sequences: readonly SequenceIds[]) {
  return {
    input_ids: sequences.map(({ ids }) => ids),
    token_type_ids: sequences.map(({ types }) => types),
  };
}

/** Of a batch: the addon counts them in 32 bits. */
const MOST_TOKENS = 0x7fffffff;

function isSequence(value: unknown): value is Sequence {
  if (ArrayBuffer.isView(value)) return 'length' in value;
  return Array.isArray(value) && (value.length === 0 || !(typeof value[0] === 'object'));
}

/** The sequences of a batch in a row, and how many choices each example has (0 without choices). */
function flatten(name: string, value: unknown, withChoices: boolean): { rows: Sequence[]; choices: number } {
  if (!Array.isArray(value) || value.length === 0) {
    const expected = withChoices ? 'a non-empty array of examples' : 'a non-empty array of sequences';
    throw invalid(`${expected} of integers, one array each,`, name, value);
  }
  if (!withChoices) {
    Array.from(value, (row: unknown, i) => {
      if (!isSequence(row)) throw invalid('an array of integers', `${name}[${i}]`, row);
    });
    return { rows: value as Sequence[], choices: 0 };
  }
  const choices = Array.isArray(value[0]) ? value[0].length : 0;
  const rows: Sequence[] = [];
  Array.from(value, (example: unknown, i) => {
    const wrong = () =>
      invalid('a non-empty array of choices, each an array of integers,', `${name}[${i}]`, example);
    if (!Array.isArray(example) || example.length === 0) throw wrong();
    for (let choice = 0; choice < example.length; choice++) {
      const row: unknown = example[choice];
      if (!isSequence(row)) throw wrong();
      rows.push(row);
    }
    if (example.length !== choices) {
      throw new AlbertError(
        'INVALID_ARGUMENT',
        `expected ${choices} choices in ${name}[${i}], as in the first example, but received ${example.length}`,
      );
    }
  });
  return { rows, choices };
}

// NaN for what is no number: JavaScript would take '', true and null for one.
function numberOf(entry: unknown): number {
  return typeof entry === 'number' || typeof entry === 'bigint' ? Number(entry) : NaN;
}

// Typed arrays of floats pass when their values are integers, as plain numbers do.
function copyRow(
  name: string,
  row: Sequence,
  target: Int32Array | Uint8Array,
  at: number,
  max: number,
): void {
  for (let i = 0; i < row.length; i++) {
    const value = numberOf(row[i]);
    if (!Number.isInteger(value) || value < (max === 1 ? 0 : -0x80000000) || value > max) {
      throw invalid(max === 1 ? '0 or 1' : 'a 32-bit integer', `${name}[${i}]`, row[i]);
    }
    target[at + i] = value;
  }
}

/** Lays a batch out for the addon. @throws AlbertError INVALID_ARGUMENT that names the place. */
export function packInputs(inputs: ForwardInputs, withChoices: boolean): NativeBatch {
  if (typeof inputs !== 'object' || inputs === null || !('input_ids' in inputs)) {
    throw invalid('an object with input_ids', 'inputs', inputs);
  }
  const { rows, choices } = flatten('input_ids', inputs.input_ids, withChoices);
  const total = rows.reduce((sum, row) => sum + row.length, 0);
  if (total > MOST_TOKENS) {
    throw new AlbertError(
      'INVALID_ARGUMENT',
      `expected at most ${MOST_TOKENS} tokens in input_ids but received ${total}; split the batch`,
    );
  }
  const lengths = Int32Array.from(rows, (row) => row.length);
  const fill = <T extends Int32Array | Uint8Array>(
    name: string,
    value: unknown,
    target: T,
    max: number,
  ): T => {
    const other = value === inputs.input_ids ? rows : flatten(name, value, withChoices).rows;
    if (other.length !== rows.length) {
      throw new AlbertError(
        'INVALID_ARGUMENT',
        `expected as many sequences in ${name} as in input_ids, ${rows.length}, but received ${other.length}`,
      );
    }
    let at = 0;
    other.forEach((row, i) => {
      if (row.length !== lengths[i]) {
        throw new AlbertError(
          'INVALID_ARGUMENT',
          `expected ${lengths[i]} values in ${name}[${i}], as in input_ids, but received ${row.length}`,
        );
      }
      copyRow(`${name}[${i}]`, row, target, at, max);
      at += row.length;
    });
    return target;
  };
  return {
    ids: fill('input_ids', inputs.input_ids, new Int32Array(total), 0x7fffffff),
    types:
      inputs.token_type_ids == null
        ? null
        : fill('token_type_ids', inputs.token_type_ids, new Int32Array(total), 0x7fffffff),
    mask:
      inputs.attention_mask == null
        ? null
        : fill('attention_mask', inputs.attention_mask, new Uint8Array(total), 1),
    lengths,
    choices,
  };
}

/** Flat (sequence, position) pairs from a list of positions for each sequence. */
export function packPositions(positions: unknown, lengths: Int32Array): Int32Array {
  if (!Array.isArray(positions) || positions.length !== lengths.length) {
    throw invalid(
      `an array of ${lengths.length} arrays of positions, one a sequence,`,
      'positions',
      positions,
    );
  }
  const pairs: number[] = [];
  positions.forEach((row: unknown, i) => {
    if (!isSequence(row)) throw invalid('an array of positions', `positions[${i}]`, row);
    for (let p = 0; p < row.length; p++) {
      const entry = row[p];
      const position = numberOf(entry);
      if (!Number.isInteger(position) || position < 0 || position >= lengths[i]) {
        throw new AlbertError(
          'INVALID_ARGUMENT',
          `expected a position from 0 to ${lengths[i] - 1} in positions[${i}] but received ${show(entry)}`,
        );
      }
      pairs.push(i, position);
    }
  });
  if (pairs.length === 0) throw invalid('at least one position', 'positions', positions);
  return Int32Array.from(pairs);
}
