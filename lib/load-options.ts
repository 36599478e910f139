/** How models are loaded and made, and where and how exactly they run. */
import type { AlbertConfig, ParameterSharing } from './config';
import { type Head, HEADS } from './heads';
import { integer, invalid, type Names, oneOf, pathString } from './options';

export const DTYPES = ['fp32', 'bf16', 'int8'] as const;
/** Precision of the packed weights. */
export type DType = (typeof DTYPES)[number];

/** The CPU, the first NVIDIA GPU or one by its number, or the first GPU where there is one that can be used. */
export type DeviceChoice = 'auto' | 'cpu' | 'cuda' | `cuda:${number}`;

/** A device by name; `fallback` where none is given. */
export function device(subject: string, value: unknown, fallback: string): string {
  if (value === undefined) return fallback;
  if (typeof value === 'string' && /^(auto|cpu|cuda(:\d{1,3})?)$/.test(value)) return value;
  throw invalid("'auto', 'cpu', 'cuda' or the like of 'cuda:1'", subject, value);
}

export const ISAS = [
  'scalar',
  'avx2',
  'avx_vnni',
  'avx512',
  'avx512_base',
  'avx512_vnni',
  'avx512_bf16',
  'neon',
  'neon_base',
  'neon_dotprod',
  'neon_bf16',
] as const;
/** An instruction set of the CPU kernels; `avx512` and `neon` mean the best of their family that the processor has. */
export type Isa = (typeof ISAS)[number];

/** How a model is loaded and where it runs. */
export interface LoadOptions {
  /** Default: what `architectures` in config.json names. */
  head?: Head;
  /** Default 'fp32'. */
  dtype?: DType;
  /** Default 'auto'; the environment variable ALBERT_DEVICE overrides that default. */
  device?: DeviceChoice;
  /** Default: the cores this process may use, aware of affinity and cgroup quota. */
  threads?: number;
  /** Default: the best this machine has; the environment variable ALBERT_CPU_ISA overrides that default. */
  isa?: Isa;
  /**
   * int8 only: a file that calibrate() wrote, to fit the weights to the texts it saw. Default: calibration.safetensors in the
   * model's folder where there is one; false leaves it out.
   */
  calibration?: string | false;
}

/** Where a model runs and how exactly: all of LoadOptions but the head. */
export const RUN_OPTIONS: Names<Omit<LoadOptions, 'head'>> = {
  dtype: true,
  device: true,
  threads: true,
  isa: true,
  calibration: true,
};
export const LOAD_OPTIONS: Names<LoadOptions> = { head: true, ...RUN_OPTIONS };

/** LoadOptions as the addon takes them. */
export function modelOptions(options: Partial<LoadOptions>) {
  const { calibration } = options;
  return {
    head: oneOf('head', options.head, HEADS, null),
    dtype: oneOf('dtype', options.dtype, DTYPES, 'fp32'),
    device: device(
      'device',
      options.device,
      device('ALBERT_DEVICE', process.env.ALBERT_DEVICE || undefined, 'auto'),
    ),
    isa: oneOf('isa', options.isa, ISAS, null),
    threads: integer('threads', options.threads, { min: 1, max: 1024 }, 0),
    calibration:
      calibration === undefined || calibration === false ? null : pathString('calibration', calibration),
  };
}

/** How a checkpoint is loaded that was made for another task. */
export interface CheckpointOptions extends LoadOptions {
  /** Fields that replace those of config.json, such as id2label, problem_type or hidden_dropout_prob. */
  config?: Partial<AlbertConfig>;
  /**
   * For training: draws parameters of the head afresh where the checkpoint has them in another shape, and warns of no fresh
   * ones. Default false.
   */
  ignore_mismatched_sizes?: boolean;
  /** Of parameters that are drawn afresh. Default 0. */
  seed?: number;
}

export interface CreateOptions extends LoadOptions {
  /** An integer from 0 to 2^53 - 1; the same seed gives the same weights. Default 0. */
  seed?: number;
  /** What the layers share, in place of what the configuration says. */
  parameter_sharing?: ParameterSharing;
}

export const CHECKPOINT_OPTIONS: Names<CheckpointOptions> = {
  ...LOAD_OPTIONS,
  config: true,
  ignore_mismatched_sizes: true,
  seed: true,
};
export const CREATE_OPTIONS: Names<CreateOptions> = { ...LOAD_OPTIONS, seed: true, parameter_sharing: true };
