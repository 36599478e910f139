/** albert evaluate: scores of a fine-tuned model, its predictions, and the files that leaderboards take. */
import { type Command, Option } from 'commander';
import { DTYPES } from '../load-options';
import { evaluate, type EvaluateOptions } from '../tasks/evaluate';
import { SPLITS } from '../tasks/task';
import { progressBar } from './progress';
import { printReport } from './report';
import { DEVICE_FLAG, positive, print, printJson, THREADS_FLAG } from './shared';

export function addEvaluate(program: Command): void {
  program
    .command('evaluate')
    .description('score a fine-tuned model on a split of a task, and write its predictions')
    .requiredOption('--task <name or file>', 'a built-in task, or the .json description of your own')
    .option('--data <folder>', "the folder of the data; default: that of the task's description")
    .requiredOption('-m, --model <folder or name>', 'the fine-tuned model')
    .addOption(new Option('--split <name>', 'which examples').choices(SPLITS).default('dev'))
    .option('-o, --output <folder>', 'where predictions, the report and submissions go')
    .option('--slices <column...>', 'columns by whose values scores are given too')
    .option('--max-length <tokens>', "tokens of a sequence at most; default: the task's", positive)
    .option('--doc-stride <tokens>', 'question answering: between the starts of windows', positive)
    .option('--max-answer-length <tokens>', 'question answering: of an answer at most', positive)
    .addOption(new Option('--dtype <dtype>', 'precision of the weights').choices(DTYPES))
    .addOption(DEVICE_FLAG)
    .addOption(THREADS_FLAG)
    .option('--json', 'print the result as JSON')
    .addHelpText(
      'after',
      '\nExamples:\n  $ albert evaluate --task sst-2 --data glue --model sst-2\n' +
        '  $ albert evaluate --task rte --data glue --model rte --split test --output submission',
    )
    .action(async ({ json, ...flags }: EvaluateOptions & { json?: boolean }) => {
      const bar = progressBar(1);
      const onProgress = ({ done, total }: { done: number; total: number }) =>
        bar.update(done, 'sequences', total);
      const result = await evaluate({ ...flags, onProgress }).finally(() => bar.stop());
      if (json) return printJson(result);
      printReport(result);
      for (const file of result.files) print(file);
    });
}
