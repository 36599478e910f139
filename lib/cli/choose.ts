/** albert choose: the best of several answers to a question about a text. */
import type { Command } from 'commander';
import { type ModelFlags, printJson, printTable, score, verb, wholeText, withPipeline } from './shared';

export function addChoose(program: Command): void {
  verb(program, 'choose <question> <choices...>', 'choose the answer that a text supports', [
    "albert choose --model ./albert-race --context 'It rained all day.' 'The ground was _ .' wet dry",
    "albert choose --model ./albert-race --file story.txt 'Why did she leave?' 'She was late.' 'She was tired.'",
  ])
    .option('-c, --context <text>', 'the text; default: --file or standard input')
    .action(async (question: string, choices: string[], flags: ModelFlags & { context?: string }) => {
      const context = await wholeText(flags.context, flags.file);
      await withPipeline('multiple-choice', flags, async (pipe) => {
        const results = await pipe(context, question, choices);
        if (flags.json) results.forEach(printJson);
        else printTable(results.map((result) => [score(result.score), result.choice]));
      });
    });
}
