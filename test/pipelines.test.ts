/** Result shapes of every pipeline, and their numbers against the model's own outputs. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { Albert, type FillMaskOutput, type FillMaskResult, pipeline, type Tensor } from '../lib';
import { topIndices } from '../lib/math';
import { goldenModel, temporaryFolder } from './support/data';
import { failure } from './support/errors';
import { labels, tinyModel } from './support/tiny';

function softmax(row: ArrayLike<number>): number[] {
  const exponentials = Array.from(row, (value) => Math.exp(value));
  const sum = exponentials.reduce((a, b) => a + b, 0);
  return exponentials.map((value) => value / sum);
}

describe('fill-mask', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await tinyModel('masked-lm');
  });

  test('answers, batches, several masks and targets', async () => {
    await using unmask = await pipeline('fill-mask', folder);
    const text = 'The [MASK] swam past the ship.';
    const one = await unmask(text);
    expect(one).toHaveLength(5);
    expect(Object.keys(one[0])).toEqual(['score', 'token', 'token_str', 'sequence']);
    const { input_ids, token_type_ids } = unmask.tokenizer.encode(text);
    const { logits } = await unmask.model.forward({
      input_ids: [input_ids],
      token_type_ids: [token_type_ids],
    });
    const position = input_ids.indexOf(4);
    const scores = softmax(logits!.data.subarray(position * 1800, (position + 1) * 1800));
    for (const { score, token } of one) expect(score).toBeCloseTo(scores[token], 6);
    const best = [...scores].sort((a, b) => b - a);
    one.forEach(({ score }, i) => expect(score).toBeCloseTo(best[i], 6));
    expect(one[0].sequence).toContain('swam past the ship');
    expect(one[0].sequence).not.toContain('[CLS]');

    const many = await unmask<FillMaskOutput>([text, 'a [MASK] and a [MASK]'], { top_k: 2 });
    expect(many[0]).toHaveLength(2);
    expect((many[1] as FillMaskResult[][]).map((mask) => mask.length)).toEqual([2, 2]);
    expect(many[0]).toEqual(one.slice(0, 2));

    const targets = await unmask(text, { targets: ['whale', 'ship'] });
    expect(targets.map(({ token_str }) => token_str).sort()).toEqual(['ship', 'whale']);
    expect(targets[0].score).toBeGreaterThanOrEqual(targets[1].score);
    // Pieces that begin no word, which as texts have a metaspace of their own before them.
    const pieces = await unmask(text, { targets: ['.', 'ing'] });
    expect(pieces.map(({ token }) => unmask.tokenizer.idToToken(token)).sort()).toEqual(['.', 'ing']);
    expect(await unmask([])).toEqual([]);
  });

  test('misuse', async () => {
    await using unmask = await pipeline('fill-mask', folder);
    expect((await failure('INVALID_ARGUMENT', () => unmask('no mask'))).message).toContain('[MASK]');
    await failure('INVALID_ARGUMENT', () => unmask(5 as never));
    await failure('INVALID_ARGUMENT', () => unmask('[MASK]', { top_k: 0 }));
    await failure('ABORTED', () => unmask('[MASK]', { signal: AbortSignal.abort() }));
    await unmask.dispose();
    await failure('DISPOSED', () => unmask('[MASK]'));
  });

  test('a mask by another name, or none at all', async () => {
    const folder = await tinyModel('masked-lm', { vocab_size: 8 }, { mask_token: '<mask>' });
    const pieces = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '<mask>', 'whale', 'ship', 'the'];
    rmSync(path.join(folder, 'spiece.model'));
    writeFileSync(path.join(folder, 'vocab.txt'), pieces.join('\n'));
    const unmask = await pipeline('fill-mask', folder);
    expect(await unmask('the <mask>')).toHaveLength(5);
    const error = await failure('INVALID_ARGUMENT', () => unmask('the [MASK]'));
    expect(error.message).toMatch('expected a <mask> within');
    await unmask.dispose();
    writeFileSync(path.join(folder, 'tokenizer_config.json'), '{}');
    const none = await failure('TOKENIZER', () => pipeline('fill-mask', folder));
    expect(none.message).toMatch(/vocab\.txt but found no \[MASK\]; name it as mask_token/);
  });

  test('a text over the limit is cut with its special tokens', async () => {
    await using unmask = await pipeline('fill-mask', folder);
    const answers = await unmask(`the [MASK] ${'whale '.repeat(500)}`);
    expect(answers).toHaveLength(5);
  });
});

describe('feature-extraction and sentence-similarity', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await tinyModel('base');
  });

  test('poolings', async () => {
    await using extract = await pipeline('embeddings', folder);
    const texts = ['the whale', 'the ship and the sea'];
    const states = await extract(texts);
    expect(states.dims[0]).toBe(2);
    expect(states.dims[2]).toBe(32);
    const { input_ids } = extract.tokenizer.encode(texts[0]);
    const { last_hidden_state, pooler_output } = await extract.model.forward({ input_ids: [input_ids] });
    expect(Array.from(states.row(0).subarray(0, last_hidden_state.data.length))).toEqual(
      Array.from(last_hidden_state.data),
    );
    const row = (tensor: Tensor, i = 0) => Array.from(tensor.row(i));
    const mean = await extract(texts, { pooling: 'mean' });
    expect(mean.dims).toEqual([2, 32]);
    const expected = row(mean).map((_, h) => {
      let sum = 0;
      for (let t = 0; t < input_ids.length; t++) sum += last_hidden_state.data[t * 32 + h];
      return expect.closeTo(sum / input_ids.length, 5) as number;
    });
    expect(row(mean)).toEqual(expected);
    expect(row(await extract(texts[0], { pooling: 'cls' }))).toEqual(
      Array.from(last_hidden_state.data.subarray(0, 32)),
    );
    expect(row(await extract(texts[0], { pooling: 'pooler' }))).toEqual(Array.from(pooler_output!.data));
    expect(await extract(texts, { pooling: 'first_token', quantize: false })).toEqual(
      await extract(texts, { pooling: 'cls' }),
    );
    expect((await extract([])).dims).toEqual([0, 0, 32]);
    expect((await extract([], { pooling: 'mean' })).dims).toEqual([0, 32]);
    const unit = await extract(texts, { pooling: 'mean', normalize: true });
    expect(row(unit, 1).reduce((sum, value) => sum + value * value, 0)).toBeCloseTo(1, 5);
  });

  test('a loaded model with a head for sequences embeds, one for choices does not', async () => {
    await using plain = await pipeline('feature-extraction', folder);
    await using headed = await Albert.load(folder, { head: 'masked-lm' });
    const extract = await pipeline('feature-extraction', headed);
    expect(await extract('the whale', { pooling: 'mean' })).toEqual(
      await plain('the whale', { pooling: 'mean' }),
    );
    const error = await failure('INVALID_ARGUMENT', () => extract('the whale', { pooling: 'pooler' }));
    expect(error.message).toMatch(/head 'masked-lm' has no pooler, for pooling/);
    await using chooser = await Albert.load(folder, { head: 'multiple-choice' });
    await failure('INVALID_ARGUMENT', () => pipeline('feature-extraction', chooser));
  });

  test('a loaded model takes no options of loading, which would have no effect', async () => {
    await using model = await Albert.load(folder);
    for (const options of [{ dtype: 'int8' }, { config: { id2label: { 0: 'yes' } } }] as const) {
      const error = await failure('INVALID_ARGUMENT', () => pipeline('feature-extraction', model, options));
      expect(error.message).toMatch(/expected no (dtype|config) for a model that is loaded already/);
    }
    await pipeline('feature-extraction', model, { allow_untrained: true, dtype: null as never });
  });

  test('similarity', async () => {
    await using compare = await pipeline('sentence-similarity', folder);
    expect(await compare('the whale', 'the whale')).toBeCloseTo(1, 5);
    const [same, other] = await compare('the whale', ['the whale', 'quite another thing']);
    expect(same).toBeCloseTo(1, 5);
    expect(other).toBeLessThan(same);
  });

  test('a folder of sentence-transformers says how its sentences become vectors', async () => {
    const model = await tinyModel('base');
    const write = (name: string, content: unknown) => {
      mkdirSync(path.dirname(path.join(model, name)), { recursive: true });
      writeFileSync(path.join(model, name), JSON.stringify(content));
    };
    await using extract = await pipeline('feature-extraction', model);
    await using compare = await pipeline('sentence-similarity', model);
    const texts = ['the whale swam past the ship', 'the sea was gone before the men had seen it'];
    const cosine = async (options: object) => {
      const { data } = await extract(texts, { ...options, normalize: true });
      return data.subarray(0, 32).reduce((sum, value, i) => sum + value * data[32 + i], 0);
    };
    expect(await extract(texts, { pooling: 'sentence' })).toEqual(await extract(texts, { pooling: 'mean' }));
    const type = (name: string) => `sentence_transformers.models.${name}`;
    const modules = [
      { idx: 0, name: '0', path: '', type: type('Transformer') },
      { idx: 1, name: '1', path: '2_Pooling', type: type('Pooling') },
    ];
    write('modules.json', modules);
    write('sentence_bert_config.json', { max_seq_length: 5, do_lower_case: false });
    write('2_Pooling/config.json', { word_embedding_dimension: 32, pooling_mode_cls_token: true });
    const short = { pooling: 'cls', max_length: 5 } as const;
    expect(await extract(texts, { pooling: 'sentence' })).toEqual(await extract(texts, short));
    expect(await compare(texts[0], texts[1])).toBeCloseTo(await cosine(short), 5);
    expect(await cosine(short)).not.toBeCloseTo(await cosine({ pooling: 'cls' }), 5);
    const longer = await extract(texts, { pooling: 'sentence', max_length: 9 });
    expect(longer).toEqual(await extract(texts, { pooling: 'cls', max_length: 9 }));
    write('modules.json', [...modules, { idx: 2, name: '2', path: '2_Normalize', type: type('Normalize') }]);
    expect(await extract(texts, { pooling: 'sentence' })).toEqual(
      await extract(texts, { ...short, normalize: true }),
    );

    const copy = temporaryFolder();
    await extract.model.save(copy);
    await using again = await pipeline('feature-extraction', copy);
    expect(await again(texts, { pooling: 'sentence' })).toEqual(
      await extract(texts, { pooling: 'sentence' }),
    );

    write('sentence_bert_config.json', { max_seq_length: 2 });
    const shortest = await failure('CHECKPOINT', () => compare(texts[0], texts[1]));
    expect(shortest.message).toMatch(
      /a max_seq_length of at least 3 in .*sentence_bert_config.json but found 2/,
    );
    write('sentence_bert_config.json', {});
    write('2_Pooling/config.json', { pooling_mode_max_tokens: true, pooling_mode_mean_tokens: false });
    const odd = await failure('CHECKPOINT', () => compare(texts[0], texts[1]));
    expect(odd.message).toMatch(/by mean or first token in .*2_Pooling.* but found pooling_mode_max_tokens/);
    write('modules.json', [{ type: type('Dense') }]);
    const dense = await failure('CHECKPOINT', () => extract(texts, { pooling: 'sentence' }));
    expect(dense.message).toMatch(/modules.json but found 'sentence_transformers.models.Dense'/);
    write('modules.json', [{ type: type('Pooling'), path: '../elsewhere' }]);
    await failure('CHECKPOINT', () => compare(texts[0], texts[1]));
    write('modules.json', {});
    await failure('CHECKPOINT', () => compare(texts[0], texts[1]));
    expect((await extract(texts, { pooling: 'mean' })).dims).toEqual([2, 32]);
  });

  test('an abort ends a call that still tokenises', async () => {
    await using extract = await pipeline('feature-extraction', folder);
    const texts = Array.from({ length: 2000 }, (_, i) => `${'the whale swam past the ship '.repeat(60)}${i}`);
    const signals = { before: () => AbortSignal.abort('no'), meanwhile: () => AbortSignal.timeout(5) };
    for (const signal of Object.values(signals)) {
      const events: string[] = [];
      // Half of the texts, so that a call which tokenised all of them would end later.
      const half = extract.tokenizer
        .encodeRaw(texts.slice(1000), {})
        .then(() => events.push('half tokenised'));
      const call = failure('ABORTED', () => extract(texts, { pooling: 'mean', signal: signal() }));
      await Promise.all([half, call.then(() => events.push('aborted'))]);
      expect(events).toEqual(['aborted', 'half tokenised']);
    }
  });

  test('many texts run in parts and come back in order', async () => {
    await using extract = await pipeline('feature-extraction', folder);
    const texts = Array.from({ length: 150 }, (_, i) => `${'whale '.repeat(i % 20)}${i}`);
    const all = await extract(texts, { pooling: 'mean' });
    for (const i of [0, 31, 32, 99, 149]) {
      expect(Array.from(all.row(i))).toEqual(
        Array.from((await extract(texts[i], { pooling: 'mean' })).row(0)),
      );
    }
  });
});

describe('text-classification', () => {
  test('single label, top_k, pairs and batches', async () => {
    const folder = await tinyModel('sequence-classification', labels('bad', 'fair', 'good'));
    await using classify = await pipeline('sentiment-analysis', folder);
    const { input_ids } = classify.tokenizer.encode('the whale');
    const { logits } = await classify.model.forward({ input_ids: [input_ids] });
    const expected = softmax(logits!.data);
    const all = await classify('the whale', { top_k: null });
    expect(all).toHaveLength(3);
    for (const { label, score } of all) {
      expect(score).toBeCloseTo(expected[['bad', 'fair', 'good'].indexOf(label)], 6);
    }
    expect(await classify('the whale')).toEqual(all.slice(0, 1));
    expect(await classify(['the whale', 'the ship'])).toHaveLength(2);
    const nested = await classify(['the whale', 'the ship'], { top_k: 2 });
    expect(nested.map((list) => (list as unknown[]).length)).toEqual([2, 2]);
    const [pair] = await classify({ text: 'the whale', text_pair: 'the ship' });
    expect(pair.score).not.toBeCloseTo(all[0].score, 6);
    const raw = await classify('the whale', { top_k: null, function_to_apply: 'none' });
    expect(raw[0].score).toBeCloseTo(Math.max(...logits!.data), 6);
    await failure('INVALID_ARGUMENT', () => classify([], { function_to_apply: 'tanh' as 'none' })); // before any text is read
  });

  test('regression gives the number, multi-label independent probabilities', async () => {
    const regression = await tinyModel('sequence-classification', {
      ...labels('score'),
      problem_type: 'regression',
    });
    await using rate = await pipeline('text-classification', regression);
    const { input_ids } = rate.tokenizer.encode('the whale');
    const { logits } = await rate.model.forward({ input_ids: [input_ids] });
    expect((await rate('the whale'))[0]).toEqual({ label: 'score', score: logits!.data[0] });
    const several = await tinyModel('sequence-classification', {
      ...labels('a', 'b', 'c'),
      problem_type: 'multi_label_classification',
    });
    await using tag = await pipeline('text-classification', several);
    const outputs = await tag.model.forward({ input_ids: [input_ids] });
    const best = Math.max(...outputs.logits!.data);
    expect((await tag('the whale'))[0].score).toBeCloseTo(1 / (1 + Math.exp(-best)), 6);
  });
});

describe('options that users of other libraries pass', () => {
  test('max_length and truncation cut texts, padding does nothing', async () => {
    const folder = await tinyModel('sequence-classification', labels('bad', 'good'));
    await using classify = await pipeline('text-classification', folder);
    const text = 'the whale swam past the ship of the men';
    const cut = await classify(text, { max_length: 5, truncation: true, padding: true });
    expect(cut).toEqual(await classify('the whale swam'));
    expect(cut).not.toEqual(await classify(text));
    expect(await classify(text, { max_length: 1000, padding: 'max_length' })).toEqual(await classify(text));
    await failure('TOO_LONG', () => classify(text, { max_length: 5, truncation: false }));
    await failure('TOO_LONG', () => classify(text.repeat(9), { truncation: 'none' }));
    const pair = { text: 'the', text_pair: text };
    await failure('TOO_LONG', () => classify(pair, { max_length: 8, truncation: 'only_first' }));
    await failure('INVALID_ARGUMENT', () => classify(text, { max_length: 0 }));

    await using unmask = await pipeline('fill-mask', await tinyModel('masked-lm'));
    const error = await failure('INVALID_ARGUMENT', () => unmask(`${text} [MASK]`, { max_length: 6 }));
    expect(error.message).toMatch(/within the first 6 tokens/);
    await using tag = await pipeline('ner', await tinyModel('token-classification'));
    expect(await tag(text, { max_length: 6, ignore_labels: [] })).toHaveLength(4);
    await using extract = await pipeline('feature-extraction', await tinyModel('base'));
    expect((await extract(text, { max_length: 6 })).dims).toEqual([1, 6, 32]);
  });

  test('null stands for the default', async () => {
    const none = { dtype: null, device: null, config: null, revision: null } as never;
    await using unmask = await pipeline('fill-mask', await tinyModel('masked-lm'), none);
    expect(unmask.model.dtype).toBe('fp32');
  });
});

describe('zero-shot-classification', () => {
  test('scores', async () => {
    const folder = await tinyModel(
      'sequence-classification',
      labels('entailment', 'neutral', 'contradiction'),
    );
    await using ask = await pipeline('zero-shot-classification', folder);
    const result = await ask('the whale', ['sea', 'land', 'air']);
    expect(result.sequence).toBe('the whale');
    expect([...result.labels].sort()).toEqual(['air', 'land', 'sea']);
    expect(result.scores.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 6);
    expect(result.scores).toEqual([...result.scores].sort((a, b) => b - a));
    const multi = await ask(['the whale', 'the ship'], 'sea, land', { multi_label: true });
    expect(multi).toHaveLength(2);
    const { input_ids, token_type_ids } = ask.tokenizer.encode(['the whale', 'This example is sea.']);
    const { logits } = await ask.model.forward({ input_ids: [input_ids], token_type_ids: [token_type_ids] });
    const expected = softmax([logits!.data[2], logits!.data[0]])[1];
    expect(multi[0].scores[multi[0].labels.indexOf('sea')]).toBeCloseTo(expected, 6);
    expect(await ask('x', 'sea, land,')).toEqual(await ask('x', ['sea', 'land']));
    await failure('INVALID_ARGUMENT', () => ask('x', ' , '));
    await failure('INVALID_ARGUMENT', () => ask('x', ['a'], { hypothesis_template: 'nothing' }));
  });

  test('label maps that are null or hold numbers', async () => {
    const folder = await tinyModel('sequence-classification', labels('entailment', 'contradiction'));
    const file = path.join(folder, 'config.json');
    const config = JSON.parse(readFileSync(file, 'utf8')) as object;
    writeFileSync(file, JSON.stringify({ ...config, label2id: null }));
    await using ask = await pipeline('zero-shot-classification', folder);
    expect((await ask('the whale', ['sea'])).labels).toEqual(['sea']);
    writeFileSync(file, JSON.stringify({ ...config, id2label: { 0: 3, 1: 4 }, label2id: { 3: 0, 4: 1 } }));
    await using classify = await pipeline('text-classification', folder);
    const found = await classify('the whale', { top_k: null });
    expect(found.map(({ label }) => label).sort()).toEqual(['3', '4']);
    writeFileSync(file, JSON.stringify({ ...config, id2label: null, label2id: null }));
    const error = await failure('INVALID_CONFIG', () => pipeline('zero-shot-classification', folder));
    expect(error.message).toMatch(/but found none/);
  });

  test('a name beyond the outputs names none of them', async () => {
    const folder = await tinyModel('sequence-classification', labels('yes', 'no'));
    const file = path.join(folder, 'config.json');
    const config = JSON.parse(readFileSync(file, 'utf8')) as object;
    writeFileSync(file, JSON.stringify({ ...config, label2id: { entailment: 7 } }));
    const error = await failure('INVALID_CONFIG', () => pipeline('zero-shot-classification', folder));
    expect(error.message).toMatch(/for one of the 2 outputs in config.json but found 7: entailment, 0: yes/);
    const beyond = { id2label: {}, num_labels: 2, label2id: { entailment: 0, contradiction: 9 } };
    await using ask = await pipeline('zero-shot-classification', folder, { config: beyond });
    expect((await ask('the whale', ['sea'])).scores[0]).toBeGreaterThan(0);
  });

  test('a model without an entailment label is refused', async () => {
    const folder = await tinyModel('sequence-classification', labels('yes', 'no'));
    const error = await failure('INVALID_CONFIG', () => pipeline('zero-shot-classification', folder));
    expect(error.message).toMatch(
      /entailment.*0: yes, 1: no.*id2label of config.json or of \{ config: \{ id2label/s,
    );
    const config = { id2label: { 0: 'entailment', 1: 'contradiction' } };
    await using ask = await pipeline('zero-shot-classification', folder, { config });
    expect((await ask('the whale', ['sea'])).labels).toEqual(['sea']);
  });
});

describe('token-classification', () => {
  test('tokens and entities', async () => {
    const folder = await tinyModel('token-classification', labels('O', 'B-PER', 'I-PER', 'B-LOC', 'I-LOC'));
    await using tag = await pipeline('ner', folder);
    const text = 'Ishmael sailed from Nantucket.';
    const tokens = await tag(text, { ignore_labels: [] });
    const { tokens: pieces } = tag.tokenizer.encode(text);
    expect(tokens).toHaveLength(pieces.length - 2);
    expect(Object.keys(tokens[0])).toEqual(['entity', 'score', 'index', 'word', 'start', 'end']);
    expect(text.slice(tokens[0].start, tokens[0].end)).toBe('Ishmael');
    expect(tokens[0].index).toBe(1);
    const kept = await tag(text);
    expect(kept.every(({ entity }) => entity !== 'O')).toBe(true);
    for (const aggregation_strategy of ['simple', 'first', 'average', 'max'] as const) {
      const groups = await tag(text, { aggregation_strategy, ignore_labels: [] });
      expect(Object.keys(groups[0])).toEqual(['entity_group', 'score', 'word', 'start', 'end']);
      expect(groups.every(({ entity_group }) => ['O', 'PER', 'LOC'].includes(entity_group))).toBe(true);
      expect(groups[0].start).toBe(0);
      expect(groups[groups.length - 1].end).toBe(text.length);
      if (aggregation_strategy !== 'simple') {
        for (const { start } of groups) expect(start === 0 || /\s/.test(text[start - 1])).toBe(true);
      }
    }
    expect(await tag([text, text])).toEqual([kept, kept]);
    const unknown = await tag('Nantucket 日本', { ignore_labels: [] });
    expect(unknown.at(-1)).toMatchObject({ word: '日本', start: 10, end: 12 });
    const [whole] = (await tag('日本', { aggregation_strategy: 'simple', ignore_labels: [] })).slice(-1);
    expect(whole.word).toMatch(/日本$/);
  });
});

describe('entities', () => {
  /** A tagger whose tokens get these labels in turn, whatever the text. */
  async function tagger(names: string[], given: string[]) {
    const pipe = await pipeline('ner', await tinyModel('token-classification', labels(...names)));
    const forward = pipe.model.forward.bind(pipe.model);
    jest.spyOn(pipe.model, 'forward').mockImplementation(async (inputs, options) => {
      const outputs = await forward(inputs, options);
      const { dims, data } = outputs.logits!;
      data.fill(0);
      given.forEach((name, i) => (data[(i + 1) * dims[2] + names.indexOf(name)] = 5));
      return outputs;
    });
    return pipe;
  }
  const groups = async (pipe: Awaited<ReturnType<typeof tagger>>, text: string) => {
    const found = await pipe(text, { aggregation_strategy: 'simple' });
    return found.map(({ entity_group, start, end }) => `${entity_group}: ${text.slice(start, end)}`);
  };

  test('end at E- and S- labels', async () => {
    const given = ['B-X', 'E-X', 'I-X', 'S-X', 'I-X', 'E-X', 'E-X'];
    await using tag = await tagger(['O', 'B-X', 'I-X', 'E-X', 'S-X'], given);
    expect(await groups(tag, 'the men of the sea the ship')).toEqual([
      'X: the men',
      'X: of',
      'X: the',
      'X: sea the',
      'X: ship',
    ]);
  });

  test('are never empty: a metaspace alone is one with the piece it begins', async () => {
    await using tag = await tagger(['O', 'B-X', 'I-X'], ['B-X', 'O', 'B-X', 'I-X', 'O']);
    expect(tag.tokenizer.encode('(the) (sea').tokens.slice(1, 7)).toEqual(['▁', '(', 'the', ')', '▁', '(']);
    expect(await groups(tag, '(the) (sea')).toEqual(['X: (', 'X: the)']);
    await using other = await tagger(['O', 'B-X', 'I-X'], ['O', 'O', 'B-X', 'I-X', 'I-X', 'O']);
    expect(await groups(other, '(the) (sea')).toEqual(['X: the) (']);
  });
});

