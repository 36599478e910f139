/** albert plot: draws the curves of training logs, several runs over one another. */
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Command } from 'commander';
import { AlbertError } from '../errors';
import { makeFolder } from '../source';
import { readLog } from '../training/log';
import { plotRuns } from '../training/plot';
import { print, printJson } from './shared';

// Logs of several runs are often called the same: then only their paths tell them apart.
function namesOf(files: string[]): string[] {
  const short = files.map((file) => path.parse(file).name);
  return new Set(short).size === files.length ? short : files;
}

export function addPlot(program: Command): void {
  program
    .command('plot <log...>')
    .description('draw the loss, accuracies and learning rate in training logs as SVG, one line a log')
    .option('-o, --output <file>', 'where to write the drawing', 'curves.svg')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      '\nExamples:\n  $ albert plot run/log.jsonl\n  $ albert plot small.jsonl large.jsonl --output comparison.svg',
    )
    .action(async (files: string[], { output, json }: { output: string; json?: boolean }) => {
      if (path.extname(output) !== '.svg')
        throw new AlbertError(
          'INVALID_ARGUMENT',
          `expected a file that ends in .svg for --output but received ${output}`,
        );
      const names = namesOf(files);
      const runs = await Promise.all(
        files.map(async (file, i) => ({ name: names[i], curves: await readLog(file) })),
      );
      await makeFolder(path.dirname(output));
      await writeFile(output, plotRuns(runs)).catch((error: Error) => {
        throw new AlbertError('DATA', `could not write ${output}: ${error.message}`, { cause: error });
      });
      if (json) printJson({ file: output, runs: names });
      else print(output);
    });
}
