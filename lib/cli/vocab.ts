/** albert vocab: trains a SentencePiece vocabulary with ALBERT's settings. */
import type { Command } from 'commander';
import { trainVocabulary } from '../training/vocab';
import { interruptible, positive, print, printJson } from './shared';

interface Flags {
  input: string[];
  output: string;
  size: number;
  lowerCase: boolean;
  json?: boolean;
}

export function addVocab(program: Command): void {
  program
    .command('vocab')
    .description('train a vocabulary on text files, with the program spm_train of SentencePiece')
    .requiredOption('-i, --input <path...>', 'text files, folders or patterns; .gz too')
    .requiredOption('-o, --output <file>', 'the vocabulary to write, for instance spiece.model')
    .option('--size <count>', 'pieces, special ones included', positive, 30000)
    .option('--no-lower-case', 'keep case and accents')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      '\nExamples:\n  $ albert vocab --input corpus.txt --size 30000 --output spiece.model',
    )
    .action(({ input, output, size, lowerCase, json }: Flags) =>
      interruptible(async (signal) => {
        const { sentences } = await trainVocabulary({ input, output, size, lowerCase, signal });
        if (json) return printJson({ output, size, sentences });
        print(`${output}: ${size} pieces from ${sentences} sentences`);
      }),
    );
}