test('a classifier of another kind is refused, as its parameters have the same names', async () => {
  const sequences = await tinyModel('sequence-classification');
  for (const task of ['token-classification', 'multiple-choice'] as const) {
    const error = await failure('CHECKPOINT', () => pipeline(task, sequences));
    expect(error.message).toMatch(`head '${task}' but`);
    expect(error.message).toMatch(/declares 'sequence-classification'/);
  }
  await (await pipeline('token-classification', sequences, { allow_untrained: true })).dispose();
});

test('the best of many are found without the square of their number', () => {
  const values = Array.from({ length: 3000 }, (_, i) => (i * 7919) % 1000);
  let reads = 0;
  const row = new Proxy(values, {
    get: (target, name) => {
      reads++;
      return Reflect.get(target, name) as unknown;
    },
  });
  const all = topIndices(row, Infinity);
  expect(reads).toBeLessThan(100 * values.length);
  expect(all.every((at, i) => i === 0 || values[all[i - 1]] > values[at] || all[i - 1] < at)).toBe(true);
  for (const k of [1, 256, 257, 3000]) expect(topIndices(values, k)).toEqual(all.slice(0, k));
});

describe('question-answering', () => {
  test('spans, windows and the empty answer', async () => {
    const folder = await tinyModel('question-answering');
    await using answer = await pipeline('question-answering', folder);
    const context =
      'The whale swam under the ship. The men looked at the sea for three days and nights. '.repeat(6);
    const best = await answer('Where did the whale swim?', context);
    expect(Object.keys(best)).toEqual(['answer', 'score', 'start', 'end']);
    expect(context.slice(best.start, best.end)).toBe(best.answer);
    expect(best.answer).not.toBe('');
    const several = await answer('Where did the whale swim?', context, { top_k: 4 });
    expect(several).toHaveLength(4);
    expect(several[0]).toEqual(best);
    expect(new Set(several.map(({ start, end }) => `${start}-${end}`)).size).toBe(4);
    const short = await answer('Who?', 'The whale swam.', { max_answer_len: 1 });
    expect(short.answer.split(' ')).toHaveLength(1);
    const batch = await answer(['Who?', 'Where?'], 'The whale swam.');
    expect(batch).toHaveLength(2);
    const contexts = ['The whale swam.', 'The men looked at the sea.'];
    const each = await Promise.all(contexts.map((one) => answer('Who?', one)));
    expect(await answer('Who?', contexts)).toEqual(each);
    expect(await answer('Who?', [])).toEqual([]);
    await failure('INVALID_ARGUMENT', () => answer(['Who?'], contexts));
    const empty = await answer('Who?', '', { handle_impossible_answer: true });
    expect(empty.answer).toBe('');
    expect((await answer('Who?', '')).answer).toBe('');
  });

  test('no answer is empty or ends in a space, and none comes twice', async () => {
    await using answer = await pipeline('question-answering', await tinyModel('question-answering'));
    const context = 'The ship (the whale) was (gone) — and  (so';
    const { tokens } = answer.tokenizer.encode(context);
    expect(tokens.filter((token) => token === '▁').length).toBeGreaterThan(2);
    const all = await answer('Who?', context, { top_k: 500 });
    for (const one of all)
      expect([one.answer, one.answer.trim().length > 0]).toEqual([one.answer.trim(), true]);
    const pieces = tokens.length - 2 - tokens.filter((token) => token === '▁').length;
    expect(all).toHaveLength(new Set(all.map(({ start, end }) => `${start}-${end}`)).size);
    const short = await answer('Who?', context, { top_k: 500, max_answer_len: 1 });
    expect(short).toHaveLength(pieces);
  });

  test('windows share what was asked for where there is room, whatever the company', async () => {
    await using answer = await pipeline('question-answering', await tinyModel('question-answering'));
    const encode = jest.spyOn(answer.tokenizer, 'encodeRaw');
    const strides = () =>
      encode.mock.calls.flatMap(([, { stride }]) => (stride === undefined ? [] : [stride]));
    const context = 'The whale swam past the ship. '.repeat(20);
    const options = { max_seq_len: 40, doc_stride: 20 };
    const short = await answer('Who?', context, options);
    expect(strides()).toEqual([20]);
    encode.mockClear();
    const long = 'Who swam past the ship of the captain and his men, and what was its name?';
    expect((await answer([long, 'Who?'], context, options))[1]).toEqual(short);
    expect(strides()).toHaveLength(2);
    expect(strides()[0]).toBeLessThan(20);
    encode.mockClear();
    // A question that is cut may have other tokens than its beginning: room for one more must be left.
    const cut = 'antidisestablishmentarianismscharacteristics\ufb01nances\u00bd and more and more of it';
    for (let doc_stride = 0; doc_stride < 60; doc_stride++)
      await answer(cut, context, { max_seq_len: 60, max_question_len: 17, doc_stride });
    encode.mockClear();
    await answer(long, context.repeat(3), { max_seq_len: 32 });
    expect(strides()[0]).toBeLessThan(9);
    encode.mockRestore();
  });

  test('the best span of a short text is the best product of probabilities', async () => {
    const folder = await tinyModel('question-answering');
    await using answer = await pipeline('question-answering', folder);
    const [question, context] = ['Who swam?', 'The whale swam past.'];
    const { input_ids, token_type_ids, offsets } = answer.tokenizer.encode([question, context]);
    const outputs = await answer.model.forward({ input_ids: [input_ids], token_type_ids: [token_type_ids] });
    const first = token_type_ids.indexOf(1);
    const last = input_ids.length - 2;
    const pick = (logits: Float32Array) => softmax([logits[0], ...logits.subarray(first, last + 1)]).slice(1);
    const starts = pick(outputs.start_logits!.data);
    const ends = pick(outputs.end_logits!.data);
    let expected = { score: 0, i: 0, j: 0 };
    starts.forEach((start, i) =>
      ends.forEach((end, j) => {
        if (j >= i && j < i + 15 && start * end > expected.score) expected = { score: start * end, i, j };
      }),
    );
    const best = await answer(question, context);
    expect(best.score).toBeCloseTo(expected.score, 6);
    expect([best.start, best.end]).toEqual([offsets[first + expected.i][0], offsets[first + expected.j][1]]);
  });
});

