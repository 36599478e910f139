/** Loads the addon and types everything it exports; explains what to type when no binary fits. */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import nodeGypBuild from 'node-gyp-build';
import { AlbertError } from './errors';

export interface NativeTensor {
  dims: number[];
  data: Float32Array;
}

/** Sequences one after another, masked tokens included. */
export interface NativeBatch {
  ids: Int32Array;
  types: Int32Array | null;
  mask: Uint8Array | null;
  /** Tokens of each sequence. */
  lengths: Int32Array;
  /** Multiple choice: sequences of one example; otherwise 0. */
  choices: number;
}

/** A batch with labels; null where a head has none of that kind. -100 takes no part. */
export interface NativeLabelledBatch extends NativeBatch {
  labels: Int32Array | null;
  /** Regression and multi-label: [B, num_labels] flat. */
  targets: Float32Array | null;
  sopLabels: Int32Array | null;
  startPositions: Int32Array | null;
  endPositions: Int32Array | null;
  isImpossible: Int32Array | null;
}

export interface NativeLosses {
  total: number;
  /** Means over `count` labels, of which `hits` were predicted. */
  parts: { name: string; mean: number; count: number; hits: number }[];
}

export interface NativeTrainingOptions {
  dtype: string;
  recompute: boolean;
  classifierDropout: number;
  classWeights: number[];
  device: string;
  isa: string | null;
  threads: number;
}

export interface NativeOptimizerOptions {
  optimizer: string;
  learningRate: number;
  warmupSteps: number;
  totalSteps: number;
  power: number;
  beta1: number;
  beta2: number;
  epsilon: number;
  weightDecay: number;
  maxGradNorm: number;
  rates: { prefix: string; factor: number; from: number }[];
}

export interface NativeTrainer {
  /** [async] One update from the mean gradient of the batches. All calls of a trainer run one at a time. */
  step(batches: NativeLabelledBatch[]): Promise<{
    step: number;
    losses: NativeLosses;
    gradNorm: number;
    learningRate: number;
    tokens: number;
  }>;
  /** [async] */
  evaluate(batch: NativeLabelledBatch): Promise<NativeLosses>;
  /** [async] Writes the state of the run, with a note, to one file. */
  save(path: string, note: string): Promise<void>;
  /** [async] */
  restore(path: string): Promise<void>;
  /** [async] The model goes on with this trainer's weights. */
  publish(model: NativeModel): Promise<void>;
  /** [async] */
  dispose(): Promise<void>;
}

export interface NativeWanted {
  last_hidden_state: boolean;
  first_hidden_state: boolean;
  mean_hidden_state: boolean;
  pooler_output: boolean;
  sop_logits: boolean;
  /** All logits of the head. */
  logits: boolean;
  hidden_states: boolean;
  attentions: boolean;
  /** Flat (sequence, position) pairs whose masked-language logits are wanted; null for every row. */
  logitsRows: Int32Array | null;
}

export interface NativeRun {
  result: Promise<Record<string, NativeTensor>>;
  /** [sync] Abandons the run between layers: it rejects with ABORTED. */
  cancel(): void;
}

export interface NativeModelOptions {
  head: string | null;
  dtype: string;
  device: string;
  isa: string | null;
  threads: number;
  /** int8: a file of calibrate(), or null. */
  calibration: string | null;
}

export interface NativeParameter {
  name: string;
  shape: number[];
}

export interface NativeModel {
  /** [sync] */
  readonly head: string;
  /** 'cpu', 'cuda', or 'cuda:1' and so on. */
  readonly device: string;
  readonly dtype: string;
  readonly isa: string;
  readonly threads: number;
  readonly batchTokens: number;
  readonly warnings: string[];
  /** Names of parameters that the checkpoint lacks and that were drawn at random. */
  readonly freshParameters: string[];
  /** num_hidden_groups, also where config.json leaves it to parameter_sharing. */
  readonly hiddenGroups: number;
  /** False when the checkpoint brought a decoder matrix of its own instead of the word table. */
  readonly tiedDecoder: boolean;
  /** [sync] Names and shapes of all parameters. */
  parameters(): NativeParameter[];
  /** [async] A copy of one parameter's values. */
  parameter(name: string): Promise<NativeTensor>;
  /** [async] Throws at once for input that does not fit the model. */
  forward(batch: NativeBatch, wanted: NativeWanted): NativeRun;
  /** [async] Writes the ranges that the inputs of products reach in these sequences. */
  calibrate(batch: NativeBatch, path: string): Promise<void>;
  /** [async] Writes the weights as one safetensors file. */
  save(path: string, dtype: 'fp32' | 'fp16'): Promise<void>;
  /** [async] Resolves when queued runs have ended and the memory is free. Calling it again resolves too. */
  dispose(): Promise<void>;
}

