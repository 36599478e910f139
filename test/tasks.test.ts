/** Published tasks: reading of GLUE, SQuAD and RACE, windows and answers, and what malformed data is told. */
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { answering, maxContext, windowSpans } from '../lib/tasks/answering';
import { answeringByBeam } from '../lib/tasks/answering-beam';
import type { AnsweringExample, ChoosingExample, TextExample } from '../lib/tasks/task';
import { type Albert, Tensor, Tokenizer } from '../lib';
import { findFiles } from '../lib/text-files';
import { outsideData, temporaryFolder, vocabulary } from './support/data';
import { read, write } from './support/datasets';
import { failure } from './support/errors';

describe('GLUE', () => {
  const columns = (count: number, cells: Record<number, string>) =>
    Array.from({ length: count }, (_, i) => cells[i] ?? `x${i}`).join('\t');

  test.each([
    [
      'cola',
      'CoLA/train.tsv',
      [columns(4, { 1: '0', 3: 'Text.' })],
      { text: 'Text.', pair: '', label: 0, id: '0' },
    ],
    [
      'sst-2',
      'SST-2/train.tsv',
      ['sentence\tlabel', 'so "quoted\t1'],
      { text: 'so "quoted', label: 1, id: '0' },
    ],
    [
      'mrpc',
      'MRPC/train.tsv',
      ['\ufeffQuality\t', columns(5, { 0: '1', 3: 'A', 4: 'B' })],
      { text: 'A', pair: 'B', label: 1 },
    ],
    [
      'qqp',
      'QQP/train.tsv',
      [columns(6, {}), 'too\tshort', columns(6, { 0: '7', 3: 'A', 4: 'B', 5: '0' })],
      { text: 'A', pair: 'B', label: 0, id: '7' },
    ],
    [
      'sts-b',
      'STS-B/train.tsv',
      [columns(10, {}), columns(10, { 0: '3', 7: 'A', 8: 'B', 9: '4.25' })],
      { label: 4.25, id: '3' },
    ],
    [
      'mnli',
      'MNLI/train.tsv',
      [columns(12, {}), columns(12, { 8: 'A', 9: 'B', 11: 'neutral' })],
      { text: 'A', pair: 'B', label: 2 },
    ],
    [
      'qnli',
      'QNLI/train.tsv',
      [columns(4, {}), columns(4, { 1: 'A', 2: 'B', 3: 'not_entailment' })],
      { pair: 'B', label: 1 },
    ],
    [
      'rte',
      'RTE/train.tsv',
      [columns(4, {}), columns(4, { 0: '9', 1: 'A', 2: 'B', 3: 'entailment' })],
      { id: '9', label: 0 },
    ],
    [
      'wnli',
      'WNLI/train.tsv',
      [columns(4, {}), columns(4, { 1: 'A', 2: 'B', 3: '1' })],
      { text: 'A', label: 1 },
    ],
  ])('%s', async (name, file, lines, expected) => {
    const folder = temporaryFolder();
    write(folder, file, ...lines);
    expect(await read(name, folder, 'train')).toEqual([expect.objectContaining(expected)]);
    // The folder of the task itself is as good.
    expect(await read(name, path.join(folder, path.dirname(file)), 'train')).toHaveLength(1);
  });

  test('test splits have other columns and no labels', async () => {
    const folder = temporaryFolder();
    write(folder, 'CoLA/test.tsv', 'index\tsentence', '5\tText.');
    write(folder, 'AX/diagnostic.tsv', 'index\tsentence1\tsentence2', '8\tA\tB');
    write(
      folder,
      'MNLI/dev_mismatched.tsv',
      columns(12, {}),
      columns(12, { 8: 'A', 9: 'B', 11: 'entailment' }),
    );
    expect(await read('cola', folder, 'test')).toEqual([{ id: '5', text: 'Text.', pair: '', label: null }]);
    expect(await read('ax', folder, 'test')).toEqual([{ id: '8', text: 'A', pair: 'B', label: null }]);
    expect(await read<TextExample>('mnli-mm', folder, 'dev')).toMatchObject([{ label: 1 }]);
    await failure('INVALID_ARGUMENT', () => read('ax', folder, 'train'));
  });

  test('a pair may lack its first text, as in QQP, but not both', async () => {
    const folder = temporaryFolder();
    const row = (first: string, second: string) => columns(6, { 3: first, 4: second, 5: '0' });
    write(folder, 'QQP/train.tsv', columns(6, {}), row('', 'My name is Ann.'));
    expect(await read('qqp', folder, 'train')).toMatchObject([{ text: '', pair: 'My name is Ann.' }]);
    write(folder, 'QQP/train.tsv', columns(6, {}), row('', ' '));
    await failure('DATA', () => read('qqp', folder, 'train'));
  });

  test('slices keep columns', async () => {
    const folder = temporaryFolder();
    write(
      folder,
      'MNLI/train.tsv',
      'index\ta\tb\tgenre\tc\td\te\tf\tg\th\ti\tlabel',
      columns(12, { 3: 'fiction', 11: 'neutral' }),
    );
    expect(await read('mnli', folder, 'train', ['genre'])).toMatchObject([{ slices: { genre: 'fiction' } }]);
    const error = await failure('DATA', () => read('mnli', folder, 'train', ['topic']));
    expect(error.message).toMatch(/train\.tsv:1: expected a column 'topic' but the file has 'index', 'a'/);
  });

  test.each([
    [['sentence\tlabel', 'good\t1', 'bad'], /train\.tsv:3: expected at least 2 columns but received 1/],
    [
      ['sentence\tlabel', 'good\tyes'],
      /train\.tsv:2: expected one of the labels '0', '1' but received 'yes'/,
    ],
    [['sentence\tlabel', ' \t1'], /train\.tsv:2: expected a text but it is empty/],
    [['sentence\tlabel'], /train\.tsv:1: expected rows of data/],
  ])('refuses %j', async (lines, message) => {
    const folder = temporaryFolder();
    write(folder, 'SST-2/train.tsv', ...lines);
    expect((await failure('DATA', () => read('sst-2', folder, 'train'))).message).toMatch(message);
  });

  test('a missing file says where it was looked for', async () => {
    const folder = temporaryFolder();
    expect((await failure('DATA', () => read('rte', folder, 'dev'))).message).toContain(
      path.join(folder, 'RTE', 'dev.tsv'),
    );
  });

  (outsideData ? test : test.skip)('the real files', async () => {
    const data = path.join(outsideData!, 'data', 'glue');
    const counts = { 'sst-2': [67349, 872], cola: [8551, 1043], rte: [2490, 277] };
    for (const [name, [train, dev]] of Object.entries(counts)) {
      expect(await read(name, data, 'train')).toHaveLength(train);
      expect(await read(name, data, 'dev')).toHaveLength(dev);
    }
    expect(await read('mrpc', path.join(data, 'MRPC-sample'), 'dev')).toHaveLength(6);
  });
});

