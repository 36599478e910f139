/** Exports to ONNX: what the files hold, and that onnxruntime computes what this package does. */
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { Albert, type AlbertConfig, exportOnnx, type Head, pipeline, Tensor, Tokenizer } from '../lib';
import { albertGraph } from '../lib/formats/onnx-albert';
import { writeOnnx } from '../lib/formats/onnx-file';
import { copyModel, golden, goldenModel, goldenModels, root, temporaryFolder } from './support/data';
import { readJsonLines } from './support/datasets';
import { failure } from './support/errors';
import { decodeOnnx, hasOnnxRuntime, runOnnx, type Values } from './support/onnx';
import { nest, readSafetensors } from './support/safetensors';
import { tinyModel } from './support/tiny';

const INPUTS = ['input_ids', 'attention_mask', 'token_type_ids'] as const;
/** Largest difference as a share of the largest value. Quantising narrow layers costs some percent. */
const LIMITS = { fp32: 1e-5, int8: 0.2 };
const FILES = { fp32: 'model.onnx', int8: 'model_quantized.onnx' };

if (!hasOnnxRuntime)
  console.warn('onnxruntime is not installed (see bench/README.md): exported files are read, not run');

/** Every name that a node takes must exist by then; every weight must be used, and no two may be equal. */
async function checkStructure(file: string): Promise<void> {
  const graph = await decodeOnnx(file);
  const weights = graph.initializer.map(({ name }) => name);
  const known = new Set(['', ...weights, ...graph.input.map(({ name }) => name)]);
  const used = new Set<string>();
  for (const { name, input, output } of graph.node) {
    expect([name, input.filter((value) => !known.has(value))]).toEqual([name, []]);
    expect([name, output.filter((value) => known.has(value))]).toEqual([name, []]);
    input.forEach((value) => used.add(value));
    output.forEach((value) => known.add(value));
  }
  expect(graph.output.filter(({ name }) => !known.has(name))).toEqual([]);
  expect(weights.filter((name) => !used.has(name))).toEqual([]);
  expect(new Set(weights).size).toBe(weights.length);
  const large = graph.initializer.filter(({ rawData }) => rawData.length > 1024);
  const contents = large.map(({ rawData }) => Buffer.from(rawData).toString('base64'));
  expect(new Set(contents).size).toBe(large.length);
}

function flat(sequences: number[][] | number[][][]): Values {
  const dims: number[] = [];
  for (let level: unknown = sequences; Array.isArray(level); level = level[0]) dims.push(level.length);
  return { dims, data: (sequences as unknown[]).flat(3) as number[] };
}

type Given = Record<(typeof INPUTS)[number], number[][]>;

function toFeeds(given: Given): Record<string, Values> {
  return Object.fromEntries(INPUTS.map((name) => [name, flat(given[name])]));
}

/** The largest difference at real tokens, as a share of the largest value there. */
function difference(actual: Values, expected: Tensor, mask: number[]): number {
  const tokens = mask.length;
  const perToken =
    expected.dims.length > 1 &&
    expected.dims[0] * expected.dims[1] === tokens &&
    expected.data.length % tokens === 0;
  const width = perToken ? expected.data.length / tokens : 1;
  let worst = 0;
  let largest = 0;
  expected.data.forEach((value, i) => {
    if (perToken && mask[Math.floor(i / width)] === 0) return;
    worst = Math.max(worst, Math.abs(actual.data[i] - value));
    largest = Math.max(largest, Math.abs(value));
  });
  return worst / largest;
}

async function compare(model: Albert, output: string, given: Given): Promise<void> {
  const expected = await model.forward(given);
  const precisions = ['fp32', 'int8'] as const;
  const feeds = toFeeds(given);
  const results = runOnnx(
    precisions.map((precision) => [path.join(output, 'onnx', FILES[precision]), feeds]),
  );
  precisions.forEach((precision, i) => {
    for (const [name, actual] of Object.entries(results[i])) {
      const ours = expected[name as keyof typeof expected] as Tensor;
      expect([name, actual.dims]).toEqual([name, ours.dims]);
      const error = difference(actual, ours, feeds.attention_mask.data);
      expect([precision, name, error, error < LIMITS[precision]]).toEqual([precision, name, error, true]);
    }
  });
}

/** Two sequences, the second with two masked tokens at its end. */
function smallBatch(vocabulary: number): Given {
  const ids = Array.from({ length: 2 }, (_, s) =>
    Array.from({ length: 9 }, (_, t) => (7 * s + 5 * t + 3) % vocabulary),
  );
  return {
    input_ids: ids,
    attention_mask: ids.map((row, s) => row.map((_, t) => (s === 1 && t > 6 ? 0 : 1))),
    token_type_ids: ids.map((row) => row.map((_, t) => (t > 4 ? 1 : 0))),
  };
}

