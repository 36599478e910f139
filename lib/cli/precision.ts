/** albert precision: how far bf16 and int8 stray from fp32 on texts of one's own. */
import type { Command } from 'commander';
import type { DType } from '../load-options';
import { type ModelFlags, printJson, someTextGroups, verb } from './shared';
import { printStrays, straysOf } from './stray';

export function addPrecision(program: Command): void {
  const command = verb(
    program,
    'precision [text...]',
    'tell how far bf16 and int8 stray from fp32 on your texts',
    [
      'albert precision --model ./albert-base-v2 --file texts.txt',
      'albert precision --model ./albert-base-v2 --dtype int8 --json --file texts.txt',
    ],
  );
  command.action(async (args: string[], flags: ModelFlags) => {
    const groups = await someTextGroups(args, flags.file);
    const { model, device, threads } = flags;
    const dtypes: DType[] = flags.dtype ? [flags.dtype] : ['bf16', 'int8'];
    const strays = await straysOf(
      model,
      { device, threads },
      dtypes.map((dtype) => [dtype, { dtype }]),
      groups,
    );
    if (flags.json) strays.forEach(printJson);
    else printStrays(strays);
  });
}
