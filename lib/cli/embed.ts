/** albert embed: one vector a text. */
import { type Command, Option } from 'commander';
import { type ModelFlags, print, printJson, textGroups, verb, withPipeline } from './shared';

export function addEmbed(program: Command): void {
  verb(program, 'embed [text...]', 'turn each text into a vector', [
    "albert embed --model ./paraphrase-albert-small-v2 --normalize 'A text.' 'Another.'",
    'albert embed --model ./paraphrase-albert-small-v2 --file texts.txt --json > vectors.jsonl',
  ])
    .addOption(
      new Option('--pooling <kind>', 'what the vector is')
        .choices(['mean', 'cls', 'pooler', 'sentence'])
        .default('mean'),
    )
    .option('--normalize', 'scale vectors to unit length')
    .action(
      async (
        args: string[],
        flags: ModelFlags & { pooling: 'mean' | 'cls' | 'pooler' | 'sentence'; normalize?: boolean },
      ) => {
        await withPipeline('feature-extraction', flags, async (pipe) => {
          for await (const texts of textGroups(args, flags.file)) {
            const tensor = await pipe(texts, { pooling: flags.pooling, normalize: flags.normalize });
            texts.forEach((text, i) => {
              const embedding = [...tensor.row(i)];
              if (flags.json) printJson({ text, embedding });
              else print(embedding.map((value) => value.toPrecision(6)).join(' '));
            });
          }
        });
      },
    );
}
