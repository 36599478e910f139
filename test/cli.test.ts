/** The command line as a user meets it: arguments, files, standard input, JSON, exit status and error lines. */
import { spawn } from 'node:child_process';
import { existsSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { preset } from '../lib';
import { HEADS } from '../lib/heads';
import { albert, main } from './support/cli';
import { root, temporaryFolder } from './support/data';
import { labels, tinyModel } from './support/tiny';

const vocabulary = path.join(root, 'models', 'albert-mini-en', 'spiece.model');

function records(lines: string[]): Record<string, unknown>[] {
  return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
}

test('fill-mask from arguments, a file and standard input', async () => {
  const model = await tinyModel('masked-lm');
  const text = 'The [MASK] swam.';
  const plain = albert(['fill-mask', '--model', model, '--top-k', '2', text]);
  expect(plain).toMatchObject({ status: 0, stderr: '' });
  expect(plain.lines).toHaveLength(3);
  const json = ['fill-mask', '--model', model, '--json', '-k', '2'];
  const direct = albert([...json, text, 'A [MASK], a [MASK].']);
  const [first, second] = records(direct.lines);
  expect(first).toMatchObject({ text, masks: [[{ token: expect.any(Number) as number }, {}]] });
  expect(second.masks).toHaveLength(2);
  const file = path.join(temporaryFolder(), 'texts.txt');
  writeFileSync(file, `${text}\r\n\nA [MASK], a [MASK].`);
  expect(albert([...json, '--file', file]).stdout).toBe(direct.stdout);
  expect(albert(json, `${text}\nA [MASK], a [MASK].\n`).stdout).toBe(direct.stdout);
});

test('classify, by trained labels and by labels of one’s own', async () => {
  const model = await tinyModel('sequence-classification', labels('entailment', 'neutral', 'contradiction'));
  const [trained] = records(albert(['classify', '-m', model, '--json', 'the whale']).lines);
  expect(trained.labels).toHaveLength(3);
  const [own] = records(
    albert(['classify', '-m', model, '--json', '--labels', 'sea,land', 'the whale']).lines,
  );
  expect((own.labels as { label: string }[]).map(({ label }) => label).sort()).toEqual(['land', 'sea']);
  expect(albert(['classify', '-m', model, 'the whale']).lines).toHaveLength(4);
});

test('precision tells how far each dtype strays from fp32, and what it wants', async () => {
  const model = await tinyModel('masked-lm');
  const [bf16, int8] = records(
    albert(['precision', '-m', model, '--json', 'The whale swam.', 'It swam away from the ship.']).lines,
  ) as { dtype: string; tokens: number; error: number; cosine: number }[];
  expect([bf16.dtype, int8.dtype]).toEqual(['bf16', 'int8']);
  expect(bf16.tokens).toBe(int8.tokens);
  for (const { error, cosine } of [bf16, int8]) {
    expect(error).toBeGreaterThan(1e-6);
    expect(error).toBeLessThan(0.1);
    expect(cosine).toBeGreaterThan(0.99);
  }
  const [exact] = records(albert(['precision', '-m', model, '--dtype', 'fp32', '--json', 'It.']).lines);
  expect(exact).toMatchObject({ dtype: 'fp32', error: 0 });
  expect(albert(['precision', '-m', model, 'It swam.']).lines).toHaveLength(4);
  expect(albert(['precision', '-m', model])).toMatchObject({ status: 2, stdout: '' });
});

test('quantize writes a calibration and tells what it gains', async () => {
  const model = await tinyModel('masked-lm');
  const texts = path.join(temporaryFolder(), 'texts.txt');
  writeFileSync(texts, 'The whale swam.\nIt swam away from the ship.\n');
  const file = path.join(model, 'calibration.safetensors');
  const [plain, fitted] = records(albert(['quantize', '-m', model, '--json', '-f', texts]).lines);
  expect(plain).toMatchObject({ dtype: 'int8', tokens: fitted.tokens, file });
  expect(fitted).toMatchObject({ dtype: 'int8, calibrated', error: expect.any(Number) as number });
  expect(existsSync(file)).toBe(true);
  expect(albert(['quantize', '-m', model, 'It swam.']).lines.at(-1)).toBe(`written: ${file}`);
  expect(albert(['quantize', '-m', model])).toMatchObject({ status: 2, stdout: '' });
});

test('tag, answer, choose, order, embed and similarity', async () => {
  const tagger = await tinyModel('token-classification', labels('O', 'B-PER', 'I-PER'));
  expect(
    records(albert(['tag', '-m', tagger, '--json', 'Ishmael sailed.']).lines)[0].entities,
  ).toBeInstanceOf(Array);
  const reader = await tinyModel('question-answering');
  const [found] = records(albert(['answer', '-m', reader, '--json', 'Who swam?'], 'The whale swam.').lines);
  expect('The whale swam.').toContain(found.answer);
  const packed = path.join(temporaryFolder(), 'context.txt.gz');
  writeFileSync(packed, gzipSync('The whale swam.'));
  expect(records(albert(['answer', '-m', reader, '--json', '--file', packed, 'Who swam?']).lines)).toEqual([
    found,
  ]);
  const chooser = await tinyModel('multiple-choice');
  const choices = albert(['choose', '-m', chooser, '--json', '-c', 'It rained.', 'It was _ .', 'wet', 'dry']);
  expect(choices.lines).toHaveLength(2);
  const pretrained = await tinyModel('pretraining');
  const orders = albert(['order', '-m', pretrained, '--json'], 'It rained.\tIt was wet.\nA.\tB.\n');
  expect(records(orders.lines)[1]).toMatchObject({
    first: 'A.',
    second: 'B.',
    ordered: expect.any(Number) as number,
  });
  const base = await tinyModel('base');
  const [vector] = records(albert(['embed', '-m', base, '--json', '--normalize', 'the whale']).lines);
  expect(vector.embedding).toHaveLength(32);
  const similar = records(
    albert(['similarity', '-m', base, '--json', 'the whale', 'a ship', 'the whale']).lines,
  );
  expect(similar[0]).toMatchObject({ text: 'the whale', similarity: expect.closeTo(1, 4) as number });
});

test('answer and choose refuse a text without words, wherever it comes from', () => {
  const blank = path.join(temporaryFolder(), 'blank.txt');
  writeFileSync(blank, '\n \n');
  for (const [verb, flag] of [
    [['answer', 'Who swam?'], []],
    [['choose', 'It was _ .', 'wet', 'dry'], ['--context']],
  ] as [string[], string[]][])
    for (const [given, source] of [
      [[...flag, ''], 'the argument'],
      [['--file', blank], blank],
      [[], 'standard input'],
    ] as [string[], string][])
      expect([source, albert([...verb, ...given])]).toMatchObject([
        source,
        { status: 2, stdout: '', stderr: `albert: expected a text to look into but ${source} holds none\n` },
      ]);
});

test('info of the machine, of a preset and of a folder', async () => {
  expect(albert(['info']).stdout).toMatch(/^albert-native \d.*\ncpu: /);
  const totals: Record<string, number> = {
    base: 11683584,
    large: 17683968,
    xlarge: 58724864,
    xxlarge: 222595584,
  };
  for (const [size, total] of Object.entries(totals)) {
    const [described] = records(albert(['info', `${size}-v2`, '--head', 'base', '--json']).lines);
    expect(described.parts).toContainEqual({ part: 'total', parameters: total });
  }
  for (const head of HEADS) {
    const [described] = records(albert(['info', 'base-v2', '--head', head, '--json']).lines);
    const parts = described.parts as { part: string; parameters: number }[];
    const total = parts.pop()!;
    expect([head, parts.reduce((sum, { parameters }) => sum + parameters, 0)]).toEqual([
      head,
      total.parameters,
    ]);
  }
  const folder = await tinyModel('base');
  expect(albert(['info', folder]).stdout).toMatch(
    /head base[\s\S]*total[\s\S]*hidden_size +32[\s\S]*model.safetensors/,
  );
});

test('info passes over a link to nothing, as a cache of half a download holds', () => {
  const folder = temporaryFolder();
  writeFileSync(path.join(folder, 'config.json'), JSON.stringify(preset('tiny')));
  symlinkSync('../../blobs/missing', path.join(folder, 'model.safetensors'));
  const [{ files }] = records(albert(['info', folder, '--json']).lines);
  expect(files).toEqual([{ file: 'config.json', bytes: expect.any(Number) as number }]);
});

test('info counts what every choice of sharing would leave', () => {
  const sharings = ['all', 'attention', 'feed_forward', 'none'];
  const published: [preset: string, counts: number[]][] = [
    ['base-v2', [11683584, 63647232, 37686528, 89650176]],
    ['large-v2', [17683968, 210786816, 114294272, 307397120]],
    ['xlarge-v2', [58724864, 830806528, 444883456, 1216965120]],
    ['xxlarge-v2', [222595584, 1699305984, 961063424, 2437773824]],
  ];
  for (const [name, counts] of published) {
    const [described] = records(albert(['info', name, '--json']).lines);
    expect(described.sharings).toEqual(sharings.map((sharing, i) => ({ sharing, parameters: counts[i] })));
  }
  // Embeddings as wide as the layers: the paper's model has no projection then, the files here have one.
  const folder = temporaryFolder();
  const wide = { ...preset('base-v2', 'attention'), embedding_size: 768 };
  writeFileSync(path.join(folder, 'config.json'), JSON.stringify(wide));
  const { stdout } = albert(['info', folder, '--head', 'base']);
  expect(stdout).toMatch(
    /total +83668992[\s\S]*everything +31114752\n +attention +83078400\n +feed-forward +57117696\n +nothing +109081344\n.*590592/,
  );
});

test('export writes a folder and says what is in it', async () => {
  const model = await tinyModel('masked-lm');
  const output = temporaryFolder();
  const { status, stdout } = albert(['export', '-m', model, '-o', output, '--dtype', 'all']);
  expect([status, stdout]).toEqual([
    0,
    expect.stringMatching(/head masked-lm\n.*model.onnx +\d+\n.*model_quantized.onnx/),
  ]);
  expect(albert(['export', '-m', model]).status).toBe(2);
  expect(albert(['export', '-m', model, '-o', output, '--format', 'gguf']).status).toBe(2);
});

test('wrong usage exits with 2, failures with 1 and one line', () => {
  for (const args of [
    ['fly'],
    ['fill-mask', '--top-k', 'x', 'a'],
    ['fill-mask', '--dtype', 'fp3', 'a'],
    ['answer'],
  ]) {
    const { status, stderr } = albert(args);
    expect([args, status]).toEqual([args, 2]);
    expect(stderr).toMatch(/^error: /);
  }
  for (const [message, ...args] of [
    ["'auto', 'cpu', 'cuda'", 'fill-mask', '--device', 'gpu', 'a [MASK]'],
    ['text or --file', 'fill-mask', '--file', 'x', 'a [MASK]'],
    ['text or --file', 'answer', '--file', 'x', 'Who?', 'a context'],
    ['text or --file', 'choose', '--file', 'x', '--context', 'it rained', 'The ground was _', 'wet', 'dry'],
    ['expected --labels beside', 'classify', '--template', 'This is {}.', 'a text'],
    ["a second passage beside 'one'", 'order', 'one'],
    ['1', 'bench', '--seconds', '-1'],
    ["'balanced' or numbers", 'finetune', '--class-weights', '1,'],
    ["'balanced' or numbers", 'finetune', '--class-weights', '1,,2'],
  ]) {
    const { status, stderr } = albert(args);
    expect([args, status]).toEqual([args, 2]);
    expect(stderr).toContain(message);
  }
  const { status, stderr } = albert(['fill-mask', '--model', './nowhere', 'a [MASK]']);
  expect(status).toBe(1);
  expect(stderr).toMatch(/^albert: .*nowhere[^\n]*\n$/);
  expect(albert(['fill-mask', '--model', './nowhere', '--file', './none']).status).toBe(1);
  // However a verb reads its file: by lines or whole.
  for (const args of [['fill-mask', '--file'], ['answer', 'Who?', '--file'], ['plot']])
    for (const [file, found] of [
      ['.', 'it is a folder'],
      ['none', 'there is none'],
    ])
      expect(albert([...args, file])).toMatchObject({
        status: 1,
        stderr: `albert: expected a file at ${file} but ${found}\n`,
      });
  expect(albert(['fill-mask', '--file', 'x', 'a [MASK]']).stderr).toMatch(/expected text or --file/);
  // As an unset variable leaves it.
  for (const args of [
    ['fill-mask', '--file', ''],
    ['answer', 'Who?', '--file', ''],
    ['plot', ''],
  ])
    expect(albert(args)).toMatchObject({
      status: 2,
      stderr: "albert: expected a path for file but received ''\n",
    });
  expect(albert(['vocab', '--input', '', '--output', 'x']).stderr).toMatch(/for input but received ''\n$/);
});

test('text that is no UTF-8 is refused from standard input, too', () => {
  const bytes = Buffer.from('na\u00efve', 'latin1');
  for (const args of [
    ['answer', 'Who?'],
    ['fill-mask', '--json'],
  ])
    expect(albert(args, bytes)).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/^albert: standard input.*: expected UTF-8 text/) as string,
    });
});

