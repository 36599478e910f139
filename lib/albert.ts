/** A model: loaded or created, run on ids, saved, and disposed of. */
/// <reference lib="esnext.disposable" preserve="true" />
import path from 'node:path';
import { throwIfAborted, untilAborted } from './abort';
import { type AlbertConfig, completeConfig, positionsOf, savedConfig, withSharing } from './config';
import { AlbertError, awaitNative, callNative } from './errors';
import type { Head } from './heads';
import { type ForwardInputs, inputsOf, packInputs, packPositions } from './inputs';
import { Lifetime } from './lifetime';
import {
  CHECKPOINT_OPTIONS,
  type CheckpointOptions,
  CREATE_OPTIONS,
  type CreateOptions,
  modelOptions,
} from './load-options';
import { binding, type NativeModel } from './native';
import {
  abortSignal,
  boolean,
  checkNames,
  integer,
  invalid,
  isObject,
  jsonOf,
  oneOf,
  optionsObject,
  pathString,
  string,
} from './options';
import {
  chooseOutputs,
  type ChosenOutputs,
  collectOutputs,
  FORWARD_OPTIONS,
  type ForwardOptions,
  type ForwardOutputs,
  type OutputsOf,
  wantedOutputs,
} from './outputs';
import { preset } from './presets';
import { saveModel } from './saving';
import {
  CALIBRATION_FILE,
  findCalibration,
  findTokenizer,
  findWeights,
  makeFolder,
  readConfig,
  resolveFolder,
} from './source';
import { Tensor } from './tensor';
import { LABELLED_INPUTS, type LabelledInputs, type Losses, lossesOf, packLabelled } from './training/labels';
import { type Encoding, type TextOrPair, Tokenizer } from './tokenizer';

/** One weight of a model, under its Hugging Face name. */
export interface ParameterInfo {
  name: string;
  shape: number[];
  dtype: 'float32';
}

/** The exact loss of a labelled batch and its gradient with respect to every weight, by Hugging Face name. */
export interface BackwardResult extends Losses {
  gradients: Record<string, Tensor>;
}

/** How training reaches into a model; not part of the public interface. */
export const internals = Symbol('internals');

const warned = new Set<string>();
function warnOnce(message: string): void {
  if (warned.has(message)) return;
  warned.add(message);
  process.emitWarning(message, 'AlbertWarning');
}

/** @throws AlbertError INVALID_ARGUMENT for a number that JSON would make null. */
function requireFinite(config: Partial<AlbertConfig>): void {
  for (const [name, value] of Object.entries(config))
    if (typeof value === 'number' && !Number.isFinite(value)) throw invalid('a finite number', name, value);
}

/**
 * A model in memory. Concurrent calls queue and share batches; dispose() frees it, as the garbage collector would.
 * @typeParam H its head where the code that loads it names one, and with it the outputs that forward() has.
 */
export class Albert<H extends Head = Head> {
  readonly #native: NativeModel;
  readonly #tokenizer: Tokenizer | AlbertError | null;
  readonly #life = new Lifetime(
    'expected a live model but this one has been disposed of; load it again',
    () => awaitNative(() => this.#native.dispose()),
  );
  /** Brings the weights up to date after training; null when they are. */
  #refresh: (() => Promise<void>) | null = null;
  #refreshing: Promise<void> | null = null;
  /** Saves follow each other: two into one folder would take each other's files. */
  #saving: Promise<void> = Promise.resolve();

  /** Where the model was loaded from; null for one that was created. */
  readonly folder: string | null;
  /** config.json as it stands in the file. */
  readonly config: AlbertConfig;
  readonly head: H;
  /** 'cpu', 'cuda', or 'cuda:1' and so on. */
  readonly device: string;
  readonly dtype: string;
  /** The instruction set in use. */
  readonly isa: string;
  readonly threads: number;
  /** Tokens of a batch that keep the device busy: more only make whoever comes next wait longer. */
  readonly batchTokens: number;
  /** What loading had to assume, such as parameters that the checkpoint lacks and that were drawn afresh. */
  readonly warnings: readonly string[];
  /** Parameters that the checkpoint lacks and that were drawn at random; outputs that use them mean nothing yet. */
  readonly freshParameters: readonly string[];

