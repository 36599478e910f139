/** albert order: whether two passages stand in their original order. */
import type { Command } from 'commander';
import { AlbertError } from '../errors';
import { show } from '../options';
import {
  lineGroups,
  type ModelFlags,
  printJson,
  printTable,
  refuseBoth,
  score,
  verb,
  withPipeline,
} from './shared';

/** The two arguments, else the lines of a file or of standard input, which hold a pair each. */
async function* pairGroups(
  first: string | undefined,
  second: string | undefined,
  file: string | undefined,
): AsyncGenerator<string[][]> {
  if (first !== undefined) {
    refuseBoth(first, file);
    yield [[first, second!]];
    return;
  }
  for await (const lines of lineGroups(file))
    yield lines.map(({ line, place }) => {
      const passages = line.split('\t');
      if (passages.length === 2 && passages.every((passage) => passage.trim() !== '')) return passages;
      throw new AlbertError(
        'DATA',
        `${place}: expected two passages with a tab between them but received ${show(line)}`,
      );
    });
}

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
    if (first !== undefined && second === undefined)
      throw new AlbertError('INVALID_ARGUMENT', `expected a second passage beside '${first}'`);
    await withPipeline('sentence-order', flags, async (pipe) => {
      for await (const pairs of pairGroups(first, second, flags.file)) {
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
