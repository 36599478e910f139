/** albert classify: the labels of texts, by a classification head or, with --labels, by inference without training. */
import type { Command } from 'commander';
import { AlbertError } from '../errors';
import type { ClassificationResult } from '../pipelines';
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

type Flags = ModelFlags & { topK?: number; labels?: string; multiLabel?: boolean; template?: string };

export function addClassify(program: Command): void {
  verb(
    program,
    'classify [text...]',
    'label texts; with --labels, by labels of your own (needs an NLI model)',
    [
      "albert classify --model ./albert-sst2 'A wonderful film.'",
      "albert classify --model ./albert-nli --labels 'sports,politics' 'The match ended in a draw.'",
      'cat reviews.txt | albert classify --model ./albert-sst2 --json',
    ],
  )
    .option('-k, --top-k <count>', 'labels for each text; default: all', positive)
    .option('--labels <names>', 'labels of your own, separated by commas')
    .option('--multi-label', 'with --labels: score each label by itself')
    .option(
      '--template <sentence>',
      "with --labels: the sentence a label makes, for instance 'This text is about {}.'",
    )
    .action((args: string[], flags: Flags) => {
      if (flags.labels !== undefined) return zeroShot(args, flags);
      if (flags.template !== undefined || flags.multiLabel)
        throw new AlbertError('INVALID_ARGUMENT', 'expected --labels beside --template or --multi-label');
      return classify(args, flags);
    });
}

function show(flags: Flags, text: string, labels: ClassificationResult[]): void {
  if (flags.json) return printJson({ text, labels });
  print(text);
  printTable(labels.map(({ label, score: value }) => [score(value), label]));
}

async function classify(args: string[], flags: Flags): Promise<void> {
  await withPipeline('text-classification', flags, async (pipe) => {
    for await (const texts of textGroups(args, flags.file)) {
      const results = (await pipe(texts, { top_k: null })) as ClassificationResult[][];
      texts.forEach((text, i) => show(flags, text, results[i].slice(0, flags.topK)));
    }
  });
}

async function zeroShot(args: string[], flags: Flags): Promise<void> {
  const options = { hypothesis_template: flags.template, multi_label: flags.multiLabel };
  await withPipeline('zero-shot-classification', flags, async (pipe) => {
    for await (const texts of textGroups(args, flags.file)) {
      for (const { sequence, labels, scores } of await pipe(texts, flags.labels!, options)) {
        const best = labels.map((label, i) => ({ label, score: scores[i] })).slice(0, flags.topK);
        show(flags, sequence, best);
      }
    }
  });
}
