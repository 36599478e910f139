/** Opens a run of pre-training: a new one, or the one that a folder holds when it is of the same kind. */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { Albert } from '../albert';
import { AlbertError } from '../errors';
import { invalid, isObject } from '../options';
import { preset } from '../presets';
import type { AlbertConfig } from '../config';
import { findTokenizer, SETTINGS_FILES } from '../source';
import type { Tokenizer } from '../tokenizer';
import type { PretrainingCursor, PretrainingDataOptions } from './batches';
import type { PretrainOptions } from './pretrain';
import type { Done } from './steps';
import { disposeBoth, Trainer } from './trainer';
import { checkTrainerOptions, type TrainerOptions } from './trainer-options';

/** Of the release, for batches of 4,096. */
const USUAL_RATE = 0.00176;

/** What a checkpoint adds to the trainer's state. */
export interface Progress extends Done {
  /** The share of documents that the run keeps from training; absent in checkpoints of earlier versions. */
  holdOut?: number;
  /** How instances are made, as asked for. */
  data?: Partial<PretrainingDataOptions>;
  cursor: PretrainingCursor;
}

/** The files of a vocabulary and its settings, and where they lie beside a model. */
export function vocabularyFiles({ file }: Tokenizer, output: string): { from: string; to: string }[] {
  const folder = path.dirname(file);
  const name = { '.json': 'tokenizer.json', '.txt': 'vocab.txt' }[path.extname(file)] ?? 'spiece.model';
  return [{ from: file, name }, ...SETTINGS_FILES.map((one) => ({ from: path.join(folder, one), name: one }))]
    .map(({ from, name: beside }) => ({ from: path.resolve(from), to: path.resolve(output, beside) }))
    .filter(({ from }) => existsSync(from));
}

/** @throws AlbertError INVALID_ARGUMENT where a run has another vocabulary. */
async function checkVocabulary(tokenizer: Tokenizer, output: string): Promise<void> {
  const own = await findTokenizer(output);
  const [vocabulary, ...settings] = vocabularyFiles(tokenizer, output);
  const pairs = [{ from: vocabulary.from, to: own?.vocabulary ?? vocabulary.to }, ...settings];
  for (const { from, to } of pairs) {
    if (!existsSync(to) || (await readFile(from)).equals(await readFile(to))) continue;
    throw new AlbertError(
      'INVALID_ARGUMENT',
      `expected the vocabulary of the run in ${output} but ${from} is another; choose another output`,
    );
  }
}

/** Fields of a configuration that saving or the vocabulary decides. */
const DECIDED_HERE = ['vocab_size', 'torch_dtype', 'dtype', 'num_hidden_groups', 'transformers_version'];

/** Throws where a given configuration is not the one of the model that a run trains. */
function checkConfiguration(given: Partial<PretrainOptions>, trained: AlbertConfig, output: string): void {
  if (given.config === undefined) return;
  const config: AlbertConfig = typeof given.config === 'string' ? preset(given.config) : given.config;
  for (const [name, value] of Object.entries(config)) {
    const own = trained[name] ?? (name === 'parameter_sharing' ? 'all' : value);
    const isPlain = ['number', 'string', 'boolean'].includes(typeof value);
    if (DECIDED_HERE.includes(name) || !isPlain || own === value) continue;
    throw new AlbertError(
      'INVALID_ARGUMENT',
      `expected the configuration of the run in ${output}, whose ${name} is ${String(own)}, but received ${String(value)}; choose another output`,
    );
  }
}

/** What a checkpoint of pretrain() says about its run. @throws AlbertError CHECKPOINT for one of something else. */
function progressOf(extra: unknown, output: string): Progress {
  const { step, cursor, tokens, seconds } = (extra ?? {}) as Partial<Progress>;
  if (![step, cursor?.epoch, cursor?.index, tokens, seconds].every((value) => typeof value === 'number'))
    throw new AlbertError(
      'CHECKPOINT',
      `expected a run of pretrain() in ${output} but its checkpoint is of a trainer of another kind; choose another output`,
    );
  return extra as Progress;
}

async function startingModel(
  options: Partial<PretrainOptions>,
  vocabSize: number,
  seed: number,
): Promise<Albert> {
  const { threads, isa, device } = options;
  if (options.model !== undefined) {
    if (options.config !== undefined)
      throw invalid('either a model or a configuration', 'config', options.config);
    const model = await Albert.load(options.model, { head: 'pretraining', threads, isa, device });
    if (model.config.vocab_size !== vocabSize) {
      throw new AlbertError(
        'INVALID_CONFIG',
        `expected a vocabulary of ${model.config.vocab_size} pieces, as the model has, but received ${vocabSize}`,
      );
    }
    return model;
  }
  const given = options.config;
  if (typeof given !== 'string' && !isObject(given))
    throw invalid('a configuration, the name of a preset, or a model', 'config', given);
  const config = { ...(typeof given === 'string' ? preset(given) : given), vocab_size: vocabSize };
  return Albert.create(config, { head: 'pretraining', seed, threads, isa, device });
}

/** A new run from a configuration or from another model's weights. */
export async function beginRun(
  given: Partial<PretrainOptions>,
  changes: Partial<TrainerOptions>,
  { tokenizer, seed }: { tokenizer: Tokenizer; seed: number },
): Promise<{ trainer: Trainer; progress: null }> {
  const options = { learningRate: USUAL_RATE, ...changes, seed } as TrainerOptions;
  checkTrainerOptions(options);
  const model = await startingModel(given, tokenizer.vocabSize, seed);
  const trainer = new Trainer(model, options);
  try {
    await trainer.ready();
    return { trainer, progress: null };
  } catch (error) {
    await model.dispose();
    throw error;
  }
}

/** The run in a folder, which must be one of the same vocabulary, configuration and share of documents held out. */
export async function continueRun(
  given: Partial<PretrainOptions>,
  changes: Partial<TrainerOptions>,
  { output, tokenizer }: { output: string; tokenizer: Tokenizer },
): Promise<{ trainer: Trainer; progress: Progress }> {
  await checkVocabulary(tokenizer, output);
  const trainer = await Trainer.resume(output, changes);
  try {
    const progress = progressOf(trainer.extra, output);
    checkConfiguration(given, trainer.model.config, output);
    const { holdOut } = progress;
    if (given.holdOut !== undefined && holdOut !== undefined && given.holdOut !== holdOut)
      throw invalid(`${holdOut}, as the run in ${output} was started with,`, 'holdOut', given.holdOut);
    const { totalSteps } = trainer.options;
    if (progress.step > totalSteps!) {
      const made = `at least the ${progress.step} steps that the run in ${output} has made`;
      throw invalid(made, 'totalSteps', totalSteps);
    }
    return { trainer, progress };
  } catch (error) {
    await disposeBoth(trainer);
    throw error;
  }
}