  private constructor(
    native: NativeModel,
    config: AlbertConfig,
    folder: string | null,
    tokenizer: Tokenizer | AlbertError | null,
    quiet = false,
  ) {
    this.#native = native;
    this.folder = folder;
    this.#tokenizer = tokenizer;
    this.config = config;
    this.head = native.head as H;
    this.device = native.device;
    this.dtype = native.dtype;
    this.isa = native.isa;
    this.threads = native.threads;
    this.batchTokens = native.batchTokens;
    this.warnings = native.warnings;
    this.freshParameters = native.freshParameters;
    if (!quiet) this.warnings.forEach(warnOnce);
  }

  /**
   * Loads a folder in Hugging Face layout, or a model that a name finds locally.
   * @throws AlbertError CHECKPOINT, INVALID_CONFIG, INVALID_ARGUMENT, DEVICE or OUT_OF_MEMORY.
   */
  static async load<H extends Head = Head>(
    source?: string,
    options?: CheckpointOptions & { head?: H },
  ): Promise<Albert<H>> {
    const given = optionsObject<CheckpointOptions>('options', options, CHECKPOINT_OPTIONS);
    const native = modelOptions(given);
    const seed = integer('seed', given.seed, { min: 0, max: Number.MAX_SAFE_INTEGER }, 0);
    const redraw = boolean('ignore_mismatched_sizes', given.ignore_mismatched_sizes, false);
    const folder = await resolveFolder(source);
    const { file, value } = await readConfig(folder);
    if (given.config != null && !isObject(given.config)) throw invalid('an object', 'config', given.config);
    requireFinite(given.config ?? {});
    const config = { ...value, ...given.config };
    const weights = findWeights(folder);
    if (native.dtype === 'int8' && given.calibration === undefined)
      native.calibration = findCalibration(folder);
    // A broken vocabulary must not keep those from the model who bring their own ids: encode() throws it.
    const tokenizer = findTokenizer(folder)
      .then(
        (files) =>
          files &&
          Tokenizer.fromFiles({ ...files, maxLength: Math.min(files.maxLength, positionsOf(config)) }),
      )
      .catch((error: unknown) => {
        if (error instanceof AlbertError) return error;
        throw error;
      });
    const [model, words] = await Promise.all([
      awaitNative(() => binding().loadModel(jsonOf('config', config), file, weights, native, seed, redraw)),
      tokenizer,
    ]);
    return new Albert(model, config, folder, words, redraw);
  }

  /**
   * A model with fresh weights: truncated normal of `initializer_range`.
   * @param config the fields of config.json, or the name of a preset such as 'base-v2' or 'tiny'.
   * @throws AlbertError INVALID_CONFIG, INVALID_ARGUMENT, DEVICE or OUT_OF_MEMORY.
   */
  static async create<H extends Head = Head>(
    config: AlbertConfig | string,
    options?: CreateOptions & { head?: H },
  ): Promise<Albert<H>> {
    const given = optionsObject<CreateOptions>('options', options, CREATE_OPTIONS);
    const native = modelOptions(given);
    const seed = integer('seed', given.seed, { min: 0, max: Number.MAX_SAFE_INTEGER }, 0);
    if (typeof config !== 'string' && !isObject(config)) {
      throw invalid('a configuration or the name of a preset', 'config', config);
    }
    const named = typeof config === 'string' ? preset(config) : config;
    requireFinite(named);
    const { parameter_sharing: sharing } = given;
    const complete = completeConfig(sharing === undefined ? named : withSharing(named, sharing), given.head);
    const model = await awaitNative(() => binding().createModel(jsonOf('config', complete), seed, native));
    return new Albert(model, complete, null, null);
  }

  /** Names, shapes and types of all weights. @throws AlbertError DISPOSED. */
  parameters(): ParameterInfo[] {
    this.#life.require();
    return this.#native.parameters().map((parameter) => ({ ...parameter, dtype: 'float32' }));
  }

