/** Where a model's name leads, and which of a folder's files count. */
import fs, {
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import promises from 'node:fs/promises';
import path from 'node:path';
import { Albert, pipeline, preset, Tokenizer } from '../lib';
import { makeFolder } from '../lib/source';
import { copyModel, temporaryFolder } from './support/data';
import { failure } from './support/errors';
import { tinyModel } from './support/tiny';

const variables = ['ALBERT_MODELS', 'HF_HOME', 'HF_HUB_CACHE'] as const;
const before = variables.map((name) => process.env[name]);
afterEach(() => {
  variables.forEach((name, i) => {
    if (before[i] === undefined) delete process.env[name];
    else process.env[name] = before[i];
  });
});

async function loads(source: string): Promise<void> {
  const model = await Albert.load(source);
  await model.dispose();
}

test('a name in ALBERT_MODELS', async () => {
  const folder = copyModel('base');
  process.env.ALBERT_MODELS = `${temporaryFolder()}${path.delimiter}${path.dirname(folder)}`;
  await loads('base');
});

test('a folder that is no model does not hide a name, and is named where nothing else is found', async () => {
  const before = process.cwd();
  process.chdir(temporaryFolder());
  try {
    mkdirSync('albert-mini-en');
    await loads('albert-mini-en');
    mkdirSync('nothing');
    const error = await failure('CHECKPOINT', () => Albert.load('nothing'));
    expect(error.message).toMatch(/expected config.json in the model folder but found none in .*nothing/);
  } finally {
    process.chdir(before);
  }
});

test('what of a model cannot be looked at is told, and not as if there were none', async () => {
  const folder = copyModel('base');
  rmSync(path.join(folder, 'model.safetensors'));
  const readdir = jest.spyOn(fs, 'readdirSync').mockImplementation(() => {
    throw new Error('EACCES: permission denied');
  });
  try {
    const { message } = await failure('CHECKPOINT', () => Albert.load(folder));
    expect(message).toBe(`could not look at '${folder}': EACCES: permission denied`);
  } finally {
    readdir.mockRestore();
  }
  rmSync(path.join(folder, 'config.json'));
  symlinkSync('config.json', path.join(folder, 'config.json'));
  const { message } = await failure('CHECKPOINT', () => Albert.load(folder));
  expect(message).toMatch(/^could not look at '.*config.json': ELOOP/);
});

test('paths that no system takes are refused as such', async () => {
  const folder = temporaryFolder();
  symlinkSync(path.join(folder, 'circle'), path.join(folder, 'circle'));
  for (const bad of [path.join(folder, 'circle'), `${folder}/${'x'.repeat(300)}`, `${folder}/\0`]) {
    const error = await failure('CHECKPOINT', () => Albert.load(bad));
    expect(error.message).toMatch(/could not look at '.*/);
    await failure('CHECKPOINT', () => Tokenizer.load(bad));
  }
  await using model = await Albert.load(copyModel('base'));
  await failure('CHECKPOINT', () => model.save(path.join(folder, 'circle')));
  const config: Record<string, unknown> = { ...model.config };
  config.self = config;
  await failure('INVALID_ARGUMENT', () => Albert.create(config));
});

test('a name in the local Hugging Face cache, by its main branch or without one', async () => {
  const home = temporaryFolder();
  process.env.HF_HOME = home;
  delete process.env.HF_HUB_CACHE;
  const repository = path.join(home, 'hub', 'models--someone--albert-x');
  const snapshot = path.join(repository, 'snapshots', 'abc123');
  mkdirSync(path.dirname(snapshot), { recursive: true });
  cpSync(copyModel('base'), snapshot, { recursive: true });
  await loads('someone/albert-x');
  const main = path.join(repository, 'refs', 'main');
  mkdirSync(main, { recursive: true }); // no branch is recorded in a folder
  await loads('someone/albert-x');
  rmSync(main, { recursive: true });
  writeFileSync(main, 'abc123\n');
  mkdirSync(path.join(repository, 'snapshots', 'newer'));
  await loads('someone/albert-x');
  process.env.HF_HUB_CACHE = path.join(home, 'hub');
  process.env.HF_HOME = temporaryFolder();
  await loads('someone/albert-x');
  renameSync(repository, path.join(home, 'hub', 'models--albert--albert-x'));
  await loads('albert-x');
});

test('without a source, the model that the package ships answers', async () => {
  const unmask = await pipeline('fill-mask');
  const [best] = await unmask('The president spoke to the people of the United [MASK].');
  expect(best.token_str).toBe('states');
  expect(best.score).toBeGreaterThan(0.5);
  await unmask.dispose();
  const named = await Albert.load('albert-mini-en');
  expect(named.head).toBe('pretraining');
  expect(named.warnings).toEqual([]);
  await named.dispose();
});

test('the tokenizer class decides between two vocabularies', async () => {
  const folder = await tinyModel('base', {}, {});
  writeFileSync(
    path.join(folder, 'vocab.txt'),
    ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'whale'].join('\n'),
  );
  expect((await Tokenizer.load(folder)).vocabSize).toBe(1800);
  const config = JSON.parse(readFileSync(path.join(folder, 'config.json'), 'utf8')) as object;
  writeFileSync(
    path.join(folder, 'config.json'),
    JSON.stringify({ ...config, tokenizer_class: 'BertTokenizerFast' }),
  );
  expect((await Tokenizer.load(folder)).vocabSize).toBe(6);
});

test('save writes a folder that loads again with the same numbers and vocabulary', async () => {
  const folder = await tinyModel('masked-lm');
  const model = await Albert.load(folder);
  const target = path.join(temporaryFolder(), 'new', 'place');
  await model.save(target);
  const again = await Albert.load(target);
  expect(again.head).toBe('masked-lm');
  expect(again.config.architectures).toEqual(['AlbertForMaskedLM']);
  const { input_ids } = again.encode('the whale');
  const [a, b] = await Promise.all([model, again].map((each) => each.forward({ input_ids: [input_ids] })));
  expect(Array.from(b.logits!.data)).toEqual(Array.from(a.logits!.data));
  expect(again.parameters()).toEqual(model.parameters());
  await Promise.all([model.dispose(), again.dispose()]);
});

test('a folder keeps no tokenizer and no settings of a model that was saved there before', async () => {
  const [before, after] = [await tinyModel('base'), await tinyModel('base')];
  writeFileSync(path.join(before, 'vocab.txt'), ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'].join('\n'));
  writeFileSync(path.join(before, 'modules.json'), JSON.stringify([{ type: 'models.Normalize', path: '' }]));
  const folder = temporaryFolder();
  const names: string[][] = [];
  for (const origin of [before, after]) {
    const model = await Albert.load(origin);
    await model.save(folder);
    names.push(readdirSync(folder).filter((name) => ['vocab.txt', 'modules.json'].includes(name)));
    await model.dispose();
  }
  expect(names).toEqual([['modules.json', 'vocab.txt'], []]);
  expect((await Tokenizer.load(folder)).vocabSize).toBe(1800);
});

test('of models that are saved into one folder at once, the folder has one whole', async () => {
  const widths = [48, 96, 144, 192];
  const models = await Promise.all(
    widths.map((hidden_size) => Albert.create({ ...preset('tiny'), hidden_size }, { head: 'base' })),
  );
  for (let round = 0; round < 5; round++) {
    const folder = temporaryFolder();
    await Promise.all(models.map((model) => model.save(folder)));
    await loads(folder);
    expect(readdirSync(folder).sort()).toEqual(['config.json', 'model.safetensors']);
  }
  await Promise.all(models.map((model) => model.dispose()));
});

test('create is deterministic in its seed', async () => {
  const make = (seed: number) => Albert.create('tiny', { head: 'base', seed });
  const models = await Promise.all([make(1), make(1), make(2)]);
  const outputs = await Promise.all(models.map((model) => model.forward({ input_ids: [[5, 6, 7]] })));
  const [one, same, other] = outputs.map((output) => Array.from(output.pooler_output.data));
  expect(same).toEqual(one);
  expect(other).not.toEqual(one);
  await Promise.all(models.map((model) => model.dispose()));
});

test('a folder with an ONNX export alone is told apart from an empty one', async () => {
  const folder = copyModel('base');
  rmSync(path.join(folder, 'model.safetensors'));
  expect((await failure('CHECKPOINT', () => Albert.load(folder))).message).toMatch(/but found no weights$/);
  mkdirSync(path.join(folder, 'onnx'));
  const error = await failure('CHECKPOINT', () => Albert.load(folder));
  expect(error.message).toMatch(/but found onnx\/; ONNX is not read: fetch the checkpoint/);
});

test('a folder on a read-only file system is told as such', async () => {
  const refuse = (code: string) => Object.assign(new Error(code), { code });
  const mkdir = jest
    .spyOn(promises, 'mkdir')
    .mockRejectedValueOnce(refuse('ENOENT')) // as Node tells it where parents may be made, too
    .mockRejectedValueOnce(refuse('EROFS'));
  try {
    const { message } = await failure('CHECKPOINT', () => makeFolder('run'));
    expect(message).toBe('expected a writable folder at run: EROFS');
  } finally {
    mkdir.mockRestore();
  }
});