export interface NativeEncodeOptions {
  addSpecialTokens: boolean;
  splitSpecialTokens: boolean;
  /** 0: no limit. */
  maxLength: number;
  truncation: 'none' | 'longest_first' | 'only_first' | 'only_second';
  stride: number;
  returnOverflowing: boolean;
  /** Whether to make the token strings, which costs more than all the rest. */
  tokens: boolean;
}

export interface NativeEncoding {
  ids: Int32Array;
  types: Int32Array;
  /** [T, 2] flat. */
  offsets: Int32Array;
  /** Empty unless asked for. */
  tokens: string[];
  overflowing: NativeEncoding[];
}

export interface NativeTokenizer {
  readonly vocabSize: number;
  /** Ids by role; -1 when the vocabulary has none. */
  readonly specialTokens: Record<'pad' | 'unk' | 'cls' | 'sep' | 'mask' | 'bos' | 'eos', number>;
  /** [sync] */
  encode(text: string, pair: string | null, options: NativeEncodeOptions): NativeEncoding;
  /** [async] pairs is null, or has one entry a text (null for none). */
  encodeBatch(
    texts: string[],
    pairs: (string | null)[] | null,
    options: NativeEncodeOptions,
  ): Promise<NativeEncoding[]>;
  /** [sync] */
  decode(ids: Int32Array, skipSpecialTokens: boolean): string;
  idToToken(id: number): string;
  /** -1 when there is no such piece. */
  tokenToId(token: string): number;
}

/** Instances one after another, as flat arrays. */
export interface NativePretrainingBatch {
  ids: Int32Array;
  types: Int32Array;
  labels: Int32Array;
  /** Tokens of each instance. */
  lengths: Int32Array;
  /** 1: swapped, or with a foreign text. */
  orders: Int32Array;
  /** [n-grams, 3] first position, pieces, words; spanCounts has the n-grams of each instance. */
  spans: Int32Array;
  spanCounts: Int32Array;
  /** The cursor after the batch. */
  epoch: number;
  index: number;
}

export interface NativePretrainingOptions {
  maxLength: number;
  seed: number;
  maskedLmProbability: number;
  maxPredictions: number;
  ngram: number;
  favorShorter: boolean;
  wholeWord: boolean;
  shortSequenceProbability: number;
  sentencePairs: string;
  holdOut: number;
  /** The held-out documents, in order and masked alike in every epoch. */
  evaluation: boolean;
  /** The files are TFRecord files, not shards. */
  records: boolean;
}

export interface NativePretraining {
  /** Documents that are kept from training. */
  readonly heldOut: number;
  /** [async] Instances from a cursor on; epochs 0: endless. */
  batch(epoch: number, index: number, count: number, epochs: number): Promise<NativePretrainingBatch>;
  /** [async] Instances of an epoch. */
  size(epoch: number): Promise<number>;
}

/** What the machine can do at most: operations and bytes per second; 0 where it lacks the instruction. */
export interface NativePeak {
  fp32: number;
  bf16: number;
  int8: number;
  readBandwidth: number;
}

