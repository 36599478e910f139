/** albert fill-mask: the likeliest words for every [MASK]. */
import type { Command } from 'commander';
import type { FillMaskResult } from '../pipelines';
import {
  type ModelFlags,
  positive,
  print,
  printJson,
  printTable,
  score,
  textGroups,
  verb,
  withPipeline,
} from './shared';

export function addFillMask(program: Command): void {
  verb(program, 'fill-mask [text...]', 'find the likeliest words for every [MASK] of a text', [
    "albert fill-mask --model ./albert-base-v2 'The capital of France is [MASK].'",
    'albert fill-mask --model ./albert-base-v2 --file sentences.txt --json --top-k 1',
  ])
    .option('-k, --top-k <count>', 'answers for each mask', positive, 5)
    .option('--targets <words>', 'rank these words only, separated by commas')
    .action(async (args: string[], flags: ModelFlags & { topK: number; targets?: string }) => {
      const options = { top_k: flags.topK, targets: flags.targets?.split(',') };
      await withPipeline('fill-mask', flags, async (pipe) => {
        for await (const texts of textGroups(args, flags.file)) {
          const results = await pipe(texts, options);
          texts.forEach((text, i) => {
            if (flags.json) return printJson({ text, masks: masksOf(results[i]) });
            print(text);
            for (const mask of masksOf(results[i])) {
              printTable(mask.map((answer) => [score(answer.score), answer.token_str, answer.sequence]));
            }
          });
        }
      });
    });
}

function masksOf(result: FillMaskResult[] | FillMaskResult[][]): FillMaskResult[][] {
  return Array.isArray(result[0]) ? (result as FillMaskResult[][]) : [result as FillMaskResult[]];
}
