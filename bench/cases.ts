/** What is measured, and what each measurement should reach: the whole target table as data. */
import type { DType, OutputName } from './peer';
import { random } from './statistics';

/** Key of a configuration in models.ts. */
export type ModelName = 'base' | 'outliers' | 'tiny' | 'large-6' | 'xxlarge-2' | 'head-128';

export type Work =
  /** One batch of random ids with these lengths. */
  | { kind: 'ids'; lengths: number[] }
  /** The sentence pairs of a GLUE task in batches of 32: in file order, or sorted by length first. */
  | { kind: 'pairs'; sorted: boolean }
  /** This many sentences as text, in batches of 32. */
  | { kind: 'texts'; count: number };

/** speedup (rival's time / ours) and share (of the machine's peak) are at least the value; the others at most. */
export interface Target {
  kind: 'speedup' | 'share' | 'milliseconds' | 'megabytes' | 'error' | 'error ratio';
  value: number;
}

export interface Case {
  id: string;
  /** The line of the target table that it belongs to. */
  group: string;
  model: ModelName;
  work: Work;
  dtype: DType;
  output: OutputName;
  isa: 'avx2' | null;
  rival: { peer: string; dtype: DType } | null;
  /**
   * 'time': rounds, alternating with the rival. 'error': the first batch against fp32. 'load': time until the first
   * result of fresh processes. 'memory': what that adds to their resident memory.
   */
  measure: 'time' | 'error' | 'load' | 'memory';
  targets: Target[];
  /** Part of --quick. */
  quick: boolean;
}

type Partially = Omit<Partial<Case>, 'targets'> & {
  targets?: Partial<Record<Target['kind'], number>>;
};

const repeated = (sequences: number, length: number) => Array<number>(sequences).fill(length);

/** Lengths spread evenly over 1..70, in a seeded order. */
function mixedLengths(count: number): number[] {
  const lengths = Array.from({ length: count }, (_, i) => 1 + Math.round((i * 69) / (count - 1)));
  const draw = random(70);
  for (let i = count - 1; i > 0; i--) {
    const j = Math.floor(draw() * (i + 1));
    [lengths[i], lengths[j]] = [lengths[j], lengths[i]];
  }
  return lengths;
}

function make(id: string, group: string, given: Partially): Case {
  const targets = Object.entries(given.targets ?? {}).map(([kind, value]) => ({ kind, value }) as Target);
  return {
    model: 'base',
    work: { kind: 'ids', lengths: repeated(1, 128) },
    dtype: 'fp32',
    output: 'last_hidden_state',
    isa: null,
    rival: null,
    measure: 'time',
    quick: false,
    ...given,
    id,
    group,
    targets,
  };
}

const SHAPES = [
  [1, 8],
  [1, 16],
  [1, 128],
  [8, 128],
  [32, 128],
  [1, 512],
  [8, 512],
];
const SHARE_SHAPES = ['1x128', '8x128'];
const onnxruntime = (dtype: DType) => ({ peer: 'onnxruntime', dtype });

interface Grid {
  dtype: DType;
  output: OutputName;
  rival: DType;
  shortest: number;
  speedup: (shape: string) => number;
  share?: number;
}

function grid(prefix: string, group: string, of: Grid): Case[] {
  return SHAPES.filter(([, length]) => length >= of.shortest).map(([sequences, length]) => {
    const shape = `${sequences}x${length}`;
    const share = of.share !== undefined && SHARE_SHAPES.includes(shape) ? { share: of.share } : {};
    return make(`${prefix}-${shape}`, group, {
      work: { kind: 'ids', lengths: repeated(sequences, length) },
      dtype: of.dtype,
      output: of.output,
      rival: onnxruntime(of.rival),
      targets: { speedup: of.speedup(shape), ...share },
      quick: shape === '1x128',
    });
  });
}

const ALL = { output: 'last_hidden_state', shortest: 8 } as const;
const ERROR_WORK: Work = { kind: 'ids', lengths: repeated(4, 128) };