describe('golden models', () => {
  test.each(goldenModels)('%s', async (name) => {
    const output = temporaryFolder();
    const { files } = await exportOnnx(goldenModel(name), output, { dtype: 'all' });
    expect(files.map(({ file }) => path.basename(file))).toEqual(Object.values(FILES));
    const model = await Albert.load(goldenModel(name));
    const parameters = model
      .parameters()
      .reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
    for (const { file, bytes } of files) {
      expect(statSync(file).size).toBe(bytes);
      await checkStructure(file);
    }
    // Nodes take about 2 kB a block.
    expect(files[0].bytes).toBeGreaterThan(parameters * 4);
    expect(files[0].bytes).toBeLessThan(parameters * 4 + 50_000);
    if (hasOnnxRuntime) {
      const stored = readSafetensors(path.join(goldenModel(name), 'expect.safetensors'));
      const given = Object.fromEntries(
        INPUTS.map((input) => [input, nest(stored[input])]),
      ) as unknown as Given;
      // Sequences without a real token are zeros here and numbers without meaning there.
      const kept = given.attention_mask.map((row) => (row as unknown[]).flat().some(Boolean));
      const some = Object.fromEntries(
        INPUTS.map((input) => [input, given[input].filter((_, i) => kept[i])]),
      ) as Given;
      await compare(model, output, some);
    }
    await model.dispose();
  });
});

const SHAPE: AlbertConfig = {
  vocab_size: 60,
  embedding_size: 12,
  hidden_size: 30,
  num_hidden_layers: 5,
  num_attention_heads: 3,
  intermediate_size: 50,
  max_position_embeddings: 20,
  initializer_range: 0.2,
};

test.each<[string, Head, AlbertConfig]>([
  ['groups that do not divide the layers', 'base', { num_hidden_groups: 3, inner_group_num: 2 }],
  ['attention that all layers share', 'base', { parameter_sharing: 'attention', inner_group_num: 2 }],
  ['feed-forward parts that all layers share', 'masked-lm', { parameter_sharing: 'feed_forward' }],
  ['embeddings as wide as the layers', 'masked-lm', { embedding_size: 30 }],
  ['another epsilon', 'base', { layer_norm_eps: 1e-2 }],
  ...['gelu', 'gelu_fast', 'silu', 'swish', 'tanh', 'linear'].map(
    (hidden_act): [string, Head, AlbertConfig] => [hidden_act, 'masked-lm', { hidden_act }],
  ),
])('%s', async (_, head, config) => {
  const model = await Albert.create({ ...SHAPE, ...config }, { head, seed: 3 });
  const output = temporaryFolder();
  for (const { file } of (await exportOnnx(model, output, { dtype: 'all' })).files)
    await checkStructure(file);
  if (hasOnnxRuntime) await compare(model, output, smallBatch(60));
  await model.dispose();
});

test('a decoder of its own is exported, a tied one is not stored twice', async () => {
  const tied = await Albert.create(SHAPE, { head: 'masked-lm' });
  const folder = temporaryFolder();
  await tied.save(folder);
  const names = async (output: string) =>
    (await decodeOnnx(path.join(output, 'onnx', 'model.onnx'))).initializer.map(({ name }) => name);
  const output = temporaryFolder();
  await exportOnnx(folder, output);
  expect(await names(output)).not.toContain('predictions.decoder.weight');
  const table = await tied.parameter('predictions.decoder.weight');
  expect(table.data).toEqual((await tied.parameter('embeddings.word_embeddings.weight')).data);
  const parameters = new Map<string, Tensor>();
  for (const { name } of tied.parameters())
    parameters.set(name.replace('albert.', ''), await tied.parameter(name));
  parameters.set(
    'predictions.decoder.weight',
    new Tensor(
      table.dims,
      table.data.map((value) => -value),
    ),
  );
  const file = path.join(temporaryFolder(), 'model.onnx');
  await writeOnnx(file, albertGraph({ head: 'masked-lm', config: tied.config, parameters }, 'fp32'), '0');
  await checkStructure(file);
  if (hasOnnxRuntime) {
    const [before, after] = runOnnx(
      [path.join(output, 'onnx', 'model.onnx'), file].map((model) => [model, toFeeds(smallBatch(60))]),
    );
    // The bias is zero.
    after.logits.data.forEach((value, i) => expect(value).toBeCloseTo(-before.logits.data[i], 4));
  }
  await tied.dispose();
});