describe('SQuAD', () => {
  const file = (qas: object[], context = 'A 🐦 sings in Rome.') =>
    JSON.stringify({ version: '1.1', data: [{ title: 't', paragraphs: [{ context, qas }] }] }, null, 1);
  const question = (answer: object, others: object = {}) => ({
    id: 'q1',
    question: 'Where?',
    answers: [answer],
    ...others,
  });

  test('characters of the file become UTF-16 units', async () => {
    const folder = temporaryFolder();
    // Python counts the bird as one.
    write(folder, 'train-v1.1.json', file([question({ text: 'Rome', answer_start: 13 })]));
    const [example] = await read<AnsweringExample>('squad-1.1', folder, 'train');
    expect(example.context.slice(example.answers![0].start)).toBe('Rome.');
    // The same text two characters before, where the count of UTF-16 units would find it.
    write(folder, 'train-v1.1.json', file([question({ text: '2', answer_start: 5 })], '🐦🐦 2 2 sing.'));
    const [repeated] = await read<AnsweringExample>('squad-1.1', folder, 'train');
    expect(repeated.context.slice(repeated.answers![0].start)).toBe('2 sing.');
  });

  test('2.0 has questions without an answer', async () => {
    const folder = temporaryFolder();
    write(folder, 'dev-v2.0.json', file([{ id: 'q', question: 'Who?', answers: [], is_impossible: true }]));
    expect(await read('squad-2.0', folder, 'dev')).toMatchObject([{ answers: [] }]);
  });

  test.each([
    [
      file([question({ text: 'Paris', answer_start: 13 })]),
      /train-v1\.1\.json:\d+: question 'q1': expected the answer 'Paris' at 13/,
    ],
    [
      file([question({ text: '', answer_start: 0 })]),
      /question 'q1': expected an answer with text but received ''/,
    ],
    [file([question({ text: 'A' })]), /expected answer_start to be a place/],
    [
      file([{ id: 'q1', question: 'Who?', answers: [] }]),
      /question 'q1': expected an answer but there is none/,
    ],
    [
      file([question({ text: 'A', answer_start: 0 }, { question: ' ' })]),
      /expected a question but it is empty/,
    ],
    ['{"data": [', /train-v1\.1\.json:1: expected JSON/],
    ['{"data": {}}', /expected data to be a list of objects/],
    ['{"data": []}', /expected questions but there are none/],
  ])('refuses %#', async (text, message) => {
    const folder = temporaryFolder();
    write(folder, 'train-v1.1.json', text);
    expect((await failure('DATA', () => read('squad-1.1', folder, 'train'))).message).toMatch(message);
  });

  test('windows cover every token, and each token is best seen in one', () => {
    expect(windowSpans(5, 10, 3)).toEqual([{ from: 0, length: 5 }]);
    const spans = windowSpans(23, 10, 4);
    expect(spans).toEqual([0, 4, 8, 12, 16].map((from) => ({ from, length: Math.min(10, 23 - from) })));
    const best = maxContext(spans);
    const seen = new Array<number>(23).fill(0);
    spans.forEach(({ from }, w) => best[w].forEach((value, i) => (seen[from + i] += value)));
    expect(seen).toEqual(new Array<number>(23).fill(1));
  });

  test('targets point at the answer in the windows that show all of it, and at [CLS] elsewhere', async () => {
    const tokenizer = await Tokenizer.load(vocabulary);
    const kind = answering(false);
    const context =
      Array.from({ length: 40 }, (_, i) => `the house of ${i % 7}`).join(' and ') + ' and London';
    const start = context.indexOf('London');
    const examples = [{ id: 'q', question: 'where is it', context, answers: [{ text: 'London', start }] }];
    const windows = await kind.encode(tokenizer, examples, {
      maxLength: 48,
      docStride: 16,
      maxQuestionLength: 64,
    });
    expect(windows.length).toBeGreaterThan(3);
    const { input_ids, start_positions, end_positions } = kind.batch(windows, examples);
    const answers = windows.map((_, w) => {
      const [from, to] = [(start_positions as number[])[w], (end_positions as number[])[w]];
      return from === 0 ? null : tokenizer.decode((input_ids as Int32Array[])[w].slice(from, to + 1));
    });
    expect(answers.at(-1)).toBe('london');
    expect(answers[0]).toBeNull();
    for (const { sequences } of windows) expect(sequences[0].ids.length).toBeLessThanOrEqual(48);
    const labelled = answeringByBeam.batch(windows, examples);
    expect(labelled).toMatchObject({ start_positions, end_positions });
    expect(labelled.is_impossible).toEqual(answers.map((answer) => Number(answer === null)));
  });

  test('a beam gives spans of the context alone, and the lowest class of all windows', async () => {
    const context = 'a b c d e';
    const offsets = Int32Array.from([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    // Two windows of three tokens behind [CLS] q [SEP]; the first shows c worse than the second.
    const window = (from: number, best: number[]) => ({
      example: 0,
      sequences: [{ ids: new Int32Array(7), types: new Int32Array(7) }],
      tokens: 7,
      first: 3,
      from,
      best: Uint8Array.from(best),
      offsets,
    });
    const windows = [window(0, [1, 1, 0]), window(2, [1, 1, 1])];
    const none = -1e30;
    const beam = {
      starts: [
        [3, 0, 5, 4, 0],
        [5, 3, 0, 0, 0],
      ],
      startLogs: [
        [-1, -2, -3, -4, none],
        [-1.5, -2.5, -3.5, none, none],
      ],
      // Of the first start of each window; those of the others follow in order.
      ends: [
        [5, 3, 0, 4, 0, ...[3, 4, 5, 0, 0], ...[5, 4, 3, 0, 0], ...[4, 5, 3, 0, 0], ...[0, 0, 0, 0, 0]],
        [5, 4, 3, 0, 0, ...[5, 4, 3, 0, 0], ...[3, 4, 5, 0, 0], ...[0, 0, 0, 0, 0], ...[0, 0, 0, 0, 0]],
      ],
      endLogs: Array.from({ length: 2 }, () => Array.from({ length: 25 }, (_, i) => -0.25 * (1 + (i % 5)))),
    };
    const model = {
      batchTokens: 1024,
      forward: () => ({
        start_top_index: new Tensor([2, 5], Float32Array.from(beam.starts.flat())),
        start_top_log_probs: new Tensor([2, 5], Float32Array.from(beam.startLogs.flat())),
        end_top_index: new Tensor([2, 25], Float32Array.from(beam.ends.flat())),
        end_top_log_probs: new Tensor([2, 25], Float32Array.from(beam.endLogs.flat())),
        cls_logits: new Tensor([2], Float32Array.from([0.5, -3])),
      }),
    } as unknown as Albert;
    const example = { id: 'q', question: 'q', context, answers: null };
    const [{ answers, nullOdds }] = await answeringByBeam.predict(model, windows, [example], {
      maxAnswerLength: 2,
    });
    expect(nullOdds).toBe(-3);
    expect(answers.map(({ text, start_logit, end_logit }) => [text, start_logit, end_logit])).toEqual([
      ['a', -1, -0.5],
      ['e', -1.5, -0.25],
      ['a b', -1, -1],
      ['c d', -2.5, -0.5],
      ['c', -2.5, -0.75],
      ['b', -4, -0.25],
      ['b c', -4, -0.5],
    ]);
    const [empty] = await answeringByBeam.predict(model, windows, [{ ...example, id: 'p' }], {
      maxAnswerLength: 0,
    });
    expect([empty.answers[0].text, empty.nullOdds]).toEqual(['', -3]);
  });
});

test('files of a built-in task may be gzipped', async () => {
  const folder = temporaryFolder();
  const packed = (name: string, text: string) => {
    mkdirSync(path.dirname(path.join(folder, name)), { recursive: true });
    writeFileSync(path.join(folder, name), gzipSync(text));
  };
  packed('RTE/dev.tsv.gz', 'index\tsentence1\tsentence2\tlabel\n0\tIt rained.\tIt was wet.\tentailment\n');
  expect(await read('rte', folder, 'dev')).toMatchObject([
    { text: 'It rained.', pair: 'It was wet.', label: 0 },
  ]);
  const qas = [{ id: 'q', question: 'Who?', answers: [{ text: 'Ann', answer_start: 0 }] }];
  packed('dev.json.gz', JSON.stringify({ data: [{ paragraphs: [{ context: 'Ann did.', qas }] }] }));
  expect(await read('squad-1.1', folder, 'dev')).toMatchObject([{ id: 'q', context: 'Ann did.' }]);
  const passage = {
    article: 'It rained.',
    questions: ['It was _ .'],
    answers: ['B'],
    options: [['a', 'b', 'c', 'd']],
  };
  packed('dev/high/all.txt.gz', JSON.stringify(passage));
  expect(await read('race-high', folder, 'dev')).toMatchObject([{ label: 1, choices: { 1: 'It was b .' } }]);
});

const ifLinks = process.platform === 'win32' ? test.skip : test;

ifLinks('a path that cannot be looked at is told as such, not as one where nothing is', async () => {
  const folder = path.join(temporaryFolder(), 'loop');
  symlinkSync(folder, folder);
  for (const task of ['rte', 'squad-1.1', 'race'])
    expect((await failure('DATA', () => read(task, folder, 'dev'))).message).toMatch(
      /^could not look at .*ELOOP/,
    );
  expect((await failure('DATA', () => findFiles(folder))).message).toMatch(/^could not look at .*ELOOP/);
});

test('a split that a folder lacks is told with all places where it may be', async () => {
  const folder = temporaryFolder();
  const at = (...names: string[]) => names.map((name) => path.join(folder, name)).join(' or ');
  for (const [task, places] of [
    ['rte', at('RTE/dev.tsv', 'dev.tsv')],
    ['squad-1.1', at('dev-v1.1.json', 'dev.json')],
    ['squad-2.0', at('dev-v2.0.json', 'dev.json')],
  ])
    expect((await failure('DATA', () => read(task, folder, 'dev'))).message).toBe(
      `expected the dev split of '${task}' at ${places}, or in .gz, but found none`,
    );
  write(folder, 'dev/middle', 'a file where a folder should be');
  const { message } = await failure('DATA', () => read('race-middle', folder, 'dev'));
  expect(message).toMatch(/^expected RACE's dev split at .*middle but found none/);
});

describe('RACE', () => {
  const passage = {
    id: 'middle1.txt',
    article: 'Tom has a red house.',
    questions: ['Tom has a _ house.', 'Who has a house?'],
    options: [
      ['red', 'blue', 'green', 'white'],
      ['Ann', 'Tom', 'Bob', 'Eve'],
    ],
    answers: ['A', 'B'],
  };

  test('a file a passage, or a line a passage', async () => {
    const folder = temporaryFolder();
    write(folder, 'RACE/dev/middle/1.txt', JSON.stringify(passage));
    write(
      folder,
      'RACE/dev/high/all.txt',
      JSON.stringify(passage),
      JSON.stringify({ ...passage, id: 'high2.txt' }),
    );
    const examples = await read<ChoosingExample>('race', folder, 'dev');
    expect(examples.map(({ id, label }) => [id, label])).toEqual([
      ['middle1.txt-0', 0],
      ['middle1.txt-1', 1],
      ['middle1.txt-0', 0],
      ['middle1.txt-1', 1],
      ['high2.txt-0', 0],
      ['high2.txt-1', 1],
    ]);
    expect(examples[0].choices[1]).toBe('Tom has a blue house.');
    expect(examples[1].choices[1]).toBe('Who has a house? Tom');
    expect(await read('race-high', folder, 'dev')).toHaveLength(4);
  });

  test.each([
    [
      { ...passage, answers: ['A', 'E'] },
      /all\.txt:1: expected an answer from A to D for question 1 but received 'E'/,
    ],
    [{ ...passage, options: [['a']] }, /expected 2 lists of options/],
    [{ ...passage, article: '' }, /expected a text for article/],
  ])('refuses %#', async (value, message) => {
    const folder = temporaryFolder();
    write(folder, 'train/middle/all.txt', JSON.stringify(value));
    expect((await failure('DATA', () => read('race-middle', folder, 'train'))).message).toMatch(message);
  });
});

test('where no answer at all is best, the threshold lies below all odds, and otherwise it is one of them', () => {
  const kind = answering(true);
  const example = (id: string, ...texts: string[]) => ({
    id,
    question: 'q',
    context: 'c',
    answers: texts.map((text) => ({ text, start: 0 })),
  });
  const prediction = (nullOdds: number) => ({
    answers: [{ text: 'c', probability: 1, start_logit: 0, end_logit: 0 }],
    nullOdds,
  });
  const odds = [-0.9, -0.8, -0.7];
  const nothing = kind.score(
    null as never,
    [example('a'), example('b'), example('d', 'x')],
    odds.map(prediction),
  );
  expect(nothing.threshold).toBeLessThan(-0.9);
  expect(nothing.f1).toBeCloseTo(200 / 3, 10);
  const some = kind.score(
    null as never,
    [example('a', 'c'), example('b', 'c'), example('d')],
    odds.map(prediction),
  );
  expect(some).toMatchObject({ threshold: -0.8, f1: 100 });
});

test('questions that share an id are scored each by its own answer', () => {
  const example = (text: string) => ({
    id: 'q',
    question: 'q',
    context: 'Ann Bob',
    answers: [{ text, start: 0 }],
  });
  const prediction = (text: string) => ({
    answers: [{ text, probability: 1, start_logit: 0, end_logit: 0 }],
    nullOdds: -1,
  });
  for (const mayHaveNone of [false, true])
    expect(
      answering(mayHaveNone).score(
        null as never,
        [example('Ann'), example('Bob')],
        [prediction('Ann'), prediction('Bob')],
      ),
    ).toMatchObject({ exact: 100, f1: 100 });
});
