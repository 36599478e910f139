/** albert order: whether two passages stand in their original order. */
import type { Command } from 'commander';
import { AlbertError } from '../errors';
import { type ModelFlags, printJson, printTable, score, textGroups, verb, withPipeline } from './shared';

export function addOrder(program: Command): void {
  verb(
    program,
    'order [first] [second]',
    'tell whether two passages stand in order; lines hold both, tab between',
    [
      "albert order --model ./albert-pretrained 'She opened the door.' 'Then she went in.'",
      'albert order --model ./albert-pretrained --file pairs.tsv --json',
    ],
  ).action(async (first: string | undefined, second: string | undefined, flags: ModelFlags) => {
    const args = first === undefined ? [] : [`${first}\t${second ?? ''}`];
    await withPipeline('sentence-order', flags, async (pipe) => {
      for await (const lines of textGroups(args, flags.file)) {
        const pairs = lines.map((line) => {
          const [left, right] = line.split('\t');
          if (right) return [left, right];
          throw new AlbertError(
            'DATA',
            `expected two passages with a tab between them but received '${left}'`,
          );
        });
        const results = await pipe(
          pairs.map((pair) => pair[0]),
          pairs.map((pair) => pair[1]),
        );
        if (flags.json)
          results.forEach((result, i) => printJson({ first: pairs[i][0], second: pairs[i][1], ...result }));
        else printTable(results.map(({ ordered }, i) => [`in order: ${score(ordered)}`, ...pairs[i]]));
      }
    });
  });
}
