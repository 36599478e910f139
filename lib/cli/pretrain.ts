/** albert pretrain: from text and a vocabulary to a model, watched, interrupted and continued at will. */
import { type Command, Option } from 'commander';
import { pretrain, type PretrainOptions } from '../training/pretrain';
import type { AlbertConfig } from '../config';
import { invalid } from '../options';
import { PRESETS } from '../presets';
import { readJson } from '../source';
import { duration, progressBar } from './progress';
import { DEVICE_FLAG, interruptible, positive, print, printJson, real, THREADS_FLAG, whole } from './shared';

type Flags = Omit<PretrainOptions, 'config' | 'totalSteps' | 'format'> & {
  config?: string;
  steps: number;
  text?: 'sentences' | 'paragraphs';
  json?: boolean;
};

async function readConfigFlag(config: string | undefined): Promise<AlbertConfig | string | undefined> {
  if (config?.endsWith('.json')) return (await readJson(config, 'INVALID_CONFIG')).value;
  if (config !== undefined && !PRESETS.includes(config))
    throw invalid(`one of ${PRESETS.join(', ')}, or the .json file of a configuration,`, '--config', config);
  return config;
}

export function addPretrain(program: Command): void {
  program
    .command('pretrain')
    .description(
      'pre-train a model on text with masked n-grams and sentence order; continues the run that --output holds',
    )
    .requiredOption('--corpus <path...>', 'text files, folders, patterns, .gz too; or .tfrecord files')
    .requiredOption('--vocabulary <path>', 'spiece.model or another vocabulary, or a folder with one')
    .requiredOption('-o, --output <folder>', 'where the model, its checkpoints and log.jsonl go')
    .requiredOption('--steps <count>', 'steps in all', positive)
    .option(
      '--config <name or file>',
      "a preset such as 'base-v2', or a config.json; its vocab_size follows the vocabulary",
    )
    .option('-m, --model <folder or name>', 'a model to start from, instead of --config')
    .option('--batch-size <count>', 'sequences of a batch; default: 64', positive)
    .option('--accumulate <count>', 'batches of a step; default: 1', positive)
    .option(
      '--max-length <tokens>',
      'tokens of a sequence at most; default: 128, or what the model takes',
      positive,
    )
    .option('--learning-rate <rate>', 'the highest rate; default: 0.00176', real)
    .option('--warmup-steps <count>', 'steps over which the rate rises; default: 0', whole)
    .addOption(
      new Option('--optimizer <name>', 'as the ALBERT release computes them; default: lamb').choices([
        'lamb',
        'adamw',
      ]),
    )
    .option('--weight-decay <factor>', 'decoupled; default: 0.01', real)
    .option('--masked-lm-probability <share>', 'of tokens to predict; default: 0.15', real)
    .option('--max-predictions <count>', 'in a sequence at most; default: 20', whole)
    .option('--ngram <words>', 'of the longest n-gram masked together; default: 3', positive)
    .addOption(
      new Option('--sentence-pairs <objective>', 'beside masked words; default: sop').choices([
        'sop',
        'nsp',
        'none',
      ]),
    )
    .addOption(
      new Option('--text <format>', 'sentences: one a line, blank lines between documents').choices([
        'sentences',
        'paragraphs',
      ]),
    )
    .option(
      '--hold-out <share>',
      'of documents kept for evaluation; default: 0.01, or none of a small corpus',
      real,
    )
    .option('--evaluate-every <steps>', 'between evaluations on them', positive, 500)
    .option('--save-every <steps>', 'between checkpoints', positive, 500)
    .option('--save-minutes <minutes>', 'after which a checkpoint is due in any case', real, 10)
    .addOption(
      new Option('--dtype <dtype>', 'how products multiply; default: fp32').choices(['fp32', 'bf16']),
    )
    .option('--recompute', 'run blocks again in backward: less memory, more time')
    .option('--cache <folder>', 'where tokenised text is kept')
    .option('--seed <number>', 'of weights, data and dropout; default: 0', whole)
    .addOption(DEVICE_FLAG)
    .addOption(THREADS_FLAG)
    .option('--json', 'print the result as JSON')
    .addHelpText(
      'after',
      '\nCtrl-C ends after the step under way and saves; the same command goes on from there. What it leaves out is as the run began.\n' +
        '\nExamples:\n  $ albert pretrain --corpus corpus/ --vocabulary spiece.model --config base-v2 --steps 100000 --output run\n' +
        '  $ albert plot run/log.jsonl',
    )
    .action(({ config, steps, text, json, ...flags }: Flags) =>
      interruptible(async (signal) => {
        const bar = progressBar(steps);
        bar.update(0, 'reading the corpus');
        try {
          const result = await pretrain({
            ...flags,
            totalSteps: steps,
            config: await readConfigFlag(config),
            format: text,
            signal,
            onProgress: ({ step, loss, tokens_per_second, seconds_left, evaluation }) => {
              const accuracy = evaluation ? ` | mlm ${(100 * evaluation.mlm_accuracy).toFixed(1)} %` : '';
              bar.update(
                step,
                `loss ${loss.toFixed(3)}${accuracy} | ${tokens_per_second} tokens/s | ${duration(seconds_left)} left`,
              );
            },
          });
          bar.stop();
          if (json) return printJson(result);
          print(`${result.output}: ${result.steps} of ${steps} steps`);
          for (const [name, value] of Object.entries<number>({ ...result.evaluation }))
            print(`  ${name}  ${value.toFixed(4)}`);
        } finally {
          bar.stop();
        }
      }),
    );
}
