/** Fine-tuning several times, by seeds alone: what of a score is the task's and what is chance. */
import path from 'node:path';
import { mean } from '../math';
import { integer, invalid, optionsObject, pathString } from '../options';
import { findTask } from '../tasks';
import { finetune, type FinetuneResult, writeResult } from './finetune';
import { FINETUNE_OPTIONS, type FinetuneOptions } from './finetune-plan';

/** Scores of several runs that differ by their seed alone. */
export interface SeedsResult {
  output: string;
  /** One a seed; fewer after an abort. */
  runs: FinetuneResult[];
  /** Of each metric: the mean over the runs that were scored, and their sample standard deviation. */
  metrics: Record<string, { mean: number; deviation: number }>;
  /** The folder of the best. */
  best: string;
}

/**
 * finetune() once a seed, each into a folder of its own below `output`; writes the means to result.json there. An abort ends the
 * run under way, which `resume` goes on with, and begins no further one.
 * @throws AlbertError as finetune() does.
 */
export async function finetuneSeeds(
  options: FinetuneOptions,
  seeds: readonly number[],
): Promise<SeedsResult> {
  const given = optionsObject<FinetuneOptions>('options', options, FINETUNE_OPTIONS);
  const output = path.resolve(pathString('output', given.output));
  if (!Array.isArray(seeds) || seeds.length === 0 || new Set(seeds).size < seeds.length)
    throw invalid('an array of different seeds, at least one,', 'seeds', seeds);
  const drawnFrom = Array.from(seeds as readonly number[], (seed, i) =>
    integer(`seeds[${i}]`, seed, { min: 0 }),
  );
  const runs: FinetuneResult[] = [];
  for (const seed of drawnFrom) {
    runs.push(await finetune({ ...options, seed, output: path.join(output, `seed-${seed}`) }));
    if (options.signal?.aborted) break;
  }
  const scored = runs.filter((run) => run.step > 0);
  const metrics = Object.fromEntries(
    Object.keys(scored[0]?.metrics ?? {}).map((name) => {
      const values = scored.map((run) => run.metrics[name]);
      const middle = mean(values);
      const squares = values.reduce((sum, value) => sum + (value - middle) ** 2, 0);
      return [name, { mean: middle, deviation: Math.sqrt(squares / Math.max(1, values.length - 1)) }];
    }),
  );
  const { task } = await findTask(options.task, options.data);
  const first = task.metrics[0];
  const best = (scored.length > 0 ? scored : runs).reduce((a, b) =>
    b.metrics[first] > a.metrics[first] ? b : a,
  ).output;
  const result = { output, runs, metrics, best };
  await writeResult(output, result);
  return result;
}