function realText(): Case[] {
  const group = 'RTE sentence pairs in batches of 32, against padding to the longest of each batch';
  const against = (dtype: DType, sorted: boolean, speedup: number) =>
    make(`rte-${dtype}${sorted ? '-sorted' : ''}`, group, {
      work: { kind: 'pairs', sorted },
      dtype,
      rival: onnxruntime(dtype),
      targets: { speedup },
    });
  return [
    against('fp32', false, 4.5),
    against('int8', false, 4),
    against('fp32', true, 1.3),
    against('int8', true, 1.3),
  ];
}

function oddShapes(): Case[] {
  const group = 'Odd shapes in fp32, lengths 1 to 70 mixed in a batch of 20';
  return (['tiny', 'large-6', 'xxlarge-2', 'head-128'] as const).map((model) =>
    make(`odd-${model}`, group, {
      model,
      work: { kind: 'ids', lengths: mixedLengths(20) },
      rival: onnxruntime('fp32'),
      targets: { share: 0.85, speedup: 1 },
    }),
  );
}

/** Every case, in the order of the report. */
export const CASES: Case[] = [
  ...grid('fp32', 'All hidden rows in fp32, against onnxruntime fp32', {
    ...ALL,
    dtype: 'fp32',
    rival: 'fp32',
    speedup: () => 1.1,
    share: 0.95,
  }),
  ...grid('fp32-pooled', 'Pooled output in fp32, against onnxruntime fp32', {
    output: 'pooler_output',
    shortest: 128,
    dtype: 'fp32',
    rival: 'fp32',
    speedup: () => 1.18,
  }),
  ...grid('bf16', 'All hidden rows in bf16, against onnxruntime fp32', {
    ...ALL,
    dtype: 'bf16',
    rival: 'fp32',
    speedup: () => 2.2,
    share: 0.95,
  }),
  ...grid('int8', 'All hidden rows in int8, against onnxruntime dynamic int8', {
    ...ALL,
    dtype: 'int8',
    rival: 'int8',
    speedup: (shape) => (shape === '8x512' ? 1.4 : 1.28),
    share: 0.9,
  }),
  make('error-bf16', 'Relative L2 error of the last hidden state against fp32', {
    work: ERROR_WORK,
    dtype: 'bf16',
    measure: 'error',
    targets: { error: 5e-3 },
    quick: true,
  }),
  make('error-int8', 'Relative L2 error of the last hidden state against fp32', {
    work: ERROR_WORK,
    dtype: 'int8',
    measure: 'error',
    rival: onnxruntime('int8'),
    targets: { 'error ratio': 1 },
    quick: true,
  }),
  make('error-int8-outliers', 'Relative L2 error of the last hidden state against fp32', {
    model: 'outliers',
    work: ERROR_WORK,
    dtype: 'int8',
    measure: 'error',
    rival: onnxruntime('int8'),
    targets: { 'error ratio': 0.65 },
  }),
  ...realText(),
  ...oddShapes(),
  make('avx2-8x128', 'AVX2 forced', {
    work: { kind: 'ids', lengths: repeated(8, 128) },
    isa: 'avx2',
    targets: { share: 0.9 },
  }),
  make('load-fp32', 'Load and first result of 1x8 in a fresh process: at most a quarter of the time', {
    work: { kind: 'ids', lengths: [8] },
    measure: 'load',
    rival: onnxruntime('fp32'),
    targets: { speedup: 4 },
    quick: true,
  }),
  make('memory-fp32', 'Resident memory that loading and a first 1x128 add', {
    measure: 'memory',
    rival: onnxruntime('fp32'),
    targets: { megabytes: 70 },
  }),
  make('memory-int8', 'Resident memory that loading and a first 1x128 add', {
    dtype: 'int8',
    measure: 'memory',
    rival: onnxruntime('int8'),
    targets: { megabytes: 35 },
  }),
  make('embed-sst2', 'Text to mean-pooled embedding, 1,000 SST-2 sentences in batches of 32', {
    work: { kind: 'texts', count: 1000 },
    output: 'embedding',
    rival: { peer: 'transformers', dtype: 'fp32' },
    targets: { speedup: 3 },
  }),
  make('tiny-int8-1x32', 'albert-tiny in int8', {
    model: 'tiny',
    work: { kind: 'ids', lengths: [32] },
    dtype: 'int8',
    targets: { milliseconds: 0.8 },
    quick: true,
  }),
];
