/** What a measured case yields, and how it compares with its targets. */
import type { Case, Target } from './cases';
import { operations, type Peak, peakSeconds, type Shape } from './flops';
import { median, sum } from './statistics';

/** What one side of a case showed; absent where the case does not measure it. */
export interface Side {
  /** One pass over all batches: the sum of each batch's median. */
  ms?: number;
  /** The same of each batch's fastest. */
  bestMs?: number;
  /** Of a batch, how many samples there were. */
  samples?: number;
  /** Relative L2 error of the first batch against our fp32. */
  error: number;
  megabytes?: number;
  /** Of the machine, between the rounds of this side: the median of each precision. */
  peak?: Peak;
  /** Where the case is about texts, delay of a timer of 1 ms: the median round's 99th percentile, and the most of all. */
  delay?: { p99: number; max: number };
}

export interface Result {
  id: string;
  group: string;
  status: 'measured' | 'not available' | 'failed';
  reason: string | null;
  ours: Side | null;
  rival: (Side & { peer: string }) | null;
  /** Real tokens, padding not counted. */
  tokensPerSecond: number | null;
  /** Of the machine's measured peak, all threads. */
  share: number | null;
  /** Rival over ours: of times, errors or megabytes. */
  ratio: number | null;
  verdicts: Verdict[];
}

export interface Verdict extends Target {
  measured: number | null;
  /** null where nothing was measured. */
  met: boolean | null;
}

/** A side from its samples in milliseconds, one list a batch. */
export function timedSide(batches: number[][], error: number): Side {
  return {
    ms: sum(batches.map(median)),
    bestMs: sum(batches.map((times) => Math.min(...times))),
    samples: batches[0].length,
    error,
  };
}

function ratioOf(measure: Case['measure'], ours: Side, rival: Side): number | null {
  const [a, b] =
    measure === 'error'
      ? [rival.error, ours.error]
      : measure === 'memory'
        ? [rival.megabytes, ours.megabytes]
        : [rival.ms, ours.ms];
  return a === undefined || b === undefined ? null : a / b;
}

function judge(target: Target, values: Record<Target['kind'], number | null>): Verdict {
  const measured = values[target.kind];
  const atLeast = target.kind === 'speedup' || target.kind === 'share';
  const met = measured === null ? null : atLeast ? measured >= target.value : measured <= target.value;
  return { ...target, measured, met };
}

/** The row of a case. */
export function evaluate(
  given: Case,
  lengths: readonly number[],
  shape: Shape,
  peak: Peak,
  ours: Side | null,
  rival: (Side & { peer: string }) | null,
  reason: string | null = null,
): Result {
  const timed = given.measure === 'time' && ours?.ms !== undefined ? ours.ms : null;
  // Pooled outputs skip work of the last layer, so that a share of the whole would flatter.
  const peakTime =
    given.output === 'last_hidden_state'
      ? peakSeconds(operations(shape, lengths), given.dtype, ours?.peak ?? peak)
      : null;
  const share = timed !== null && peakTime !== null ? (peakTime * 1e3) / timed : null;
  const ratio = ours && rival ? ratioOf(given.measure, ours, rival) : null;
  return {
    id: given.id,
    group: given.group,
    status: ours ? 'measured' : 'not available',
    reason,
    ours,
    rival,
    tokensPerSecond: timed === null ? null : (sum(lengths) / timed) * 1e3,
    share,
    ratio,
    verdicts: given.targets.map((target) =>
      judge(target, {
        speedup: ratio,
        share,
        milliseconds: ours?.ms ?? null,
        megabytes: ours?.megabytes ?? null,
        error: ours?.error ?? null,
        'error ratio': ratio === null ? null : 1 / ratio,
      }),
    ),
  };
}
