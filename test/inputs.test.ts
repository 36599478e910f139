/** What forward accepts as ids, masks and types, and how it words what it refuses. */
import { Albert, Tensor } from '../lib';
import { goldenModel } from './support/data';
import { failure } from './support/errors';

let model: Albert;
beforeAll(async () => {
  model = await Albert.load(goldenModel('masked-lm'));
});
afterAll(() => model.dispose());

test('typed arrays, BigInts and plain arrays give the same numbers', async () => {
  const plain = await model.forward({ input_ids: [[5, 6, 7]] });
  for (const row of [
    Int32Array.of(5, 6, 7),
    BigInt64Array.of(5n, 6n, 7n),
    Uint8Array.of(5, 6, 7),
    [5n, 6n, 7n],
  ]) {
    const other = await model.forward({ input_ids: [row] });
    expect(Buffer.from(other.logits!.data.buffer)).toEqual(Buffer.from(plain.logits!.data.buffer));
  }
});

test('outputs restricts what is computed', async () => {
  const all = await model.forward({ input_ids: [[5, 6, 7]] }, { hidden_states: true, attentions: true });
  expect(Object.keys(all).sort()).toEqual(['attentions', 'hidden_states', 'last_hidden_state', 'logits']);
  expect(all.hidden_states).toHaveLength((model.config.num_hidden_layers as number) + 1);
  const one = await model.forward({ input_ids: [[5, 6, 7]] }, { outputs: ['logits'] });
  expect(Object.keys(one)).toEqual(['logits']);
  expect(Array.from(one.logits.data)).toEqual(Array.from(all.logits!.data));
});

test('positions gives the logits of those rows alone', async () => {
  const inputs = { input_ids: [[5, 6, 7], [8, 9], [10]] };
  const all = await model.forward(inputs, { outputs: ['logits'] });
  const some = await model.forward(inputs, { outputs: ['logits'], positions: [[2, 0], [], [0]] });
  const vocabulary = all.logits.dims[2];
  expect(some.logits.dims).toEqual([3, vocabulary]);
  const row = (sequence: number, position: number) =>
    all.logits.row(sequence).subarray(position * vocabulary, (position + 1) * vocabulary);
  [row(0, 2), row(0, 0), row(2, 0)].forEach((expected, i) =>
    expect(Array.from(some.logits.row(i))).toEqual(Array.from(expected)),
  );
});

test('rows beyond a short sequence hold zeros', async () => {
  const { last_hidden_state } = await model.forward({ input_ids: [[5, 6, 7], [8]] });
  const width = last_hidden_state.dims[2];
  expect(
    last_hidden_state
      .row(1)
      .subarray(width)
      .every((value) => value === 0),
  ).toBe(true);
  expect((last_hidden_state.tolist() as number[][][])[1][2]).toEqual(new Array(width).fill(0));
});

test.each([
  ['no inputs', {}, /expected an object with input_ids for inputs/],
  [
    'a flat array',
    { input_ids: [5, 6] },
    /expected an array of integers for input_ids\[0\] but received 5 of type number/,
  ],
  [
    'a typed array at the top',
    { input_ids: Int32Array.of(5) },
    /non-empty array of sequences.*received a Int32Array/,
  ],
  ['no sequence', { input_ids: [] }, /non-empty array of sequences/],
  ['a missing sequence', { input_ids: [, [5]] }, /input_ids\[0\] but received undefined/], // eslint-disable-line no-sparse-arrays
  ['a fraction', { input_ids: [[5, 1.5]] }, /32-bit integer for input_ids\[0\]\[1\] but received 1.5/],
  ['NaN', { input_ids: [[NaN]] }, /received NaN/],
  ['text', { input_ids: [['5', 'x']] }, /input_ids\[0\]\[0\] but received '5'/],
  ['a boolean', { input_ids: [[5, true]] }, /input_ids\[0\]\[1\] but received true/],
  ['a hole', { input_ids: [[5, undefined, 6]] }, /input_ids\[0\]\[1\] but received undefined/],
  [
    'a mask of another shape',
    { input_ids: [[5, 6]], attention_mask: [[1]] },
    /2 values in attention_mask\[0\].*received 1/,
  ],
  ['fewer types', { input_ids: [[5], [6]], token_type_ids: [[0]] }, /as many sequences in token_type_ids/],
  ['a mask of 2', { input_ids: [[5]], attention_mask: [[2]] }, /0 or 1 for attention_mask\[0\]\[0\]/],
  ['an empty sequence', { input_ids: [[]] }, /./],
  [
    'a sequence longer than a batch can be',
    { input_ids: [new Array(2 ** 32 - 1)] },
    /at most 2147483647 tokens in input_ids but received 4294967295/,
  ],
  ['a type beyond the table', { input_ids: [[5]], token_type_ids: [[7]] }, /7/],
])('%s is refused', async (_, inputs, message) => {
  const error = await failure('INVALID_ARGUMENT', () => model.forward(inputs as never));
  expect(error.message).toMatch(message);
});