async function freshGraph() {
  const model = await Albert.create(SHAPE, { head: 'base' });
  const parameters = new Map<string, Tensor>();
  for (const { name } of model.parameters()) parameters.set(name, await model.parameter(name));
  await model.dispose();
  return albertGraph({ head: 'base', config: model.config, parameters }, 'fp32');
}

test('weights beyond the limit of a file go to one beside it', async () => {
  const graph = await freshGraph();
  const folder = temporaryFolder();
  const [one, two] = ['one', 'two'].map((name) => path.join(folder, `${name}.onnx`));
  await writeOnnx(one, graph, '0');
  const written = await writeOnnx(two, graph, '0', 1000);
  expect(written.map(({ file }) => file)).toEqual([two, `${two}_data`]);
  expect(written.map(({ file }) => statSync(file).size)).toEqual(written.map(({ bytes }) => bytes));
  const beside = readFileSync(`${two}_data`);
  const [inside, outside] = [await decodeOnnx(one), await decodeOnnx(two)];
  outside.initializer.forEach(({ externalData, rawData }, i) => {
    const place = Object.fromEntries(externalData.map(({ key, value }) => [key, value]));
    const begin = Number(place.offset);
    const bytes = place.location
      ? beside.subarray(begin, begin + Number(place.length))
      : Buffer.from(rawData);
    expect(bytes.equals(inside.initializer[i].rawData)).toBe(true);
  });
  if (hasOnnxRuntime) {
    const [a, b] = runOnnx([one, two].map((file) => [file, toFeeds(smallBatch(60))]));
    expect(b).toEqual(a);
  }
});

test('of two that write a file at once, one has it whole, and nothing else stays', async () => {
  const graph = await freshGraph();
  const file = path.join(temporaryFolder(), 'model.onnx');
  await Promise.all([1, 2].map(() => writeOnnx(file, graph, '0')));
  await checkStructure(file);
  expect(readdirSync(path.dirname(file))).toEqual(['model.onnx']);
});