test('messages name options by their flags', async () => {
  const output = path.join(temporaryFolder(), 'run');
  const run = [
    '--corpus',
    'x',
    '--vocabulary',
    vocabulary,
    '--output',
    output,
    '--steps',
    '1',
    '--config',
    'tiny',
  ];
  const { stderr } = albert(['pretrain', ...run, '--max-length', '4']);
  expect(stderr).toMatch(/for --max-length but received 4/);
  const { status, stderr: told } = albert(['pretrain', ...run, '--config', 'my-config']);
  expect([status, told]).toEqual([
    2,
    expect.stringMatching(/tiny, or the \.json file of a configuration, for --config .*'my-config'/),
  ]);
  // What is the user's stays as it is.
  expect(albert(['fill-mask', '--model', './top_k', 'a [MASK]']).stderr).toMatch(/\/top_k\b/);
  const untrained = albert(['classify', '--model', path.dirname(vocabulary), 'a text']);
  expect(untrained.stderr).toMatch(/with --allow-untrained\n/);
  const model = await tinyModel('sequence-classification', labels('entailment', 'neutral', 'contradiction'));
  const template = albert(['classify', '-m', model, '--labels', 'a,b', '--template', 'This.', 'a text']);
  expect(template.stderr).toBe("albert: expected {} in --template but received 'This.'\n");
});

