/** albert info: what a model or a published size consists of, or what this machine offers. */
import { statSync } from 'node:fs';
import path from 'node:path';
import { type Command, Option } from 'commander';
import {
  type AlbertConfig,
  describeConfig,
  PARAMETER_SHARINGS,
  type ParameterSharing,
  withSharing,
} from '../config';
import { callNative } from '../errors';
import { binding, type NativeParameter } from '../native';
import { type Head, HEADS } from '../heads';
import { preset, PRESETS } from '../presets';
import { namesIn, readConfig, resolveFolder } from '../source';
import { isPreset, print, printJson, printTable } from './shared';

// The parts of a model, by how the names of their parameters begin.
const PARTS: [part: string, beginning: string][] = [
  ['embeddings', 'embeddings.'],
  ['embedding projection', 'encoder.embedding_hidden_mapping_in.'],
  ['encoder layers', 'encoder.albert_layer_groups.'],
  ['pooler', 'pooler.'],
  ['masked-language head', 'predictions.'],
  ['sentence-order head', 'sop_classifier.'],
  ['classifier', 'classifier.'],
  ['answer head', 'qa_outputs.'],
  ['start of answers', 'start_logits.'],
  ['end of answers', 'end_logits.'],
  ['answer class', 'answer_class.'],
];

function size({ shape }: NativeParameter): number {
  return shape.reduce((product, extent) => product * extent, 1);
}

function sum(parameters: NativeParameter[]): number {
  return parameters.reduce((total, parameter) => total + size(parameter), 0);
}

/** Exact parameter counts of each part, and of all. */
function countParts(parameters: NativeParameter[]): { part: string; parameters: number }[] {
  const counts = PARTS.map(([part, beginning]) => ({
    part,
    parameters: sum(parameters.filter(({ name }) => name.replace(/^albert\./, '').startsWith(beginning))),
  })).filter((entry) => entry.parameters > 0);
  return [...counts, { part: 'total', parameters: sum(parameters) }];
}

const SHARED: Record<ParameterSharing, string> = {
  all: 'everything',
  attention: 'attention',
  feed_forward: 'feed-forward',
  none: 'nothing',
};

/**
 * Parameters of the encoder and its pooler under each choice of what the layers share, as Lan et al. 2019 (table 4) count
 * them: in their model embeddings as wide as the layers need no projection, which Hugging Face's layout always has.
 */
function countSharings(config: AlbertConfig, name: string) {
  const projection = 'encoder.embedding_hidden_mapping_in.';
  const tables = PARAMETER_SHARINGS.map((sharing) => ({
    sharing,
    parameters: describeConfig(withSharing(config, sharing), name, 'base').parameters,
  }));
  const projected = tables[0].parameters.filter((parameter) => parameter.name.startsWith(projection));
  const [hidden, embedding] = projected[0].shape;
  const uncounted = hidden === embedding ? sum(projected) : 0;
  return {
    sharings: tables.map(({ sharing, parameters }) => ({ sharing, parameters: sum(parameters) - uncounted })),
    uncounted,
  };
}

function filesOf(folder: string) {
  return namesIn(folder)
    .map((name) => ({ name, stat: statSync(path.join(folder, name), { throwIfNoEntry: false }) }))
    .flatMap(({ name, stat }) => (stat?.isFile() ? [{ file: name, bytes: stat.size }] : []));
}

function printMachine(json: boolean): void {
  const { version } = binding();
  const cpu = callNative(() => binding().cpuInfo());
  const devices = callNative(() => binding().devices());
  if (json) return printJson({ version, cpu, devices });
  print(`albert-native ${version} on node ${process.version} ${process.platform}-${process.arch}`);
  print(
    `cpu: ${cpu.isa} (available: ${cpu.available.join(', ')}), ${cpu.cores} cores, ${cpu.threads} threads usable`,
  );
  for (const { type, index, name, available, reason } of devices) {
    print(`device: ${type}:${index} ${name}${available ? '' : ` (unavailable: ${reason})`}`);
  }
  print(`presets: ${PRESETS.join(', ')}`);
}

async function printModel(source: string, json: boolean, head?: Head): Promise<void> {
  const folder = isPreset(source) ? null : await resolveFolder(source);
  const { file, value }: { file: string; value: AlbertConfig } = folder
    ? await readConfig(folder)
    : { file: source, value: preset(source) };
  const described = describeConfig(value, file, head);
  const parts = countParts(described.parameters);
  const { sharings, uncounted } = countSharings(value, file);
  const files = folder ? filesOf(folder) : [];
  if (json)
    return printJson({
      source: folder ?? source,
      head: described.head,
      parts,
      sharings,
      config: value,
      files,
    });
  print(`${folder ?? `preset ${source}`}, head ${described.head}`);
  print('parameters:');
  printTable(parts.map(({ part, parameters }) => [part, parameters]));
  print('encoder and pooler if its layers shared:');
  printTable(sharings.map(({ sharing, parameters }) => [SHARED[sharing], parameters]));
  if (uncounted > 0)
    print(
      `  (without the ${uncounted} of a projection that Hugging Face's layout has and the paper's model not)`,
    );
  print('config:');
  printTable(Object.entries(value).map(([field, entry]) => [field, JSON.stringify(entry)]));
  if (files.length > 0) {
    print('files:');
    printTable(files.map(({ file: name, bytes }) => [name, bytes]));
  }
}

export function addInfo(program: Command): void {
  program
    .command('info [model]')
    .description(
      'show the configuration, exact parameter counts and files of a model or preset, or this machine',
    )
    .addOption(new Option('--head <head>', 'count the parameters with this head').choices(HEADS))
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      '\nExamples:\n  $ albert info\n  $ albert info xxlarge-v2\n  $ albert info ./albert-base-v2 --json',
    )
    .action(async (model: string | undefined, flags: { json?: boolean; head?: Head }) => {
      if (model === undefined) printMachine(flags.json ?? false);
      else await printModel(model, flags.json ?? false, flags.head);
    });
}
