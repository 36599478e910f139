/** albert finetune: a task's examples and a model to the checkpoint that does best on them. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { finetune } from '../training/finetune';
import { finetuneSeeds, type SeedsResult } from '../training/finetune-seeds';
import { dryRun, type FinetuneOptions } from '../training/finetune-plan';
import { duration, progressBar } from './progress';
import { printReport } from './report';
import {
  DEVICE_FLAG,
  interruptible,
  positive,
  print,
  printJson,
  printTable,
  real,
  score,
  share,
  THREADS_FLAG,
  whole,
} from './shared';

type Flags = Omit<FinetuneOptions, 'seed'> & {
  seed: number[];
  dryRun?: boolean;
  json?: boolean;
};

const FIRST_SEED: number[] = [0];

// Commander passes what it has collected so far, the default at first.
function seeds(value: string, before: number[]): number[] {
  return [...(before === FIRST_SEED ? [] : before), whole(value)];
}

function classWeights(value: string): FinetuneOptions['classWeights'] {
  if (value === 'balanced') return value;
  const weights = value.split(',').map((weight) => (weight.trim() === '' ? NaN : Number(weight)));
  if (weights.every(Number.isFinite)) return weights;
  throw new InvalidArgumentError("expected 'balanced' or numbers like '1,2.5'");
}

async function showDryRun(options: FinetuneOptions, json: boolean | undefined): Promise<void> {
  const checked = await dryRun(options);
  if (json) return printJson(checked);
  print(`${checked.task}: ${checked.labels.join(', ') || 'no labels'}`);
  printTable([
    ['', 'examples', 'sequences', 'tokens', 'longest'],
    ...(['train', 'dev'] as const).map((split) => [split, ...Object.values(checked[split])]),
  ]);
  print(
    `${checked.totalSteps} steps, ${checked.warmupSteps} of warm-up, learning rate ${checked.learningRate}`,
  );
  for (const { id, tokens, example } of checked.first) {
    print(`\n${id}  ${JSON.stringify(example)}`);
    print(`  ${tokens.join(' ')}`);
  }
}

function printSeeds({ metrics, best }: SeedsResult): void {
  for (const [name, { mean, deviation }] of Object.entries(metrics))
    print(`  ${name}  ${score(mean)} ± ${score(deviation)}`);
  print(`best: ${best}`);
}

export function addFinetune(program: Command): void {
  program
    .command('finetune')
    .description(
      'fine-tune a model for a task and keep the checkpoint with the best score on the development split',
    )
    .requiredOption('--task <name or file>', 'a built-in task, or the .json description of your own')
    .option('--data <folder>', "the folder of the data; default: that of the task's description")
    .requiredOption('-m, --model <folder or name>', 'the model to start from')
    .requiredOption('-o, --output <folder>', 'where the best checkpoint, the log and the scores go')
    .option('--steps <count>', "steps in all; default: the task's", positive)
    .option('--epochs <count>', 'passes over the examples, in place of steps', real)
    .option('--batch-size <count>', "examples of a step; default: the task's", positive)
    .option('--batch-tokens <count>', 'tokens of a step at most, in place of examples', positive)
    .option('--max-length <tokens>', "tokens of a sequence at most; default: the task's", positive)
    .option('--doc-stride <tokens>', 'question answering: between the starts of windows', positive)
    .option('--learning-rate <rate>', "the highest rate; default: the task's", real)
    .option('--warmup-steps <count>', "steps over which the rate rises; default: the task's share", whole)
    .addOption(
      new Option('--optimizer <name>', 'as the ALBERT release computes them')
        .choices(['adamw', 'lamb'])
        .default('adamw'),
    )
    .option('--weight-decay <factor>', 'decoupled', real, 0.01)
    .option('--dropout <share>', "of the encoder; default: the task's", share)
    .option('--classifier-dropout <share>', 'before the classifier', share, 0.1)
    .option('--layer-decay <factor>', 'of the rate from each layer group to the one below', real, 1)
    .option('--head-only-steps <count>', 'steps in which the head alone is trained', whole, 0)
    .option('--class-weights <weights>', "'balanced', or a weight a label: 1,2.5", classWeights)
    .option('--evaluate-every <steps>', 'between evaluations; default: twice an epoch', positive)
    .option('--patience <count>', 'evaluations without a better score after which to stop', positive)
    .option('--restarts <count>', 'after divergence, from the last checkpoint at half the rate', whole, 0)
    .option('--slices <column...>', 'columns by whose values scores are given too')
    .option(
      '--seed <number...>',
      'of fresh weights, order and dropout; several make as many runs',
      seeds,
      FIRST_SEED,
    )
    .addOption(
      new Option('--dtype <dtype>', 'how products multiply').choices(['fp32', 'bf16']).default('fp32'),
    )
    .option('--recompute', 'run blocks again in backward: less memory, more time')
    .addOption(DEVICE_FLAG)
    .addOption(THREADS_FLAG)
    .option('--resume', 'continue the run that --output holds')
    .option('--dry-run', 'check the data, print the first encoded examples, and stop')
    .option('--json', 'print the result as JSON')
    .addHelpText(
      'after',
      '\nCtrl-C ends after the step under way and saves; the same command with --resume goes on from there.\n' +
        '\nExamples:\n  $ albert finetune --task sst-2 --data glue --model albert-mini-en --epochs 3 --output sst-2\n' +
        '  $ albert finetune --task reviews.json --model albert-mini-en --output reviews --dry-run',
    )
    .action(async ({ seed, dryRun: dry, json, ...options }: Flags) => {
      if (dry) return showDryRun({ ...options, seed: seed[0] }, json);
      return interruptible(async (signal) => {
        options.signal = signal;
        const bar = progressBar(1);
        bar.update(0, 'reading the data');
        let at = 0;
        options.onScoring = ({ done, total }) =>
          bar.update(at, `scoring the development split: ${done} of ${total}`);
        options.onProgress = ({ step, totalSteps, loss, best, tokens_per_second, seconds_left }) => {
          const found = best === null ? '' : ` | best ${score(best)}`;
          at = step;
          bar.update(
            step,
            `loss ${loss.toFixed(3)}${found} | ${tokens_per_second} tokens/s | ${duration(seconds_left)} left`,
            totalSteps,
          );
        };
        try {
          if (seed.length > 1) {
            const result = await finetuneSeeds(options, seed);
            bar.stop();
            return json ? printJson(result) : printSeeds(result);
          }
          const result = await finetune({ ...options, seed: seed[0] });
          bar.stop();
          if (json) return printJson(result);
          if (result.step === 0)
            return print(`${result.output}: ${result.steps} steps, and no score yet; --resume goes on`);
          print(`${result.output}: the best of ${result.steps} steps is ${result.step}`);
          printReport(result);
        } finally {
          bar.stop();
        }
      });
    });
}
