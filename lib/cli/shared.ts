/** What the verbs share: their common options, where text comes from, and how results are printed. */
import { existsSync } from 'node:fs';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { AlbertError } from '../errors';
import { DTYPES, type LoadOptions } from '../load-options';
import { show } from '../options';
import { type Pipelines, type Task, pipeline } from '../pipelines';
import { PRESETS } from '../presets';
import { readLines, readText } from '../text-files';

/** Options that every verb which runs a model has. */
export interface ModelFlags extends Pick<LoadOptions, 'dtype' | 'device' | 'threads'> {
  model?: string;
  file?: string;
  json?: boolean;
  allowUntrained?: boolean;
}

/** Whether a source names a published size: a folder called 'base' would be meant by './base'. */
export function isPreset(source: string): boolean {
  return PRESETS.includes(source) && !existsSync(source);
}

/** A parser of option values that takes any finite number. */
export function real(value: string): number {
  const parsed = Number(value);
  if (value.trim() === '' || !Number.isFinite(parsed)) throw new InvalidArgumentError('expected a number');
  return parsed;
}

/** Parsers that take whole numbers from `least`. */
function wholeFrom(least: number): (value: string) => number {
  return (value) => {
    const number = real(value);
    if (!Number.isSafeInteger(number) || number < least)
      throw new InvalidArgumentError(`expected a whole number from ${least}`);
    return number;
  };
}

export const whole = wholeFrom(0);
export const positive = wholeFrom(1);

/** One that takes shares below 1. */
export function share(value: string): number {
  const parsed = real(value);
  if (parsed < 0 || parsed >= 1) throw new InvalidArgumentError('expected a number from 0 to below 1');
  return parsed;
}

/** Flags of every verb that computes. */
export const DEVICE_FLAG = new Option('--device <device>', 'where to run: auto, cpu, cuda or cuda:1');
export const THREADS_FLAG = new Option(
  '--threads <count>',
  'threads to use; default: all this process may use',
).argParser(positive);

/** A verb with the common options, and examples below its help. */
export function verb(program: Command, usage: string, description: string, examples: string[]): Command {
  return program
    .command(usage)
    .description(description)
    .option('-m, --model <folder or name>', 'the model; default: the one that the package ships')
    .addOption(new Option('--dtype <dtype>', 'precision of the weights').choices(DTYPES))
    .addOption(DEVICE_FLAG)
    .addOption(THREADS_FLAG)
    .option('-f, --file <path>', 'read text from a file; .gz too')
    .option('--json', 'print JSON, one line a result')
    .option('--allow-untrained', 'accept a checkpoint without a trained head for this task')
    .addHelpText('after', `\nExamples:\n${examples.map((example) => `  $ ${example}`).join('\n')}`);
}

/** Runs work with the pipeline of a task and disposes of it. */
export async function withPipeline<T extends Task>(
  task: T,
  flags: ModelFlags,
  work: (pipe: Pipelines[T]) => Promise<void>,
): Promise<void> {
  const { dtype, device, threads } = flags;
  const options = { dtype, device, threads, allow_untrained: flags.allowUntrained ?? false };
  const pipe = await pipeline(task, flags.model, options);
  try {
    await work(pipe);
  } finally {
    await pipe.dispose();
  }
}

// Lines in groups, so that long files stream through with bounded memory.
const LINES_PER_GROUP = 256;

export function refuseBoth(text: string, file: string | undefined): void {
  if (file === undefined) return;
  throw new AlbertError(
    'INVALID_ARGUMENT',
    `expected text or --file, but received ${show(text)} and ${show(file)}`,
  );
}

/** Lines of --file, else of standard input, with where they stand; blank ones are skipped. */
export async function* lineGroups(
  file: string | undefined,
): AsyncGenerator<{ line: string; place: string }[]> {
  let group: { line: string; place: string }[] = [];
  const name = file ?? 'standard input';
  let number = 0;
  for await (const line of file === undefined ? readLines(name, process.stdin) : readLines(name)) {
    number++;
    if (line.trim() === '') continue;
    group.push({ line, place: `${name}:${number}` });
    if (group.length === LINES_PER_GROUP) {
      yield group;
      group = [];
    }
  }
  if (group.length > 0) yield group;
}

/** Texts in groups: the arguments, else the lines of --file, else those of standard input; blank lines are skipped. */
export async function* textGroups(args: string[], file: string | undefined): AsyncGenerator<string[]> {
  if (args.length > 0) {
    refuseBoth(args[0], file);
    yield args;
    return;
  }
  for await (const group of lineGroups(file)) yield group.map(({ line }) => line);
}

/** All groups of texts at once. @throws AlbertError INVALID_ARGUMENT where there is no text. */
export async function someTextGroups(args: string[], file: string | undefined): Promise<string[][]> {
  const groups: string[][] = [];
  for await (const texts of textGroups(args, file)) groups.push(texts);
  if (groups.length > 0) return groups;
  throw new AlbertError('INVALID_ARGUMENT', 'expected texts as arguments, in --file or on standard input');
}

/**
 * One long text: the argument, else all of --file, else all of standard input.
 * @throws AlbertError INVALID_ARGUMENT where it is blank, as an unset variable or an empty pipe leaves it.
 */
export async function wholeText(argument: string | undefined, file: string | undefined): Promise<string> {
  if (argument !== undefined) refuseBoth(argument, file);
  const text =
    argument ?? (file === undefined ? await readText('standard input', process.stdin) : await readText(file));
  if (text.trim() !== '') return text;
  const source = argument !== undefined ? 'the argument' : (file ?? 'standard input');
  throw new AlbertError('INVALID_ARGUMENT', `expected a text to look into but ${source} holds none`);
}

export function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** Signals that end a verb. */
export const STOPPING = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
/** The exit status then, as shells give Ctrl-C. */
const INTERRUPTED = 130;

/** Runs a job that ends in good order when the first of these signals comes, as a training does after the step under way. */
export async function interruptible(job: (signal: AbortSignal) => Promise<void>): Promise<void> {
  const interrupt = new AbortController();
  const onSignal = () => interrupt.abort();
  STOPPING.forEach((name) => process.once(name, onSignal));
  try {
    await job(interrupt.signal);
  } finally {
    STOPPING.forEach((name) => process.off(name, onSignal));
    if (interrupt.signal.aborted) process.exitCode = INTERRUPTED;
  }
}

export function printJson(value: unknown): void {
  print(JSON.stringify(value));
}

/** Rows of cells as aligned columns; numbers stand on the right. */
export function printTable(rows: (string | number)[][]): void {
  const shown = rows.map((row) => row.map((cell) => String(cell)));
  const widths = shown[0]?.map((_, column) => Math.max(...shown.map((row) => row[column].length))) ?? [];
  shown.forEach((row, r) => {
    const cells = row.map((cell, column) =>
      typeof rows[r][column] === 'number' ? cell.padStart(widths[column]) : cell.padEnd(widths[column]),
    );
    print(`  ${cells.join('  ')}`.trimEnd());
  });
}

/** A probability or score as people read it. */
export function score(value: number): string {
  return value.toFixed(4);
}
