/** Ids, offsets and decoding against the reference tokenizer's, and the behaviour of every option. */
import { copyFileSync, existsSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { Tokenizer } from '../lib';
import { golden, outsideData, temporaryFolder, vocabulary } from './support/data';
import { readJsonLines } from './support/datasets';
import { failure } from './support/errors';
import { turnsDuring } from './support/turns';

interface Line {
  text: string;
  ids: number[];
  cased_ids: number[];
}

async function load(model: string, config: object = {}): Promise<Tokenizer> {
  const folder = temporaryFolder();
  copyFileSync(
    model,
    path.join(folder, path.basename(model).endsWith('.json') ? 'tokenizer.json' : 'spiece.model'),
  );
  writeFileSync(path.join(folder, 'tokenizer_config.json'), JSON.stringify(config));
  return Tokenizer.load(folder);
}

async function compare(model: string, lines: Line[]): Promise<void> {
  const plain = { add_special_tokens: false, split_special_tokens: true };
  const lower = await load(model);
  const cased = await load(model, { do_lower_case: false, keep_accents: true });
  const texts = lines.map((line) => line.text);
  const lowerIds = (await lower.encodeBatch(texts, plain)).map((encoding) => Array.from(encoding.input_ids));
  const casedIds = (await cased.encodeBatch(texts, plain)).map((encoding) => Array.from(encoding.input_ids));
  const wrong = lines.filter(
    (line, i) =>
      JSON.stringify(lowerIds[i]) !== JSON.stringify(line.ids) ||
      JSON.stringify(casedIds[i]) !== JSON.stringify(line.cased_ids),
  );
  expect(wrong.map((line) => line.text)).toEqual([]);
}

test('every line of the small vocabulary is exact', async () => {
  await compare(vocabulary, readJsonLines<Line>(path.join(golden, 'vocabulary', 'sentencepiece.jsonl')));
});

const real = outsideData && [
  path.join(outsideData, 'data', 'albert-spiece.model'),
  path.join(outsideData, 'golden', 'tokenizer', 'albert.jsonl'),
];
const withReal = real && real.every((file) => existsSync(file)) ? test : test.skip;
withReal('every line of the real vocabulary is exact (skipped without ALBERT_TEST_DATA)', async () => {
  await compare(real![0], readJsonLines<Line>(real![1]));
});

describe('options', () => {
  let tokenizer: Tokenizer;
  beforeAll(async () => {
    tokenizer = await load(vocabulary, { model_max_length: 64 });
  });

  test('facts', () => {
    expect(tokenizer.vocabSize).toBe(1800);
    expect(tokenizer.maxLength).toBe(64);
    expect(tokenizer.specialTokens).toMatchObject({ pad: 0, unk: 1, cls: 2, sep: 3, mask: 4 });
    expect(tokenizer.idToToken(4)).toBe('[MASK]');
    expect(tokenizer.tokenToId('[MASK]')).toBe(4);
    expect(tokenizer.tokenToId('no such piece')).toBe(-1);
  });

  test('offsets point into the very string that was given', () => {
    const text = '  The ﬁrst naïve “whale” 😀 was  HERE.';
    const { input_ids, offsets, tokens, attention_mask } = tokenizer.encode(text);
    expect(offsets).toHaveLength(input_ids.length);
    expect(attention_mask.every((value) => value === 1)).toBe(true);
    expect(text.slice(...offsets[tokens.indexOf('▁the')])).toBe('The');
    expect(text.slice(...offsets[tokens.indexOf('▁was')])).toBe('was');
    expect(text.slice(offsets[1][0], offsets[offsets.length - 2][1])).toBe(text.trim());
    expect(offsets[0]).toEqual([0, 0]);
    for (const [start, end] of offsets) expect(start <= end && end <= text.length).toBe(true);
  });

  test('pairs have types, and truncation keeps the special tokens', () => {
    const pair = tokenizer.encode(['the whale', 'the sea']);
    const ids = Array.from(pair.input_ids);
    expect(ids[0]).toBe(2);
    expect(ids[ids.length - 1]).toBe(3);
    const second = ids.indexOf(3) + 1;
    expect(Array.from(pair.token_type_ids)).toEqual(ids.map((_, i) => (i < second ? 0 : 1)));
    const long = 'the whale swam under the ship and was gone '.repeat(9);
    for (const truncation of ['longest_first', 'only_first', 'only_second'] as const) {
      const cut = tokenizer.encode([long, long], {
        max_length: truncation === 'longest_first' ? 16 : 150,
        truncation,
      });
      expect(cut.input_ids.filter((id) => id === 3)).toHaveLength(2);
      expect(cut.input_ids[cut.input_ids.length - 1]).toBe(3);
    }
    expect(tokenizer.encode(long, { max_length: 10 }).input_ids).toHaveLength(10);
  });

  test('truncation alone cuts to what the model takes', async () => {
    const limited = await load(vocabulary, { model_max_length: 7 });
    const text = 'the whale swam under the ship of the men';
    expect(limited.encode(text, { truncation: true }).input_ids).toHaveLength(7);
    expect(limited.encode(text).input_ids.length).toBeGreaterThan(7);
    expect(limited.encode(text, { truncation: true, max_length: 9 }).input_ids).toHaveLength(9);
    await failure('TOO_LONG', () => limited.encode(text, { truncation: 'none', max_length: 7 }));
  });

  test('windows share their stride and cover the text', () => {
    const text = 'the whale swam under the ship and was gone before the men had seen it at all';
    const all = Array.from(tokenizer.encode(text, { add_special_tokens: false }).input_ids);
    const first = tokenizer.encode(text, { max_length: 10, stride: 3, return_overflowing: true });
    const windows = [first, ...first.overflowing!].map((window) => Array.from(window.input_ids).slice(1, -1));
    const joined = windows.reduce((whole, window) => [...whole, ...window.slice(3)]);
    expect(joined).toEqual(all);
  });

  test('special strings can be plain text', () => {
    expect(Array.from(tokenizer.encode('a [MASK] b').input_ids)).toContain(4);
    expect(
      Array.from(tokenizer.encode('a [MASK] b', { split_special_tokens: true }).input_ids),
    ).not.toContain(4);
  });

  test('decoding', async () => {
    const ids = tokenizer.encode('The whale was gone.').input_ids;
    expect(tokenizer.decode(ids, { skip_special_tokens: true })).toBe('the whale was gone.');
    expect(tokenizer.decode(ids)).toMatch(/^\[CLS\].*\[SEP\]$/);
    await failure('OUT_OF_VOCABULARY', () => tokenizer.decode([99999]));
  });

  test('decoding closes spaces before punctuation unless the settings say not to', async () => {
    const spaced = ['▁the', '▁', '.', '▁', ')', '▁', ','].map((piece) => tokenizer.tokenToId(piece));
    expect(tokenizer.decode(spaced)).toBe('the. ),');
    const literal = await load(vocabulary, { clean_up_tokenization_spaces: false });
    expect(literal.decode(spaced)).toBe('the . ) ,');
  });

  test('odd texts', () => {
    for (const text of [
      '',
      ' ',
      '\u0000',
      '\ud800',
      'a\ud800b',
      '\u200c',
      '안녕',
      '\n\t',
      'x'.repeat(10000),
    ]) {
      expect(tokenizer.encode(text).input_ids[0]).toBe(2);
    }
  });

  test('a batch is what its texts are alone', async () => {
    const texts = Array.from({ length: 300 }, (_, i) => 'the whale swam '.repeat(i % 60) + i);
    const batch = await tokenizer.encodeBatch(texts);
    texts.forEach((text, i) => expect(batch[i]).toEqual(tokenizer.encode(text)));
    const mixed = await tokenizer.encodeBatch(['one', ['one', 'two']]);
    expect(Array.from(mixed[0].token_type_ids)).not.toContain(1);
    expect(Array.from(mixed[1].token_type_ids)).toContain(1);
    expect(await tokenizer.encodeBatch([])).toEqual([]);
  });

  test('misuse', async () => {
    await failure('INVALID_ARGUMENT', () => tokenizer.encode(5 as never));
    await failure('INVALID_ARGUMENT', () => tokenizer.encode(['a', 'b', 'c'] as never));
    await failure('INVALID_ARGUMENT', () => tokenizer.encodeBatch('text' as never));
    await failure('INVALID_ARGUMENT', () => tokenizer.encodeBatch(new Array(20)));
    for (const call of [
      () => tokenizer.idToToken(undefined as never),
      () => tokenizer.decode([2, undefined as never]),
      () => tokenizer.decode(new Array(2 ** 32 - 1)),
      () => tokenizer.decode({ length: 2 ** 40 }),
    ])
      expect((await failure('INVALID_ARGUMENT', call)).message).toMatch(
        /an integer from .* received undefined/,
      );
    await failure('INVALID_ARGUMENT', () => tokenizer.encode('a', { max_length: 1 }));
    await failure('INVALID_ARGUMENT', () => tokenizer.encode('a', { truncation: 'shortest' as never }));
    await failure('TOO_LONG', () => tokenizer.encode('the whale swam', { max_length: 3, truncation: false }));
  });

  test('the event loop stays free while 200 long texts are encoded', async () => {
    const texts = Array.from({ length: 200 }, () =>
      'The whale swam under the ship and was gone. '.repeat(40),
    );
    await tokenizer.encodeBatch(texts.slice(0, 20));
    expect(await turnsDuring(tokenizer.encodeBatch(texts))).toBeGreaterThan(20);
  });
});

test('tokenizer.json of the same vocabulary gives the same ids', async () => {
  const [fast, slow] = await Promise.all([
    load(path.join(golden, 'vocabulary', 'tokenizer.json')),
    load(vocabulary),
  ]);
  for (const text of ['The whale was gone.', 'Call me [MASK].']) {
    expect(Array.from(fast.encode(text).input_ids)).toEqual(Array.from(slow.encode(text).input_ids));
  }
});

test('vocab.txt is read as WordPiece', async () => {
  const folder = temporaryFolder();
  const pieces = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'whale', '##s', '鲸', '鱼'];
  writeFileSync(path.join(folder, 'vocab.txt'), pieces.join('\n'));
  const tokenizer = await Tokenizer.load(folder);
  expect(tokenizer.encode('Whales 鲸鱼').tokens).toEqual(['[CLS]', 'whale', '##s', '鲸', '鱼', '[SEP]']);
});

