/** Options that nobody reads, or that contradict each other, are refused wherever options go. */
import path from 'node:path';
import {
  Albert,
  dryRun,
  evaluate,
  exportOnnx,
  finetune,
  finetuneSeeds,
  pipeline,
  preset,
  pretrain,
  pretrainingBatches,
  Tokenizer,
  Trainer,
  trainVocabulary,
} from '../lib';
import { goldenModel, temporaryFolder } from './support/data';
import { write } from './support/datasets';
import { failure } from './support/errors';
import { tinyModel } from './support/tiny';

/** Calls in JavaScript, where no compiler looks at the names. */
type Loose = (...args: unknown[]) => Promise<unknown>;
const loose = (call: unknown) => call as Loose;

let model: Albert;
beforeAll(async () => (model = await Albert.load(goldenModel('masked-lm'))));
afterAll(() => model.dispose());

test.each<[name: string, call: () => unknown]>([
  ['Albert.load', () => Albert.load(goldenModel('masked-lm'), { misspelt: 1 } as never)],
  ['Albert.create', () => Albert.create('tiny', { misspelt: 1 } as never)],
  ['forward', () => loose(model.forward.bind(model))({ input_ids: [[2, 3]] }, { misspelt: 1 })],
  ['inputs of forward', () => loose(model.forward.bind(model))({ input_ids: [[2, 3]], misspelt: [[0, 0]] })],
  [
    'inputs of backward',
    () => loose(model.backward.bind(model))({ input_ids: [[2, 3]], labels: [[2, 3]], misspelt: [[0, 0]] }),
  ],
  ['encode', async () => (await Tokenizer.load('albert-mini-en')).encode('text', { misspelt: 1 } as never)],
  ['save', () => loose(model.save.bind(model))(temporaryFolder(), { misspelt: 1 })],
  ['pipeline', () => loose(pipeline)('fill-mask', undefined, { misspelt: 1 })],
  ['a call of a pipeline', async () => loose(await pipeline('fill-mask'))('a [MASK]', { misspelt: 1 })],
  ['Trainer', () => new Trainer(model, { learningRate: 1, totalSteps: 1, misspelt: 1 } as never)],
  [
    'a rule of rates',
    () =>
      new Trainer(model, { learningRate: 1, totalSteps: 1, rates: [{ prefix: '', misspelt: 1 } as never] }),
  ],
  ['pretrainingBatches', () => loose(() => pretrainingBatches({ misspelt: 1 } as never).next())()],
  ['pretrain', () => loose(pretrain)({ misspelt: 1 })],
  ['finetune', () => loose(finetune)({ misspelt: 1 })],
  ['dryRun', () => loose(dryRun)({ misspelt: 1 })],
  ['evaluate', () => loose(evaluate)({ misspelt: 1 })],
  ['trainVocabulary', () => loose(trainVocabulary)({ misspelt: 1 })],
  ['exportOnnx', () => loose(exportOnnx)(model, temporaryFolder(), { misspelt: 1 })],
])('%s refuses a name that it does not know, and lists those that it does', async (_name, call) => {
  const error = await failure('INVALID_ARGUMENT', call);
  expect(error.message).toMatch(/^expected one of '.*' in .* but received 'misspelt'$/);
});

const torn = {}; // has no text
Object.setPrototypeOf(torn, null);
const unnamed: unknown = Object.setPrototypeOf(new Uint8Array(1), null);
const deaf = { aborted: false, addEventListener: () => {} };
const hole = new Array(2 ** 32 - 1);

test.each<[name: string, call: () => unknown, expected: RegExp]>([
  ['a task', () => loose(pipeline)([torn]), /for task but received an array of 1/],
  ['a preset', () => preset(torn as never), /for the preset but received an object without fields/],
  ['a folder', () => model.save(''), /a path for folder but received ''/],
  [
    'inputs',
    () => loose(model.forward.bind(model))({ ids: 1, mask: 2 }),
    /received an object with ids, mask$/,
  ],
  ['data', () => loose(evaluate)({ task: 'sst-2', data: 5, model }), /a string for data but received 5/],
  // What is wrong is said before the data is looked for.
  [
    'a limit of evaluate()',
    () => evaluate({ task: 'squad-1.1', data: 'none', model, maxAnswerLength: 0 }),
    /of at least 1 for maxAnswerLength but received 0/,
  ],
  [
    'a length of evaluate()',
    () => evaluate({ task: 'sst-2', data: 'none', model, maxLength: 4 }),
    /of at least 8 for maxLength but received 4/,
  ],
  [
    'how evaluate() loads',
    () => loose(evaluate)({ task: 'sst-2', data: 'none', model: 'albert-mini-en', dtype: 'fp8' }),
    /for dtype but received 'fp8'/,
  ],
  [
    'seeds',
    () => loose(finetuneSeeds)({ task: 'sst-2', model: 'albert-mini-en', output: temporaryFolder() }, 5),
    /an array of different seeds, at least one, for seeds but received 5/,
  ],
  [
    'a seed',
    () => loose(finetuneSeeds)({ task: 'sst-2', model: 'albert-mini-en', output: temporaryFolder() }, ['1']),
    /an integer of at least 0 for seeds\[0\] but received '1'/,
  ],
  ['an array without a class', () => loose(model.save.bind(model))(unnamed), /for folder but received a/],
  [
    'a signal that cannot be let go of',
    () => loose(model.forward.bind(model))({ input_ids: [[2]] }, { signal: deaf }),
    /an AbortSignal for signal/,
  ],
  [
    'rates that are not there',
    () => new Trainer(model, { learningRate: 1, totalSteps: 1, rates: hole as never }),
    /for rates\[0\].prefix but received undefined/,
  ],
  [
    'rates of no parameter',
    () => new Trainer(model, { learningRate: 1, totalSteps: 1, rates: [{ prefix: 'encoder.', factor: 0 }] }),
    /a name like 'albert\..*' for rates\[0\].prefix but received 'encoder.'/,
  ],
  [
    'weights that are not there',
    () => new Trainer(model, { learningRate: 1, totalSteps: 1, classWeights: hole as never }),
    /for classWeights\[0\] but received undefined/,
  ],
  [
    'what pretrain() tells its progress',
    () => loose(pretrain)({ output: temporaryFolder(), onProgress: 5 }),
    /a function for onProgress but received 5/,
  ],
  [
    'what evaluate() tells its progress',
    () => loose(evaluate)({ task: 'sst-2', model, onProgress: 5 }),
    /a function for onProgress but received 5/,
  ],
])('%s of a wrong type is refused', async (_name, call, expected) => {
  expect((await failure('INVALID_ARGUMENT', call)).message).toMatch(expected);
});