test.each([
  ['an unknown output', { outputs: ['sop_logits'] }, /masked-lm.*but received 'sop_logits'/],
  ['positions out of range', { positions: [[9]] }, /position from 0 to 0/],
  ['no position', { positions: [[]] }, /at least one position/],
  ['positions of no logits', { positions: [[0]], outputs: ['last_hidden_state'] }, /expected logits among/],
  ['a signal that is none', { signal: 'stop' }, /an AbortSignal for signal but received 'stop'/],
  ['a flag that is none', { attentions: 'yes' }, /true or false for attentions/],
])('%s is refused', async (_, options, message) => {
  const error = await failure('INVALID_ARGUMENT', () =>
    model.forward({ input_ids: [[5]] }, options as never),
  );
  expect(error.message).toMatch(message);
});

test('a missing choice is refused, not left out', async () => {
  const chooser = await Albert.load(goldenModel('multiple-choice'));
  const holed = (id: number) => Object.assign(new Array<number[]>(2), [[id]]);
  for (const input_ids of [[holed(5), holed(6)], [new Array<number[]>(2 ** 32 - 1)]]) {
    const error = await failure('INVALID_ARGUMENT', () => chooser.forward({ input_ids }));
    expect(error.message).toMatch(/array of choices, each an array of integers, for input_ids\[0\]/);
  }
  await chooser.dispose();
});

test('ids outside the vocabulary and sequences over the limit have codes of their own', async () => {
  const unknown = await failure('OUT_OF_VOCABULARY', () => model.forward({ input_ids: [[5], [6, 97]] }));
  expect(unknown.message).toMatch(/97/);
  await failure('OUT_OF_VOCABULARY', () => model.forward({ input_ids: [[-1]] }));
  const long = await failure('TOO_LONG', () => model.forward({ input_ids: [new Array<number>(41).fill(5)] }));
  expect(long.message).toMatch(/40.*41|41.*40/s);
});

test('the stack of an error names its caller', async () => {
  async function someoneCalls() {
    await model.forward({ input_ids: [[97]] });
  }
  const error = await failure('OUT_OF_VOCABULARY', someoneCalls);
  expect(error.stack).toContain('someoneCalls');
});

test('a tensor has as many values as its extents say, and rows within them', () => {
  expect(() => new Tensor([2, 3], new Float32Array(5))).toThrow(
    /expected 6 values for dims \[2, 3\] but received 5/,
  );
  for (const dims of [null, [-1, -2], [1.5, 4], new Array(2 ** 32 - 1)])
    expect(() => new Tensor(dims as never, new Float32Array(2))).toThrow(/for dims/);
  expect(() => new Tensor([2], [1, 2] as never)).toThrow(
    /a Float32Array for data but received an array of 2/,
  );
  const tensor = new Tensor(
    [2, 3],
    Float32Array.from({ length: 6 }, (_, i) => i),
  );
  expect(Array.from(tensor.row(1))).toEqual([3, 4, 5]);
  for (const index of [2, -1, 0.5, undefined as never])
    expect(() => tensor.row(index)).toThrow(/an integer from 0 to 1 for index/);
  expect(() => new Tensor([0, 3], new Float32Array(0)).row(0)).toThrow(
    /with rows but received one of dims \[0, 3\]/,
  );
});