test('multiple-choice', async () => {
  const folder = await tinyModel('multiple-choice');
  await using choose = await pipeline('multiple-choice', folder);
  const results = await choose('It rained.', 'The ground was _ .', ['wet', 'dry', 'green']);
  expect(results.map(({ index }) => index).sort()).toEqual([0, 1, 2]);
  expect(results.reduce((sum, { score }) => sum + score, 0)).toBeCloseTo(1, 6);
  expect(Object.keys(results[0])).toEqual(['choice', 'index', 'score']);
  const encodings = ['wet', 'dry', 'green'].map((choice) =>
    choose.tokenizer.encode(['It rained.', `The ground was ${choice} .`]),
  );
  const { logits } = await choose.model.forward({
    input_ids: [encodings.map((encoding) => encoding.input_ids)],
    token_type_ids: [encodings.map((encoding) => encoding.token_type_ids)],
  });
  const expected = softmax(logits!.data);
  for (const { index, score } of results) expect(score).toBeCloseTo(expected[index], 6);
});

describe('sentence-order', () => {
  test('label 0 is in order', async () => {
    const folder = await tinyModel('pretraining');
    await using order = await pipeline('sentence-order', folder);
    const result = await order('It rained.', 'The ground was wet.');
    const { input_ids, token_type_ids } = order.tokenizer.encode(['It rained.', 'The ground was wet.']);
    const { sop_logits } = await order.model.forward({
      input_ids: [input_ids],
      token_type_ids: [token_type_ids],
    });
    const [ordered, swapped] = softmax(sop_logits!.data);
    expect(result).toEqual({
      ordered: expect.closeTo(ordered, 6) as number,
      swapped: expect.closeTo(swapped, 6) as number,
    });
    expect(await order(['a', 'b'], ['c', 'd'])).toHaveLength(2);
  });

  test('a checkpoint without the head is refused unless its user insists', async () => {
    const folder = await tinyModel('masked-lm');
    const error = await failure('CHECKPOINT', () => pipeline('sentence-order', folder));
    expect(error.message).toMatch(/sop_classifier.*allow_untrained/s);
    await using order = await pipeline('sentence-order', folder, { allow_untrained: true });
    expect((await order('a', 'b')).ordered).toBeGreaterThan(0);
  });
});

test('pipelines refuse models without vocabulary or with another head, and leave a caller’s model alive', async () => {
  await failure('TOKENIZER', () => pipeline('fill-mask', goldenModel('masked-lm')));
  const model = await Albert.load(await tinyModel('masked-lm'));
  await failure('INVALID_ARGUMENT', () => pipeline('question-answering', model));
  const unmask = await pipeline('fill-mask', model);
  await unmask.dispose();
  expect(await unmask('[MASK]')).toHaveLength(5);
  await model.dispose();
});
