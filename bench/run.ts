/** `npm run bench`: measures this machine, then every case against its rival, prints a table and writes bench/results. */
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import { type Case, CASES } from './cases';
import { barChart } from './chart';
import { describeMachine, type Machine } from './machine';
import { Bench } from './measure';
import type { DType } from './peer';
import { count, machineText, notes, number, resultTable, targetReport, targetText } from './report';
import type { Result } from './results';
import { albert, repository } from './subject';
import { benchFinetuning } from './finetune';
import { benchTraining } from './train';

interface Options {
  report: boolean;
  quick: boolean;
  only?: RegExp;
  rounds?: number;
  threads: number;
  data: string;
  list: boolean;
}

const ROUNDS = 7;
const QUICK_ROUNDS = 2;

function positive(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1)
    throw new InvalidArgumentError(`expected a positive integer but received '${text}'.`);
  return value;
}

function pattern(text: string): RegExp {
  try {
    return new RegExp(text);
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
}

function program(): Command {
  return new Command('bench')
    .description('Compares albert-native with its rivals, in turn, on models with random weights.')
    .argument('[what]', "'train' or 'finetune': times training steps in place of inference")
    .option('--report', 'print every target with what was measured next to it', false)
    .option('--quick', 'a few cases in under two minutes', false)
    .option('--only <pattern>', 'cases whose id matches this regular expression', pattern)
    .option('--rounds <n>', `rounds of each side (default: ${ROUNDS}, quick: ${QUICK_ROUNDS})`, positive)
    .option('--threads <n>', 'of both sides (default: what this process may use)', positive)
    .option('--data <folder>', "the data of others (default: $ALBERT_TEST_DATA, or '../shared')")
    .option('--list', 'print the cases and their targets, and measure nothing', false)
    .addHelpText(
      'after',
      '\nExample: npm run bench -- --only "^int8-1x" --rounds 15\nRivals are installed by: npm run bench:install',
    );
}

function chosen(options: Options): Case[] {
  const cases = CASES.filter(
    ({ id, quick }) => (options.only?.test(id) ?? true) && (quick || !options.quick),
  );
  if (cases.length === 0) {
    throw new Error(
      `expected --only to match a case but ${options.only} matches none; --list prints their ids`,
    );
  }
  return cases;
}

/** Charts of how many times faster than the rival each shape is, one a precision. */
function drawCharts(folder: string, results: readonly Result[]): void {
  for (const dtype of ['fp32', 'bf16', 'int8'] satisfies DType[]) {
    const bars = results
      .filter(({ id, ratio }) => new RegExp(`^${dtype}-\\d`).test(id) && ratio !== null)
      .map(({ id, ratio, ours, rival }) => ({
        label: id.slice(dtype.length + 1).replace('x', ' x '),
        value: ratio!,
        text: `${ratio!.toFixed(2)} x   (${number(ours!.ms!)} ms, rival ${number(rival!.ms!)} ms)`,
      }));
    if (bars.length === 0) continue;
    const rival = dtype === 'int8' ? 'int8' : 'fp32';
    const title = `ALBERT-base ${dtype}, sequences x tokens: times as fast as onnxruntime ${rival}`;
    writeFileSync(path.join(folder, `latest-${dtype}.svg`), barChart(title, bars, 1));
  }
}

function write(
  machine: Machine,
  versions: Record<string, string>,
  rounds: number,
  results: Result[],
): string {
  const folder = path.join(repository, 'bench', 'results');
  mkdirSync(folder, { recursive: true });
  const file = path.join(folder, 'latest.json');
  writeFileSync(file, `${JSON.stringify({ machine, versions, rounds, results }, null, 1)}\n`);
  drawCharts(folder, results);
  return path.relative(process.cwd(), file);
}

async function main(): Promise<void> {
  const command = program().parse();
  const options = command.opts<Options>();
  if (command.args[0] === 'train') {
    process.removeAllListeners('warning');
    const machine = await describeMachine(options.threads ?? albert().cpuInfo().threads);
    console.log(`${machineText(machine)}\n`);
    return benchTraining(machine);
  }
  const data = options.data ?? process.env.ALBERT_TEST_DATA ?? path.resolve(repository, '..', 'shared');
  if (command.args[0] === 'finetune') {
    process.removeAllListeners('warning');
    return benchFinetuning(data, options.threads ?? albert().cpuInfo().threads);
  }
  const cases = chosen(options);
  if (options.list) {
    for (const { id, targets } of cases) console.log(`${id}: ${targets.map(targetText).join(', ')}`);
    return;
  }
  process.removeAllListeners('warning'); // the models are untrained and some have no vocabulary: both are meant
  const threads = options.threads ?? albert().cpuInfo().threads;
  const rounds = options.rounds ?? (options.quick ? QUICK_ROUNDS : ROUNDS);
  const machine = await describeMachine(threads);
  console.log(`${machineText(machine)}\n`);

  const bench = new Bench({
    rounds,
    threads,
    data,
    peak: machine.peak,
    eightBits: machine.rivalInt8Bits === 8,
  });
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      bench.close();
      process.exit(1);
    });
  }
  const results: Result[] = [];
  try {
    for (const [i, given] of cases.entries()) {
      process.stderr.write(`[${i + 1}/${cases.length}] ${given.id}\n`);
      results.push(await bench.measure(given));
    }
  } finally {
    bench.close();
  }
  console.log(options.report ? targetReport(results) : resultTable(results));
  for (const note of notes(results)) console.log(`\n${note}`);
  const { met, missed, unknown } = count(results);
  if (!options.report) console.log(`\n${met} targets met, ${missed} missed, ${unknown} not measured`);
  console.log(`\nwritten: ${write(machine, bench.versions, rounds, results)}`);
  if (results.some(({ status }) => status === 'failed')) process.exitCode = 1;
}

main().catch((error: unknown) => {
  console.error((error as Error).message);
  process.exitCode = 1;
});