  /**
   * A copy of one weight's values.
   * @param name as parameters() lists it, or 'predictions.decoder.weight' for the matrix that scores the vocabulary.
   * @throws AlbertError INVALID_ARGUMENT for a name that this model does not have, or DISPOSED.
   */
  async parameter(name: string): Promise<Tensor> {
    this.#life.require();
    if (this.#refresh) await this.#ready();
    string('name', name);
    const { dims, data } = await awaitNative(() => this.#native.parameter(name));
    return new Tensor(dims, data);
  }

  /** Most tokens a sequence may have: what the positions allow, and what the tokenizer says the model was made for. */
  get maxLength(): number {
    return Math.min(
      positionsOf(this.config),
      this.#tokenizer instanceof Tokenizer ? this.#tokenizer.maxLength : Infinity,
    );
  }

  /** @throws AlbertError TOKENIZER when the model came without a vocabulary, or with a broken one. */
  get tokenizer(): Tokenizer {
    if (this.#tokenizer instanceof Tokenizer) return this.#tokenizer;
    if (this.#tokenizer) throw this.#tokenizer;
    throw new AlbertError(
      'TOKENIZER',
      this.folder
        ? `expected spiece.model, tokenizer.json or vocab.txt in ${this.folder}`
        : 'expected a model that was loaded with a vocabulary; a created one has none until it is saved beside one and loaded',
    );
  }

  /**
   * Runs the model on ids of B sequences; positions keep their index, masked or not.
   * @returns outputs keyed as Hugging Face keys them, padded to the longest sequence; masked rows hold zeros.
   * @throws AlbertError INVALID_ARGUMENT, OUT_OF_VOCABULARY, TOO_LONG, OUT_OF_MEMORY, ABORTED, DISPOSED, or CHECKPOINT where
   *   something was written into the weights' file.
   */
  async forward(
    inputs: ForwardInputs,
    options?: ForwardOptions & { outputs?: undefined },
  ): Promise<OutputsOf<H>>;
  async forward<N extends keyof ForwardOutputs>(
    inputs: ForwardInputs,
    options: ForwardOptions & { outputs: readonly N[] },
  ): Promise<ChosenOutputs<N>>;
  async forward(inputs: ForwardInputs, options?: ForwardOptions): Promise<ForwardOutputs>;
  async forward(inputs: ForwardInputs, options?: ForwardOptions): Promise<ForwardOutputs> {
    this.#life.require();
    const given = optionsObject<ForwardOptions>('options', options, FORWARD_OPTIONS);
    const signal = abortSignal(given.signal);
    if (this.#refresh) await untilAborted(signal, () => this.#ready());
    throwIfAborted(signal);
    const names = chooseOutputs(this.head, given);
    const batch = packInputs(inputs, this.head === 'multiple-choice');
    checkNames('inputs', inputs, LABELLED_INPUTS);
    const rows = given.positions === undefined ? null : packPositions(given.positions, batch.lengths);
    const run = callNative(() => this.#native.forward(batch, wantedOutputs(this.head, names, rows)));
    const result = await untilAborted(
      signal,
      () => awaitNative(() => run.result),
      () => run.cancel(),
    );
    return collectOutputs(result, names);
  }

  /**
   * The exact loss of a labelled batch and all gradients, in fp32 and without dropout; nothing is updated.
   * @param inputs ids as for forward(), and the labels of this head as Hugging Face calls them.
   * @throws AlbertError INVALID_ARGUMENT, OUT_OF_VOCABULARY, TOO_LONG, OUT_OF_MEMORY or DISPOSED.
   */
  async backward(inputs: LabelledInputs): Promise<BackwardResult> {
    return this.#life.hold(() => this.#backward(inputs));
  }

  async #backward(inputs: LabelledInputs): Promise<BackwardResult> {
    if (this.#refresh) await this.#ready();
    const batch = packLabelled(inputs, this.head, this.config);
    const training = {
      dtype: 'fp32',
      recompute: false,
      classifierDropout: 0,
      classWeights: [],
      device: this.device,
      isa: this.device === 'cpu' ? this.isa : null,
      threads: this.threads,
    };
    const { losses, gradients } = await awaitNative(() => binding().backward(this.#native, batch, training));
    const tensors = Object.entries(gradients).map(([name, { dims, data }]) => [name, new Tensor(dims, data)]);
    return { ...lossesOf(losses), gradients: Object.fromEntries(tensors) as Record<string, Tensor> };
  }

  /**
   * Writes how far the inputs of this model's products reach on texts like those it will serve, for `dtype: 'int8'` to be
   * fitted to. A few hundred texts are enough; the model must be in fp32 on the CPU.
   * @param options `output`: the file; default calibration.safetensors in the model's folder, where load() finds it.
   * @returns the file.
   * @throws AlbertError INVALID_ARGUMENT, TOKENIZER, CHECKPOINT when the file cannot be written, or DISPOSED.
   */
  async calibrate(texts: readonly TextOrPair[], options?: { output?: string }): Promise<string> {
    return this.#life.hold(() => this.#calibrate(texts, options));
  }

  async #calibrate(texts: readonly TextOrPair[], options?: { output?: string }): Promise<string> {
    if (this.#refresh) await this.#ready();
    const { output } = optionsObject<{ output?: string }>('options', options, { output: true });
    const folder = output === undefined ? this.folder : path.dirname(pathString('output', output));
    if (folder === null) throw invalid('a file', 'output of a model that was created', output);
    if (!Array.isArray(texts) || texts.length === 0)
      throw invalid('a non-empty array of texts', 'texts', texts);
    const file = output ?? path.join(folder, CALIBRATION_FILE);
    const encodings = await this.tokenizer.encodeRaw(texts, {
      maxLength: this.maxLength,
      truncation: 'longest_first',
    });
    await makeFolder(folder);
    await awaitNative(() => this.#native.calibrate(packInputs(inputsOf(encodings), false), file));
    return file;
  }

  /**
   * Ids of a text or pair, cut to `max_length` (default: what the model takes).
   * @throws AlbertError TOKENIZER when the model has no vocabulary, or DISPOSED.
   */
  encode(text: TextOrPair, options?: { max_length?: number }): Encoding {
    this.#life.require();
    const { max_length } = optionsObject<{ max_length?: number }>('options', options, { max_length: true });
    return this.tokenizer.encode(text, {
      max_length: max_length ?? this.maxLength,
      truncation: 'longest_first',
    });
  }

  /**
   * Writes config.json, model.safetensors and the tokenizer's files: a folder that loads here and in Hugging Face. Waits while
   * another model is saved there.
   * @param options `dtype: 'fp16'` rounds the weights to half the size; the default, 'fp32', keeps them.
   * @throws AlbertError CHECKPOINT when the folder cannot be written.
   */
  async save(folder: string, options?: { dtype?: 'fp32' | 'fp16' }): Promise<void> {
    return this.#life.hold(() => this.#saveInTurn(folder, options));
  }

  #saveInTurn(folder: string, options?: { dtype?: 'fp32' | 'fp16' }, beside = async () => {}): Promise<void> {
    const saving = this.#saving.then(() => this.#save(folder, options, beside));
    this.#saving = saving.catch(() => {});
    return saving;
  }

  async #save(
    folder: string,
    options: { dtype?: 'fp32' | 'fp16' } | undefined,
    beside: () => Promise<void>,
  ): Promise<void> {
    if (this.#refresh) await this.#ready();
    pathString('folder', folder);
    const given = optionsObject<{ dtype?: 'fp32' | 'fp16' }>('options', options, { dtype: true });
    const dtype = oneOf('dtype', given.dtype, ['fp32', 'fp16'] as const, 'fp32');
    await saveModel(this.#native, this.savedConfig(), dtype, this.folder, folder, beside);
  }

  /** config.json as save() and exports write it. */
  savedConfig(): AlbertConfig {
    return savedConfig(this.config, this.#native);
  }

  /**
   * Resolves when what runs has ended, calls of pipelines and saving included, and the memory is free; afterwards every call
   * rejects with DISPOSED.
   */
  dispose(): Promise<void> {
    return this.#life.end();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }

  /**
   * The addon's model; how a trainer marks its weights as out of date, and brings them up to date; saving with more
   * beside it, for whoever holds the model; and a run of several calls that dispose() waits for.
   * @throws AlbertError DISPOSED.
   */
  [internals]() {
    this.#life.require();
    return {
      native: this.#native,
      outdate: (refresh: () => Promise<void>) => (this.#refresh = refresh),
      update: () => this.#ready(),
      save: (folder: string, beside: () => Promise<void>) => this.#saveInTurn(folder, undefined, beside),
      hold: <T>(work: () => Promise<T>) => this.#life.hold(work),
    };
  }

  // Waits for the weights of the last step that ended before this call; those that end meanwhile are for the next one.
  // Concurrent calls wait together, and once more where they waited for the weights of another trainer.
  async #ready(): Promise<void> {
    const asked = this.#refresh;
    while (asked && this.#refresh === asked) {
      this.#refreshing ??= asked()
        .then(() => {
          if (this.#refresh === asked) this.#refresh = null;
        })
        .finally(() => (this.#refreshing = null));
      await this.#refreshing;
      this.#life.require();
    }
  }
}