describe('the folder around the graph', () => {
  test('has a configuration and a tokenizer made from spiece.model that says the same', async () => {
    const folder = await tinyModel('masked-lm');
    const output = temporaryFolder();
    await exportOnnx(folder, output);
    for (const file of ['config.json', 'spiece.model', 'tokenizer.json', 'tokenizer_config.json'])
      expect([file, existsSync(path.join(output, file))]).toEqual([file, true]);
    const settings = JSON.parse(readFileSync(path.join(output, 'tokenizer_config.json'), 'utf8')) as object;
    expect(settings).toMatchObject({
      mask_token: '[MASK]',
      model_max_length: 64,
      tokenizer_class: 'AlbertTokenizer',
    });
    const binding = {
      vocabulary: path.join(output, 'tokenizer.json'),
      tokenizerConfig: '',
      specialTokens: '',
    };
    const [written, original] = await Promise.all([
      Tokenizer.fromFiles({ ...binding, maxLength: Infinity }),
      Tokenizer.load(folder),
    ]);
    const lines = readJsonLines<{ text: string }>(path.join(golden, 'vocabulary', 'sentencepiece.jsonl'));
    for (const { text } of lines) {
      expect([text, written.encode(text).input_ids]).toEqual([text, original.encode(text).input_ids]);
    }
    expect(written.specialTokens).toMatchObject({ pad: 0, cls: 2, sep: 3, mask: 4 });
  });

  test('has the tokens that were added to the vocabulary', async () => {
    const decoder = {
      5: { content: '(', special: false },
      1800: { content: '<name>' },
      1801: { content: '<ent>', special: false },
    };
    const folder = await tinyModel(
      'masked-lm',
      { vocab_size: 1802 },
      { added_tokens_decoder: decoder, additional_special_tokens: ['▁whale'] },
    );
    const output = temporaryFolder();
    await exportOnnx(folder, output);
    const { added_tokens } = JSON.parse(readFileSync(path.join(output, 'tokenizer.json'), 'utf8')) as {
      added_tokens: { id: number; content: string; special: boolean }[];
    };
    const contents = added_tokens.map(({ content, special }) => `${content} ${special}`);
    expect(contents.slice(0, 5)).toEqual(
      ['<pad>', '<unk>', '[CLS]', '[SEP]', '[MASK]'].map((s) => `${s} true`),
    );
    expect(contents.slice(5)).toEqual(['▁whale true', '<name> true', '<ent> false']);
    expect(added_tokens.slice(-2).map(({ id }) => id)).toEqual([1800, 1801]);
  });

  test('has the same for vocab.txt', async () => {
    const folder = copyModel('base');
    const words = path.join(golden, 'vocabulary', 'vocab.txt');
    const copy = path.join(folder, 'vocab.txt');
    copyFileSync(words, copy);
    const output = temporaryFolder();
    await exportOnnx(folder, output);
    const files = { tokenizerConfig: '', specialTokens: '', maxLength: Infinity };
    const written = await Tokenizer.fromFiles({ ...files, vocabulary: path.join(output, 'tokenizer.json') });
    const original = await Tokenizer.load(folder);
    const texts = ['Été 中文, whales!', ...[101, 200, 201].map((length) => 'a'.repeat(length))];
    for (const text of [...readFileSync(words, 'utf8').split('\n'), ...texts])
      expect([text, written.encode(text).input_ids]).toEqual([text, original.encode(text).input_ids]);
  });

  const transformers = path.join(root, 'bench', 'node_modules', '@huggingface', 'transformers');
  (existsSync(transformers) ? test : test.skip)('loads in transformers.js', async () => {
    const folder = await tinyModel('masked-lm');
    const output = temporaryFolder();
    await exportOnnx(folder, output, { dtype: 'all' });
    const source = `
      import { env, pipeline } from ${JSON.stringify(path.join(transformers, 'dist', 'transformers.node.mjs'))};
      env.allowRemoteModels = false;
      const results = [];
      for (const dtype of ['fp32', 'q8']) {
        const unmask = await pipeline('fill-mask', ${JSON.stringify(output)}, { dtype });
        results.push(await unmask('The [MASK] swam.', { top_k: 3 }));
      }
      console.log(JSON.stringify(results));`;
    const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', source], {
      encoding: 'utf8',
    });
    const unmask = await pipeline('fill-mask', folder);
    const ours = (await unmask('The [MASK] swam.', { top_k: 3 })) as { token: number; score: number }[];
    expect(stdout || stderr).toMatch(/^\[/);
    const [fp32] = JSON.parse(stdout) as { token: number; score: number }[][];
    expect(fp32.map(({ token }) => token)).toEqual(ours.map(({ token }) => token));
    fp32.forEach(({ score }, i) => expect(score).toBeCloseTo(ours[i].score, 5));
    await unmask.dispose();
  });
});

test('parameters come as copies, under the names that are listed', async () => {
  const stored = readSafetensors(path.join(goldenModel('masked-lm'), 'model.safetensors'));
  const model = await Albert.load(goldenModel('masked-lm'));
  for (const { name, shape } of model.parameters()) {
    const { dims, data } = await model.parameter(name);
    expect([name, dims]).toEqual([name, shape]);
    expect(Buffer.from(data.buffer).equals(Buffer.from((stored[name].data as Float32Array).buffer))).toBe(
      true,
    );
    data.fill(0);
    expect((await model.parameter(name)).data).toEqual(stored[name].data);
  }
  const error = await failure('INVALID_ARGUMENT', () => model.parameter('pooler.weight'));
  expect(error.message).toContain("'pooler.weight'");
  await failure('INVALID_ARGUMENT', () => model.parameter(1 as never));
  await model.dispose();
  await failure('DISPOSED', () => model.parameter('predictions.bias'));
});

test('what cannot be exported is refused', async () => {
  const beam = await tinyModel('question-answering-beam');
  const nowhere = path.join(temporaryFolder(), 'out');
  const refused = await failure('INVALID_ARGUMENT', () => exportOnnx(beam, nowhere));
  expect(refused.message).toMatch(
    /expected a head that ONNX export knows but received 'question-answering-beam'/,
  );
  expect(existsSync(nowhere)).toBe(false);
  const output = temporaryFolder();
  await failure('INVALID_ARGUMENT', () =>
    exportOnnx(goldenModel('base'), output, { dtype: 'fp16' as never }),
  );
  await failure('INVALID_ARGUMENT', () => exportOnnx(goldenModel('base'), 1 as never));
  await failure('CHECKPOINT', () => exportOnnx('./nowhere', output));
  const file = path.join(goldenModel('base'), 'config.json', 'below');
  await failure('CHECKPOINT', () => exportOnnx(goldenModel('base'), file));
  const model = await Albert.load(goldenModel('base'));
  await failure('INVALID_ARGUMENT', () => exportOnnx(model, output, { head: 'masked-lm' }));
  await model.dispose();
});
