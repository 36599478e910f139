/** Pre-training batches: what they hold, that they are a function of seed and cursor, where text may come from, and TFRecord. */
import {
  appendFileSync,
  copyFileSync,
  mkdirSync,
  readdirSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { pretrainingBatches, Tokenizer, type PretrainingBatch, type PretrainingDataOptions } from '../lib';
import { evaluationBatches, PretrainingStream } from '../lib/training/batches';
import { temporaryFolder, vocabulary } from './support/data';
import { failure } from './support/errors';
import { writeRecords } from './support/tfrecord';

const SENTENCES = [
  'Call me Ishmael, said the captain of the ship.',
  'The whale swam under the boat and was gone.',
  'It was a dark and stormy night upon the sea.',
  'We sailed in 1851, with 20 men on board.',
];

/** Documents of one to twelve sentences, a sentence a line. */
function corpusText(documents: number): string {
  let text = '';
  for (let d = 0; d < documents; d++) {
    for (let s = 0; s <= d % 12; s++) text += `${SENTENCES[(d + s) % 4]}\n`;
    text += '\n';
  }
  return text;
}

function setup(documents = 60): PretrainingDataOptions & { corpus: string } {
  const folder = temporaryFolder();
  const corpus = path.join(folder, 'corpus.txt');
  writeFileSync(corpus, corpusText(documents));
  return {
    corpus,
    vocabulary,
    batchSize: 8,
    maxLength: 48,
    seed: 3,
    cache: path.join(folder, 'cache'),
  };
}

const folderOf = ({ corpus }: { corpus: string }) => path.dirname(corpus);

async function take(options: PretrainingDataOptions, count = Infinity): Promise<PretrainingBatch[]> {
  const batches: PretrainingBatch[] = [];
  for await (const batch of pretrainingBatches(options)) {
    batches.push(batch);
    if (batches.length >= count) break;
  }
  return batches;
}

test('ids between the vocabulary and an added token may be missing', async () => {
  const options = setup();
  copyFileSync(vocabulary, path.join(folderOf(options), 'spiece.model'));
  const { vocabSize } = await Tokenizer.load(folderOf(options));
  const added_tokens_decoder = { [vocabSize + 5]: { content: '[ENTITY]', special: true } };
  writeFileSync(
    path.join(folderOf(options), 'tokenizer_config.json'),
    JSON.stringify({ tokenizer_class: 'AlbertTokenizer', added_tokens_decoder }),
  );
  const [batch] = await take({ ...options, vocabulary: folderOf(options) }, 1);
  expect(batch.input_ids).toHaveLength(8);
});

test('instances are pairs with masked words, and the original is in the labels', async () => {
  const options = setup();
  const { specialTokens } = await Tokenizer.load(vocabulary);
  for (const batch of await take({ ...options, spans: true }, 5)) {
    expect(batch.input_ids).toHaveLength(8);
    expect(batch.sop_labels).toHaveLength(8);
    batch.input_ids.forEach((ids, i) => {
      const types = batch.token_type_ids[i];
      const labels = batch.labels[i];
      expect(ids.length).toBeLessThanOrEqual(48);
      expect([ids[0], ids.at(-1)]).toEqual([specialTokens.cls, specialTokens.sep]);
      const middle = types.indexOf(1) - 1;
      expect(ids[middle]).toBe(specialTokens.sep);
      expect([labels[0], labels[middle], labels.at(-1)]).toEqual([-100, -100, -100]);
      const predicted = labels.filter((label) => label !== -100).length;
      expect(predicted).toBeGreaterThan(0);
      expect(predicted).toBeLessThanOrEqual(Math.max(1, Math.round(ids.length * 0.15) + 1));
      const spans = batch.spans![i];
      expect(spans.reduce((sum, [, pieces]) => sum + pieces, 0)).toBe(predicted);
      for (const [first, , words] of spans) {
        expect(labels[first]).not.toBe(-100);
        expect(words).toBeLessThanOrEqual(3);
      }
    });
  }
});

test('the same seed gives the same batches, and a cursor continues them exactly', async () => {
  const options = setup();
  const all = await take(options, 30);
  expect(await take(options, 30)).toEqual(all);
  expect(await take({ ...options, seed: 4 }, 1)).not.toEqual(all.slice(0, 1));
  const stream = await PretrainingStream.open(options);
  for (let i = 0; i < 20; i++) expect(await stream.next()).toEqual(all[i]);
  const saved = JSON.parse(JSON.stringify(stream.cursor)) as typeof stream.cursor;
  expect(saved.epoch).toBeGreaterThan(0);
  const resumed = await PretrainingStream.open(options);
  resumed.seek(saved);
  expect(await resumed.next()).toEqual(all[20]);
  expect(() => resumed.seek({ epoch: -1, index: 0 })).toThrow('cursor.epoch');
  expect(() => resumed.seek({ epoch: 1 } as never)).toThrow('cursor.index but received undefined');
});

test('epochs end the stream, single texts have no order, held-out documents keep their masks', async () => {
  const options = { ...setup(), sentencePairs: 'none' as const };
  const batches = await take({ ...options, epochs: 2 });
  const stream = await PretrainingStream.open(options);
  const rows = batches.reduce((sum, batch) => sum + batch.input_ids.length, 0);
  expect(rows).toBe((await stream.size(0)) + (await stream.size(1)));
  expect(batches[0].sop_labels).toBeUndefined();
  expect(
    batches.every((batch) => batch.token_type_ids.every((types) => types.every((type) => type === 0))),
  ).toBe(true);
  const held = { ...options, holdOut: 0.2, split: 'evaluation' as const };
  const [first, second] = [await take({ ...held, epochs: 1 }), await PretrainingStream.open(held)];
  second.seek({ epoch: 7, index: 0 });
  expect((await second.next())!.input_ids).toEqual(first[0].input_ids);
});

test('an evaluation of few batches takes them from all over the held-out text', async () => {
  const options = { ...setup(400), batchSize: 4, holdOut: 0.2 };
  const whole = await take({ ...options, split: 'evaluation', epochs: 1 });
  for (const enough of [whole.length, whole.length + 1, 1000])
    expect(await evaluationBatches(options, enough)).toEqual(whole);
  const rows = whole.flatMap((batch) => batch.input_ids);
  const few = await evaluationBatches(options, 3);
  expect(few.map((batch) => batch.input_ids)).toEqual(
    [0, 1, 2].map((i) => Math.floor((i * rows.length) / 3)).map((at) => rows.slice(at, at + 4)),
  );
});

test('folders, patterns, gzip and raw paragraphs are read, and shards are reused until the text changes', async () => {
  const options = setup();
  const texts = path.join(folderOf(options), 'texts');
  mkdirSync(path.join(texts, 'more'), { recursive: true });
  writeFileSync(path.join(texts, 'a.txt.gz'), gzipSync(corpusText(20)));
  writeFileSync(path.join(texts, 'more', 'b.txt'), `${SENTENCES.join(' ')}\n\n${SENTENCES.join(' ')}\r\n`);
  const format = 'paragraphs';
  const shards = () => readdirSync(options.cache!).length;
  const [folder] = await take({ ...options, corpus: texts, format }, 1);
  expect(shards()).toBe(1);
  expect(await take({ ...options, corpus: texts, format }, 1)).toEqual([folder]);
  expect(shards()).toBe(1);
  const [pattern] = await take({ ...options, corpus: [path.join(texts, '**', '*.txt*')], format }, 1);
  expect(pattern).toEqual(folder);
  appendFileSync(path.join(texts, 'more', 'b.txt'), '\nOne more sentence at the end of the tale.\n');
  await take({ ...options, corpus: texts, format }, 1);
  expect(shards()).toBe(2);
});

test('streams that make the same shards at once share what the first has made', async () => {
  const options = { ...setup(400), holdOut: 0.2 };
  const splits = ['train', 'evaluation', 'train'] as const;
  const streams = await Promise.all(splits.map((split) => PretrainingStream.open({ ...options, split })));
  const [train, , again] = await Promise.all(streams.map((stream) => stream.next()));
  expect(again).toEqual(train);
  expect(readdirSync(options.cache!)).toHaveLength(1);
});

test('links in a folder count as the files they mean, and lead into no circle', async () => {
  const options = setup();
  const folder = path.join(folderOf(options), 'links');
  mkdirSync(folder);
  symlinkSync(options.corpus, path.join(folder, 'text'));
  symlinkSync(folder, path.join(folder, 'circle'));
  symlinkSync(path.join(folder, 'nothing'), path.join(folder, 'broken'));
  const [linked] = await take({ ...options, corpus: folder }, 1);
  expect(linked).toEqual((await take(options, 1))[0]);
});

test('a damaged cache is made anew, and what killed runs left of it goes', async () => {
  const options = setup();
  const [first] = await take(options, 1);
  const [name] = readdirSync(options.cache!);
  writeFileSync(path.join(options.cache!, name, 'corpus.json'), '');
  const [left, live] = [1, 2].map((pid) => path.join(options.cache!, `${name}.${pid}.tmp`));
  [left, live].forEach((work) => mkdirSync(work));
  const before = Date.now() / 1e3 - 2 * 24 * 3600;
  utimesSync(left, before, before);
  expect(await take(options, 1)).toEqual([first]);
  expect(readdirSync(options.cache!).sort()).toEqual([name, path.basename(live)]);
});

test('text that cannot be used names its file and line', async () => {
  const options = setup();
  const bad = path.join(folderOf(options), 'bad.txt');
  writeFileSync(bad, Buffer.concat([Buffer.from('a fine line\n\n'), Buffer.from([0x66, 0xff, 0x0a])]));
  expect((await failure('DATA', () => take({ ...options, corpus: bad }, 1))).message).toContain('bad.txt:3:');
  writeFileSync(bad, '\n\n');
  expect((await failure('DATA', () => take({ ...options, corpus: bad }, 1))).message).toContain('empty');
  writeFileSync(`${bad}.gz`, gzipSync(corpusText(500)).subarray(0, 100));
  await failure('DATA', () => take({ ...options, corpus: `${bad}.gz` }, 1));
  await failure('DATA', () => take({ ...options, corpus: 'no/such/*.txt' }, 1));
});

test('options that make no sense are refused', async () => {
  const options = setup(2);
  const wrong: Record<string, unknown>[] = [
    { batchSize: 0 },
    { seed: 0.5 },
    { maxLength: 4 },
    { maskedLmProbability: 2 },
    { ngram: 0 },
    { sentencePairs: 'both' },
    { corpus: [] },
    { vocabulary: 7 },
    { holdOut: -1 },
  ];
  for (const change of wrong) {
    const message = await failure('INVALID_ARGUMENT', () => take({ ...options, ...change }, 1));
    expect(message.message).toContain(Object.keys(change)[0]);
  }
  await failure('DATA', () => take({ ...options, holdOut: 1 }, 1));
  await failure('ABORTED', () => take({ ...options, signal: AbortSignal.abort() }, 1));
});

describe('TFRecord', () => {
  const row = (length: number, values: number[]) => [
    ...values,
    ...Array<number>(length - values.length).fill(0),
  ];
  const example = (label: number) => ({
    input_ids: row(8, [2, 20, 4, 3, 21, 3]),
    input_mask: row(8, [1, 1, 1, 1, 1, 1]),
    segment_ids: row(8, [0, 0, 0, 0, 1, 1]),
    token_boundary: row(8, [1, 1, 1, 1, 1, 1]),
    masked_lm_positions: row(3, [2]),
    masked_lm_ids: row(3, [22]),
    masked_lm_weights: Float32Array.from(row(3, [1])),
    next_sentence_labels: [label],
  });

  test('records become batches without their padding', async () => {
    const options = setup(2);
    const file = path.join(folderOf(options), 'instances.tfrecord');
    writeFileSync(file, writeRecords([example(0), example(1)]));
    const [batch, ...more] = await take({ ...options, corpus: file, epochs: 1 });
    expect(more).toEqual([]);
    expect(Array.from(batch.sop_labels!).sort()).toEqual([0, 1]);
    expect(Array.from(batch.input_ids[0])).toEqual([2, 20, 4, 3, 21, 3]);
    expect(Array.from(batch.token_type_ids[1])).toEqual([0, 0, 0, 0, 1, 1]);
    expect(Array.from(batch.labels[0])).toEqual([-100, -100, 22, -100, -100, -100]);
  });

  test('every cut and every changed byte is found', async () => {
    const options = { ...setup(2), epochs: 1, vocabulary: await Tokenizer.load(vocabulary) };
    const file = path.join(folderOf(options), 'instances.tfrecord');
    const bytes = writeRecords([example(0)]);
    for (let size = 0; size < bytes.length; size += 7) {
      writeFileSync(file, bytes.subarray(0, size));
      await failure('DATA', () => take({ ...options, corpus: file }));
    }
    for (let at = 0; at < bytes.length; at += 5) {
      const changed = Buffer.from(bytes);
      changed[at] ^= 1;
      writeFileSync(file, changed);
      await failure('DATA', () => take({ ...options, corpus: file }));
    }
    writeFileSync(file, writeRecords([{ ...example(0), masked_lm_positions: [7, 0, 0] }]));
    expect((await failure('DATA', () => take({ ...options, corpus: file }))).message).toContain('record 0');
  });
});