export interface NativeBinding {
  version: string;
  /** [sync] Holds a file or folder until the result is called; null when another process, or this one, holds it. */
  holdFile(path: string): (() => void) | null;
  cpuInfo(): { isa: string; available: string[]; cores: number; threads: number };
  devices(): {
    type: 'cpu' | 'cuda';
    index: number;
    name: string;
    available: boolean;
    reason: string | null;
  }[];
  /** [sync] Checks a configuration and lists the parameters a model of it has. */
  describe(
    configJson: string,
    configName: string,
    head: string | null,
  ): { head: string; parameters: NativeParameter[] };
  /** [async] */
  loadModel(
    configJson: string,
    configName: string,
    weightsPath: string,
    options: NativeModelOptions,
    seed: number,
    redrawMismatched: boolean,
  ): Promise<NativeModel>;
  /** [async] seed: an integer from 0 to 2^53 - 1. */
  createModel(configJson: string, seed: number, options: NativeModelOptions): Promise<NativeModel>;
  /** [async] A trainer with a copy of the model's weights. */
  createTrainer(
    model: NativeModel,
    training: NativeTrainingOptions,
    optimizer: NativeOptimizerOptions,
    seed: number,
  ): Promise<NativeTrainer>;
  /** [async] The note of a saved training state. */
  trainingNote(path: string): Promise<string>;
  /** [async] The exact loss and gradients of a batch. */
  backward(
    model: NativeModel,
    batch: NativeLabelledBatch,
    training: NativeTrainingOptions,
  ): Promise<{ losses: NativeLosses; gradients: Record<string, NativeTensor> }>;
  /** [async] The two JSON arguments are the contents of the files, empty when absent; threads is for batches. */
  loadTokenizer(
    vocabularyPath: string,
    tokenizerConfigJson: string,
    specialTokensJson: string,
    threads: number,
  ): Promise<NativeTokenizer>;
  /** A text as tokenizers prepare it for SentencePiece; without lowerCase, case and accents stay. */
  prepareText(text: string, lowerCase: boolean): string;
  /** [async] Shards of writeShard, or TFRecord files. */
  openPretraining(
    tokenizer: NativeTokenizer,
    files: string[],
    options: NativePretrainingOptions,
  ): Promise<NativePretraining>;
  /** [async] One file of tokenised documents, whole or not at all. */
  writeShard(
    path: string,
    tokens: Int32Array,
    segmentLengths: Int32Array,
    documentSegments: Int32Array,
  ): Promise<void>;
  /** [async] Keeps that many cores busy for two seconds, or briefly for a third of one, without bandwidth; for benchmarks. */
  measureCpuPeak(threads: number, isa?: 'avx2' | '', brief?: boolean): Promise<NativePeak>;
  /** For tests: the bytes outside of its heap that the garbage collector has been told of, by everybody. */
  externalMemory(): number;
}

let loaded: NativeBinding | undefined;

const COMPILE_IT =
  'It is compiled at installation where no prebuilt binary fits, which needs Python 3 and a C++17 compiler.\n' +
  'To compile it now, and see what goes wrong, type:\n' +
  '    npm rebuild albert-native --foreground-scripts\n' +
  'If your npm does not run install scripts of dependencies unasked, allow this one first ' +
  '(npm approve-scripts albert-native, or "allowScripts" in your package.json).';

/**
 * The binary with the CUDA backend beside that of the CPU, where one was built: it needs neither driver nor GPU to load, and
 * does everything the other one does. Undefined where there is none, or ALBERT_DEVICE wants none.
 */
function cudaBinary(root: string): string | undefined {
  if (process.env.ALBERT_DEVICE === 'cpu') return undefined;
  const built = path.join(root, 'build', 'cuda', 'Release', 'albert.node');
  return existsSync(built) ? built : undefined;
}

/**
 * The addon, loaded at first use so that what needs none of it (`albert --help`) works without.
 * @throws AlbertError DEVICE when no binary fits this platform, with the command that makes one, or Node may not load any.
 */
export function binding(): NativeBinding {
  if (loaded) return loaded;
  const root = path.resolve(__dirname, '..');
  try {
    const cuda = cudaBinary(root);
    loaded = (cuda ? createRequire(__filename)(cuda) : nodeGypBuild(root)) as NativeBinding;
    return loaded;
  } catch (error) {
    const { message, code } = error as NodeJS.ErrnoException;
    const remedy =
      code === 'ERR_DLOPEN_DISABLED'
        ? 'Start Node without --no-addons, or with --allow-addons where --permission restricts it.'
        : COMPILE_IT;
    throw new AlbertError(
      'DEVICE',
      `could not load the native part of albert-native for ${process.platform}-${process.arch}: ` +
        `${message.trim().split('\n')[0]}\n${remedy}`,
      { cause: error },
    );
  }
}
