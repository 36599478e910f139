#!/usr/bin/env node
/** The command line: exit status 0 when done, 1 when something failed, 2 for wrong usage, 130 after Ctrl-C. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { Command, CommanderError } from 'commander';
import { AlbertError } from '../errors';
import { addAnswer } from './answer';
import { addBench } from './bench';
import { addChoose } from './choose';
import { addClassify } from './classify';
import { addEmbed } from './embed';
import { addEvaluate } from './evaluate';
import { addExport } from './export';
import { addFillMask } from './fill-mask';
import { addFinetune } from './finetune';
import { addInfo } from './info';
import { addOrder } from './order';
import { addPlot } from './plot';
import { addPrecision } from './precision';
import { addPretrain } from './pretrain';
import { addQuantize } from './quantize';
import { addSimilarity } from './similarity';
import { addTag } from './tag';
import { addVocab } from './vocab';

function oneLine(text: string): string {
  return text.replace(/\s*\n\s*/g, ' ').trim();
}

/** Options of JavaScript whose flags are called otherwise. */
const CALLED_OTHERWISE: Readonly<Record<string, string>> = {
  steps: 'totalSteps',
  template: 'hypothesisTemplate',
};

/** A message for a shell: options of several words, maxLength or top_k, by the names of their flags. */
function withFlags(message: string, verb: Command | undefined): string {
  let text = oneLine(message);
  for (const option of verb?.options ?? []) {
    const name = CALLED_OTHERWISE[option.attributeName()] ?? option.attributeName();
    if (option.negate || !/[A-Z]/.test(name)) continue;
    const snake = name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    // Not within quotes, paths or other names, which are the user's.
    const word = new RegExp(`(?<![\\w'"./-])(${name}|${snake})(?![\\w'"/-]|\\.\\w)`, 'g');
    text = text.replace(word, option.long!);
  }
  return text;
}

async function main(): Promise<number> {
  const manifest = readFileSync(path.resolve(__dirname, '..', '..', 'package.json'), 'utf8');
  const program = new Command('albert')
    .description(
      'ALBERT from the command line: text from arguments, a file or standard input; answers as text or JSON',
    )
    .version((JSON.parse(manifest) as { version: string }).version)
    .showHelpAfterError("(type 'albert --help' or 'albert help <verb>')")
    .exitOverride();
  const verbs = [
    addFillMask,
    addClassify,
    addTag,
    addAnswer,
    addChoose,
    addOrder,
    addEmbed,
    addSimilarity,
    addExport,
    addVocab,
    addPretrain,
    addFinetune,
    addEvaluate,
    addPrecision,
    addQuantize,
    addBench,
    addInfo,
    addPlot,
  ];
  for (const add of verbs) add(program);
  program.addHelpText(
    'after',
    "\nExample:\n  $ albert fill-mask --model ./albert-base-v2 'The capital of France is [MASK].'",
  );
  const said = (message: string) =>
    withFlags(
      message,
      program.commands.find((verb) => verb.name() === process.argv[2]),
    );
  process.removeAllListeners('warning');
  process.on('warning', ({ message }) => process.stderr.write(`albert: warning: ${said(message)}\n`));
  try {
    await program.parseAsync();
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    process.stderr.write(`albert: ${said(error instanceof Error ? error.message : String(error))}\n`);
    return error instanceof AlbertError && error.code === 'INVALID_ARGUMENT' ? 2 : 1;
  }
}

// `albert ... | head` closes the pipe early, which is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  process.stderr.write(`albert: the output could not be written: ${error.message}\n`);
  process.exit(1);
});

void main().then((code) => {
  process.exitCode ??= code;
});
