/** albert quantize: fits int8 to texts of one's own, and tells what that gains. */
import type { Command } from 'commander';
import { Albert } from '../albert';
import { type ModelFlags, print, printJson, someTextGroups, THREADS_FLAG } from './shared';
import { printStrays, straysOf } from './stray';

interface QuantizeFlags extends Pick<ModelFlags, 'model' | 'file' | 'json' | 'threads'> {
  output?: string;
}

export function addQuantize(program: Command): void {
  const command = program
    .command('quantize [text...]')
    .description('fit int8 to texts like those the model will serve: writes calibration.safetensors')
    .option('-m, --model <folder or name>', 'the model; default: the one that the package ships')
    .option('-f, --file <path>', 'read texts from a file, one a line')
    .option('-o, --output <path>', "the file; default: in the model's folder, where dtype int8 finds it")
    .addOption(THREADS_FLAG)
    .option('--json', 'print JSON, one line a result');
  command.addHelpText('after', '\nExamples:\n  $ albert quantize --model ./albert-base-v2 --file texts.txt');
  command.action(async (args: string[], flags: QuantizeFlags) => {
    const groups = await someTextGroups(args, flags.file);
    const { threads } = flags;
    const place = { device: 'cpu', threads } as const;
    const model = await Albert.load(flags.model, { head: 'base', ...place });
    let file: string;
    try {
      file = await model.calibrate(groups.flat(), { output: flags.output });
    } finally {
      await model.dispose();
    }
    const strays = await straysOf(
      flags.model,
      place,
      [
        ['int8', { dtype: 'int8', calibration: false }],
        ['int8, calibrated', { dtype: 'int8', calibration: file }],
      ],
      groups,
    );
    if (flags.json) return strays.forEach((stray) => printJson({ ...stray, file }));
    printStrays(strays);
    print(`written: ${file}`);
  });
}