test('a field without a value is no field, and options of transformers.js about downloads have no effect', async () => {
  const options = {
    misspelt: undefined,
    progress_callback: () => {},
    revision: 'main',
    local_files_only: true,
  };
  const unmask = (await loose(pipeline)('fill-mask', undefined, options)) as Loose & {
    dispose: () => Promise<void>;
  };
  expect(await unmask('Paris is a [MASK].', { top_k: 1 })).toHaveLength(1);
  await unmask.dispose();
});

describe('descriptions of tasks', () => {
  const dry = (description: object, options: object = {}) => {
    const folder = temporaryFolder();
    write(folder, 'train.jsonl', ...choices(2, 2, 3));
    write(folder, 'dev.jsonl', ...choices(2, 3));
    const task = {
      type: 'multiple-choice',
      files: { train: 'train.jsonl', dev: 'dev.jsonl' },
      ...description,
    };
    const given = {
      task,
      data: folder,
      model: 'albert-mini-en',
      output: path.join(folder, 'out'),
      ...options,
    };
    return loose(dryRun)(given);
  };
  const choices = (...counts: number[]) =>
    counts.map((count) =>
      JSON.stringify({ context: 'a', question: 'b', choices: Array(count).fill('c'), label: 0 }),
    );

  test.each([
    [{ colums: {} }, /in a description but received 'colums'/],
    [{ columns: true }, /expected an object for columns but received true/],
    [{ columns: { context: {} } }, /the name or number of a column for columns.context/],
    [{ metrics: null }, /a non-empty array of strings for metrics but received null/],
    [{ columns: { sentence: 'context' } }, /expected one of 'context'.*in columns but received 'sentence'/],
    [{ defaults: { learning_rate: 1 } }, /in defaults but received 'learning_rate'/],
    [{ defaults: { warmup: 10 } }, /expected a number from 0 to 1 for defaults.warmup but received 10/],
    [{ defaults: { epochs: 0 } }, /defaults.epochs but received 0/],
  ])('%j', async (description, message) => {
    expect((await failure('INVALID_ARGUMENT', () => dry(description))).message).toMatch(message);
  });

  test.each([
    [{ steps: 2, epochs: 1 }, /expected no epochs, as steps are given/],
    [{ batchSize: 2, batchTokens: 100 }, /expected no batchSize, as batchTokens are given/],
    [{ epochs: 0 }, /for epochs but received 0/],
    [{ onProgress: 5 }, /a function for onProgress but received 5/],
    [{ onScoring: 5 }, /a function for onScoring but received 5/],
    [{ maxAnswerLength: 0 }, /an integer of at least 1 for maxAnswerLength but received 0/],
  ])('%j', async (options, message) => {
    const files = { train: 'dev.jsonl', dev: 'dev.jsonl' };
    const fits = { type: 'multiple-choice', files: { ...files, train: 'one.jsonl', dev: 'one.jsonl' } };
    const folder = temporaryFolder();
    write(folder, 'one.jsonl', ...choices(2));
    const error = await failure('INVALID_ARGUMENT', () => dry(fits, { data: folder, ...options }));
    expect(error.message).toMatch(message);
  });

  test('training examples with different numbers of choices are found before training', async () => {
    const error = await failure('DATA', () => dry({}));
    expect(error.message).toBe(
      "expected 2 choices in every training example, as in the first, but '2' has 3",
    );
  });
});

test('label weights must leave a label', async () => {
  const classifier = await Albert.load(await tinyModel('sequence-classification'));
  const make = () => new Trainer(classifier, { learningRate: 1, totalSteps: 1, classWeights: [0, 0] });
  expect((await failure('INVALID_ARGUMENT', make)).message).toMatch(/a weight above 0 for classWeights/);
  await classifier.dispose();
});
