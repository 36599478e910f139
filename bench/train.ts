/** `npm run bench -- train`: training steps of ALBERT-base against this machine's peak, and what recomputation saves. */
import { fork } from 'node:child_process';
import type { LabelledInputs } from '../dist';
import { operations, type Peak } from './flops';
import type { Machine } from './machine';
import { middlePeak } from './measure';
import { configOf } from './models';
import { median, random } from './statistics';
import { albert, native } from './subject';

type DType = 'fp32' | 'bf16';

/** One measurement in a process of its own, so that its memory is its own. */
interface Job {
  dtype: DType;
  sequences: number;
  length: number;
  layers: number;
  recompute: boolean;
  threads: number;
  steps: number;
}

interface Answer {
  /** Milliseconds of a step. */
  ms: number;
  /** Of the machine, between the steps. */
  peak: Peak;
  /** Most memory that was resident. */
  bytes: number;
}

const TARGETS: Record<DType, number> = { fp32: 0.85, bf16: 0.75 };
const WARM_STEPS = 2;
const STEPS = 7;

/** Random ids, one in seven to be predicted, half of the pairs swapped. */
function randomBatch(sequences: number, length: number, vocabulary: number): LabelledInputs {
  const draw = random(1);
  const ids = Array.from({ length: sequences }, () =>
    Array.from({ length }, () => Math.floor(draw() * vocabulary)),
  );
  return {
    input_ids: ids,
    labels: ids.map((row) => row.map((id, i) => (i % 7 === 3 ? id : -100))),
    sop_labels: ids.map((_, i) => i % 2),
  };
}

async function run(job: Job): Promise<Answer> {
  const config = { ...configOf('base'), num_hidden_layers: job.layers };
  const { threads, dtype, recompute } = job;
  const model = await albert().Albert.create(config, { head: 'pretraining', seed: 1, threads });
  const trainer = new (albert().Trainer)(model, {
    learningRate: 1e-3,
    totalSteps: 1000,
    dtype,
    recompute,
    threads,
  });
  const batch = randomBatch(job.sequences, job.length, config.vocab_size as number);
  const times: number[] = [];
  const peaks: Peak[] = [];
  for (let step = 0; step < WARM_STEPS + job.steps; step++) {
    const begin = performance.now();
    await trainer.step(batch);
    times.push(performance.now() - begin);
    if (step >= WARM_STEPS) peaks.push(await native().measureCpuPeak(threads, '', true));
  }
  return {
    ms: median(times.slice(WARM_STEPS)),
    peak: middlePeak(peaks),
    bytes: process.resourceUsage().maxRSS * 1024,
  };
}

function measure(job: Job): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const child = fork(__filename, [], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    child.once('message', (answer: Answer) => resolve(answer));
    child.once('error', reject);
    child.once('exit', (code) => code !== 0 && reject(new Error(`a training process ended with ${code}`)));
    child.send(job);
  });
}

const percent = (share: number) => `${(100 * share).toFixed(0)} %`;
const verdict = (met: boolean) => (met ? 'met' : 'missed');

/** Prints speed of both precisions and memory by depth. */
export async function benchTraining(machine: Machine): Promise<void> {
  const { threads } = machine;
  const shape = configOf('base');
  const usual = {
    sequences: 8,
    length: 128,
    layers: shape.num_hidden_layers,
    recompute: false,
    threads,
    steps: STEPS,
  };
  console.log(
    'ALBERT-base, masked words and sentence order, 8 x 128, median of a step; work counted as 3 forward passes\n',
  );
  for (const dtype of ['fp32', 'bf16'] satisfies DType[]) {
    const { ms, peak } = await measure({ ...usual, dtype });
    const tokens = usual.sequences * usual.length;
    const { products, attention } = operations(shape, Array<number>(usual.sequences).fill(usual.length));
    const rate = (3 * (products + attention)) / (ms / 1e3);
    const share = rate / peak[dtype];
    const target = TARGETS[dtype];
    console.log(
      `${dtype}  ${ms.toFixed(0)} ms  ${((tokens / ms) * 1e3).toFixed(0)} tokens/s  ${(rate / 1e9).toFixed(0)} GFLOP/s  ` +
        `${percent(share)} of the peak between the steps, ${(peak[dtype] / 1e9).toFixed(0)}  (target ${percent(target)}: ${verdict(share >= target)})`,
    );
  }
  const memory = async (layers: number, recompute: boolean) =>
    (await measure({ ...usual, dtype: 'fp32', layers, recompute, steps: 1 })).bytes;
  const [few, many] = [shape.num_hidden_layers, 2 * shape.num_hidden_layers];
  const growth = async (recompute: boolean) =>
    ((await memory(many, recompute)) - (await memory(few, recompute))) / (many - few);
  const whole = await growth(false);
  const recomputed = await growth(true);
  console.log(
    `\nmemory of a step for each further layer: ${(whole / 1e6).toFixed(1)} MB; with recomputation ` +
      `${(recomputed / 1e6).toFixed(1)} MB  (target: less than a layer's activations: ${verdict(recomputed < whole)})`,
  );
}

process.on('message', (job: Job) => {
  void run(job).then((answer) => process.send!(answer, () => process.exit(0)));
});