test('order takes passages with tabs as arguments, and a pair a line', () => {
  const [first, second] = ['a\tb', 'lost passage'];
  const { lines } = albert(['order', first, second, '--json']);
  expect(lines.map((line) => JSON.parse(line) as object)).toMatchObject([{ first, second }]);
  const file = path.join(temporaryFolder(), 'pairs.tsv');
  writeFileSync(file, 'one\ttwo\nthree\tfour\n');
  expect(albert(['order', '--file', file, '--json']).lines).toHaveLength(2);
  writeFileSync(file, 'one\ttwo\n\none\ttwo\tthree\n');
  expect(albert(['order', '--file', file])).toMatchObject({
    status: 1,
    stdout: '',
    stderr: `albert: ${file}:3: expected two passages with a tab between them but received 'one\ttwo\tthree'\n`,
  });
  expect(albert(['order', '--file', file, 'one', 'two']).status).toBe(2);
});

test('every verb has help with an example', () => {
  const { stdout, status } = albert(['--help']);
  expect(status).toBe(0);
  const verbs = [
    'fill-mask',
    'classify',
    'tag',
    'answer',
    'choose',
    'order',
    'embed',
    'similarity',
    'export',
    'vocab',
    'pretrain',
    'finetune',
    'evaluate',
    'precision',
    'quantize',
    'bench',
    'info',
    'plot',
  ];
  for (const verb of verbs) {
    expect(stdout).toContain(verb);
    expect(albert([verb, '--help']).stdout).toContain(`$ albert ${verb}`);
  }
});