describe('tokens that were added to a vocabulary', () => {
  const folderWith = (files: Record<string, object>) => {
    const folder = temporaryFolder();
    copyFileSync(vocabulary, path.join(folder, 'spiece.model'));
    for (const [name, content] of Object.entries(files))
      writeFileSync(path.join(folder, name), JSON.stringify(content));
    return folder;
  };

  test('are read from added_tokens.json where tokenizer_config.json lists none', async () => {
    const added = { '<ent>': 1801, '<name>': 1800, '[MASK]': 4 };
    const special = { additional_special_tokens: ['<name>'] };
    const tokenizer = await Tokenizer.load(
      folderWith({ 'added_tokens.json': added, 'special_tokens_map.json': special }),
    );
    const { input_ids, tokens } = tokenizer.encode('the <name>whale [MASK] <ent>');
    expect(tokens).toEqual(['[CLS]', '▁the', '<name>', '▁whale', '[MASK]', '<ent>', '[SEP]']);
    expect(tokenizer.vocabSize).toBe(1802);
    expect(tokenizer.decode(input_ids, { skip_special_tokens: true })).toBe('the whale <ent>');
    const listed = { added_tokens_decoder: { 1800: { content: '<ent>', special: false } } };
    const newer = await Tokenizer.load(
      folderWith({ 'added_tokens.json': added, 'tokenizer_config.json': listed }),
    );
    expect(newer.tokenToId('<ent>')).toBe(1800);
    const broken = folderWith({ 'added_tokens.json': { '<ent>': 'one' } });
    expect((await failure('TOKENIZER', () => Tokenizer.load(broken))).message).toMatch(
      /added_tokens.json but found 'one'/,
    );
  });

  test('are no symbols of the model, which stay ordinary pieces', async () => {
    const symbol = { content: '(', special: false };
    const listed = { added_tokens_decoder: { 5: symbol, 1800: { content: '<ent>', special: false } } };
    const tokenizer = await Tokenizer.load(folderWith({ 'tokenizer_config.json': listed }));
    expect(tokenizer.encode('(the) <ent>').tokens).toEqual([
      '[CLS]',
      ...(await Tokenizer.load(vocabulary)).encode('(the)').tokens.slice(1, -1),
      '<ent>',
      '[SEP]',
    ]);
  });
});
