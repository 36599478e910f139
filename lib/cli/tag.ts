/** albert tag: entities or labelled tokens of texts. */
import { type Command, Option } from 'commander';
import type { TokenClassificationOptions } from '../pipelines';
import {
  type ModelFlags,
  print,
  printJson,
  printTable,
  score,
  textGroups,
  verb,
  withPipeline,
} from './shared';

type Strategy = NonNullable<TokenClassificationOptions['aggregation_strategy']>;

export function addTag(program: Command): void {
  verb(program, 'tag [text...]', 'find names and other entities in texts', [
    "albert tag --model ./albert-ner 'Ada Lovelace lived in London.'",
    'albert tag --model ./albert-ner --file letters.txt --json',
  ])
    .addOption(
      new Option('--aggregation <strategy>', 'how tokens form entities')
        .choices(['none', 'simple', 'first', 'average', 'max'])
        .default('simple'),
    )
    .action(async (args: string[], flags: ModelFlags & { aggregation: Strategy }) => {
      await withPipeline('token-classification', flags, async (pipe) => {
        for await (const texts of textGroups(args, flags.file)) {
          const results = await pipe(texts, { aggregation_strategy: flags.aggregation });
          texts.forEach((text, i) => {
            if (flags.json) return printJson({ text, entities: results[i] });
            print(text);
            printTable(
              results[i].map((found) => {
                const label =
                  'entity' in found ? found.entity : (found as { entity_group: string }).entity_group;
                return [
                  score(found.score),
                  label,
                  text.slice(found.start, found.end),
                  `${found.start}-${found.end}`,
                ];
              }),
            );
          });
        }
      });
    });
}