test('bench times a model or a preset, shape by shape', async () => {
  const model = await tinyModel('masked-lm');
  const run = (...args: string[]) =>
    albert(['bench', ...args, '--seconds', '0', '--shapes', '1x8', '3x16', '--json']);
  const lines = run(model).stdout.trim().split('\n');
  const timings = lines.map((line) => JSON.parse(line) as Record<string, number | string>);
  expect(timings.map(({ dtype, sequences, tokens }) => [dtype, sequences, tokens])).toEqual(
    ['fp32', 'bf16', 'int8'].flatMap((dtype) => [
      [dtype, 1, 8],
      [dtype, 3, 16],
    ]),
  );
  for (const { milliseconds, milliseconds_95, sequences, tokens, tokens_per_second } of timings) {
    expect(milliseconds).toBeGreaterThan(0);
    expect(milliseconds_95).toBeGreaterThanOrEqual(milliseconds as number);
    const work = (sequences as number) * (tokens as number);
    expect(tokens_per_second).toBeCloseTo((1e3 * work) / (milliseconds as number), 3);
  }
  expect(run('tiny', '--dtype', 'bf16').stdout.trim().split('\n')).toHaveLength(2);
  for (const shape of ['8', '0x8', '99999999x1', '9007199254740993x1'])
    expect([shape, albert(['bench', model, '--shapes', shape]).status]).toEqual([shape, 2]);
  expect(albert(['bench', model, '--shapes', '1x8', '1x200']).stderr).toMatch(/at most 128 tokens/);
});

test('a reader that leaves early is no failure', async () => {
  const model = await tinyModel('base');
  const child = spawn(process.execPath, [main, 'embed', '-m', model, '--json']);
  child.stdin.on('error', () => {});
  child.stdin.end('the whale\n'.repeat(3000));
  let errors = '';
  child.stderr.on('data', (part: Buffer) => (errors += part.toString()));
  child.stdout.once('data', () => child.stdout.destroy());
  const status = await new Promise((resolve) => child.on('close', resolve));
  expect([status, errors]).toEqual([0, '']);
});
