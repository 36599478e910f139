/** albert bench: how long a model takes on this machine, by precision, sequences and tokens. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { Albert } from '../albert';
import { positionsOf } from '../config';
import { AlbertError } from '../errors';
import { type DType, DTYPES, type LoadOptions } from '../load-options';
import { progressBar } from './progress';
import { DEVICE_FLAG, isPreset, print, printJson, printTable, real, THREADS_FLAG } from './shared';

type Flags = Pick<LoadOptions, 'device' | 'threads'> & {
  dtype?: DType;
  shapes: Shape[];
  seconds: number;
  json?: boolean;
};

/** B sequences of S tokens. */
interface Shape {
  sequences: number;
  tokens: number;
}

/** Times of one pass over a batch. */
interface Timing {
  dtype: string;
  device: string;
  sequences: number;
  tokens: number;
  runs: number;
  /** Median and 95th percentile. */
  milliseconds: number;
  milliseconds_95: number;
  tokens_per_second: number;
}

/** Of a batch; what is more has no place in memory. */
const MOST_TOKENS = 1 << 24;

const USUAL_TEXT = '1x16 1x128 8x128';
const USUAL = USUAL_TEXT.split(' ').map(shapeOf);
const WARM_SHARE = 0.2;
const LEAST_RUNS = 5;
const LEAST_WARM_RUNS = 2;

function shapeOf(value: string): Shape {
  const found = /^(\d+)x(\d+)$/.exec(value);
  const [sequences, tokens] = found ? found.slice(1).map(Number) : [0, 0];
  if (sequences < 1 || tokens < 1)
    throw new InvalidArgumentError("expected sequences and tokens like '8x128'");
  if (sequences * tokens > MOST_TOKENS)
    throw new InvalidArgumentError(`expected at most ${MOST_TOKENS} tokens in all`);
  return { sequences, tokens };
}

// Commander passes what it has collected so far, the default at first.
function shapes(value: string, before: Shape[]): Shape[] {
  return [...(before === USUAL ? [] : before), shapeOf(value)];
}

function open(source: string | undefined, options: LoadOptions): Promise<Albert> {
  return source !== undefined && isPreset(source)
    ? Albert.create(source, options)
    : Albert.load(source, options);
}

async function timesOf(work: () => Promise<unknown>, seconds: number, leastRuns: number): Promise<number[]> {
  const times: number[] = [];
  const end = performance.now() + seconds * 1e3;
  while (performance.now() < end || times.length < leastRuns) {
    const begin = performance.now();
    await work();
    times.push(performance.now() - begin);
  }
  return times.sort((a, b) => a - b);
}

async function time(model: Albert, { sequences, tokens }: Shape, seconds: number): Promise<Timing> {
  const pieces = model.config.vocab_size as number;
  // Any ids do: the work does not depend on them.
  const row = (sequence: number) =>
    Int32Array.from({ length: tokens }, (_, i) => (7919 * (i + sequence)) % pieces);
  const input_ids = Array.from({ length: sequences }, (_, sequence) => row(sequence));
  const run = () => model.forward({ input_ids }, { outputs: ['last_hidden_state'] });
  await timesOf(run, WARM_SHARE * seconds, LEAST_WARM_RUNS);
  const times = await timesOf(run, seconds, LEAST_RUNS);
  const at = (share: number) => times[Math.min(times.length - 1, Math.floor(share * times.length))];
  return {
    dtype: model.dtype,
    device: model.device === 'cpu' ? `cpu ${model.isa}` : model.device,
    sequences,
    tokens,
    runs: times.length,
    milliseconds: at(0.5),
    milliseconds_95: at(0.95),
    tokens_per_second: (sequences * tokens) / (at(0.5) / 1e3),
  };
}

async function bench(source: string | undefined, flags: Flags): Promise<Timing[]> {
  const dtypes = flags.dtype ? [flags.dtype] : DTYPES;
  const bar = progressBar(dtypes.length * flags.shapes.length);
  const timings: Timing[] = [];
  try {
    for (const dtype of dtypes) {
      const { device, threads } = flags;
      if (!flags.dtype && dtype === 'int8' && device?.startsWith('cuda')) continue; // not on a GPU
      const model = await open(source, { head: 'base', dtype, device, threads });
      try {
        const positions = positionsOf(model.config);
        const longest = Math.max(...flags.shapes.map(({ tokens }) => tokens));
        if (longest > positions)
          throw new AlbertError(
            'TOO_LONG',
            `expected at most ${positions} tokens in --shapes but received ${longest}`,
          );
        for (const shape of flags.shapes) {
          timings.push(await time(model, shape, flags.seconds));
          bar.update(timings.length, `${dtype} ${shape.sequences} x ${shape.tokens}`);
        }
      } finally {
        await model.dispose();
      }
    }
  } finally {
    bar.stop();
  }
  return timings;
}

export function addBench(program: Command): void {
  program
    .command('bench [model]')
    .description("time a model's encoder on this machine; a preset such as 'base-v2' takes random weights")
    .addOption(
      new Option('--dtype <dtype>', 'precision of the weights; default: each in turn').choices(DTYPES),
    )
    .addOption(
      new Option('--shapes <BxS...>', 'sequences x tokens').argParser(shapes).default(USUAL, USUAL_TEXT),
    )
    .option('--seconds <seconds>', 'for each line', real, 2)
    .addOption(DEVICE_FLAG)
    .addOption(THREADS_FLAG)
    .option('--json', 'print JSON, one line a shape')
    .addHelpText(
      'after',
      '\nExamples:\n  $ albert bench base-v2\n  $ albert bench ./albert-base-v2 --dtype int8 --shapes 1x32 32x128 --threads 4',
    )
    .action(async (source: string | undefined, flags: Flags) => {
      if (!(flags.seconds >= 0))
        throw new AlbertError('INVALID_ARGUMENT', `expected seconds from 0 but received ${flags.seconds}`);
      const timings = await bench(source, flags);
      if (flags.json) return timings.forEach(printJson);
      printTable([
        ['', '', 'sequences', 'tokens', 'ms', '95 %', 'tokens/s'],
        ...timings.map((timing) => [
          timing.dtype,
          timing.device,
          timing.sequences,
          timing.tokens,
          Number(timing.milliseconds.toPrecision(3)),
          Number(timing.milliseconds_95.toPrecision(3)),
          Math.round(timing.tokens_per_second),
        ]),
      ]);
      print('medians of the last hidden state of all tokens; the 95th percentile beside them');
    });
}
