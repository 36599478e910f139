/** albert export: writes a model in a format that other runtimes load. */
import { type Command, Option } from 'commander';
import { EXPORT_DTYPES, exportOnnx, type ExportOnnxOptions } from '../formats/onnx';
import { HEADS } from '../heads';
import { print, printJson, printTable } from './shared';

interface Flags extends ExportOnnxOptions {
  reduceRange: boolean;
  model: string;
  output: string;
  json?: boolean;
}

export function addExport(program: Command): void {
  program
    .command('export')
    .description(
      'write a model in a format that other runtimes load, such as onnxruntime and transformers.js',
    )
    .requiredOption('-m, --model <folder or name>', 'the model')
    .requiredOption('-o, --output <folder>', 'where to write it')
    .addOption(new Option('--format <format>', 'the format').choices(['onnx']).default('onnx'))
    .addOption(
      new Option('--dtype <dtype>', 'precision of the weights').choices(EXPORT_DTYPES).default('fp32'),
    )
    .addOption(new Option('--head <head>', 'the head; default: what config.json names').choices(HEADS))
    .option('--no-reduce-range', 'int8: use all eight bits of the weights, for processors with VNNI')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      '\nExamples:\n  $ albert export --model ./albert-base-v2 --output ./albert-base-v2-onnx\n' +
        '  $ albert export -m ./albert-squad2 -o ./onnx --dtype all',
    )
    .action(async ({ model, output, json, head, dtype, reduceRange }: Flags) => {
      const result = await exportOnnx(model, output, { head, dtype, reduce_range: reduceRange });
      if (json) return printJson(result);
      print(`${output}, head ${result.head}`);
      printTable(result.files.map(({ file, bytes }) => [file, bytes]));
    });
}
