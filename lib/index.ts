/** Everything the package exports. */
import { callNative } from './errors';
import { binding } from './native';

export { Albert } from './albert';
export type { BackwardResult, ParameterInfo } from './albert';
export type { ChosenOutputs, ForwardOptions, ForwardOutputs, OutputsOf } from './outputs';
export type { CheckpointOptions, CreateOptions, DeviceChoice, DType, Isa, LoadOptions } from './load-options';
export type { AlbertConfig, ParameterSharing } from './config';
export { AlbertError } from './errors';
export type { ErrorCode } from './errors';
export { exportOnnx } from './formats/onnx';
export type { ExportedOnnx, ExportOnnxOptions } from './formats/onnx';
export type { ForwardInputs, Sequence, SequenceBatch } from './inputs';
export type { Head } from './heads';
export { pipeline } from './pipelines';
export type * from './pipelines';
export { evaluate } from './tasks/evaluate';
export type { Confusion, EvaluateOptions, EvaluateResult, Report } from './tasks/evaluate';
export { TASK_NAMES } from './tasks';
export type { TaskDescription } from './tasks';
export { preset, PRESETS } from './presets';
export { Tensor } from './tensor';
export type { NestedNumbers } from './tensor';
export { Tokenizer } from './tokenizer';
export type { LabelledInputs, Losses } from './training/labels';
export { finetune } from './training/finetune';
export { finetuneSeeds } from './training/finetune-seeds';
export type { FinetuneResult } from './training/finetune';
export type { SeedsResult } from './training/finetune-seeds';
export { dryRun } from './training/finetune-plan';
export type { DryRun, FinetuneOptions, FinetuneProgress } from './training/finetune-plan';
export { pretrain } from './training/pretrain';
export type {
  PretrainEvaluation,
  PretrainOptions,
  PretrainProgress,
  PretrainResult,
} from './training/pretrain';
export { Trainer } from './training/trainer';
export type { Evaluation, StepResult } from './training/trainer';
export type { RateRule, TrainerOptions } from './training/trainer-options';
export type { EncodeOptions, Encoding, TextOrPair } from './tokenizer';
export { pretrainingBatches, PretrainingStream } from './training/batches';
export type { PretrainingBatch, PretrainingCursor, PretrainingDataOptions } from './training/batches';
export * as metrics from './tasks/metrics';
export { trainVocabulary } from './training/vocab';
export type { TrainVocabularyOptions } from './training/vocab';

/** Version of the native part. */
export const version = () => callNative(() => binding().version);

/** Instruction sets, cores, and the threads this process may use (affinity and cgroup quota considered). */
export const cpuInfo = () => callNative(() => binding().cpuInfo());

/** The devices a model can run on, and why one cannot be used. */
export const devices = () => callNative(() => binding().devices());
