/** albert precision: how far bf16 and int8 stray from fp32 on texts of one's own. */
import type { Command } from 'commander';
import type { DType } from '../options';
import { countingBar } from './progress';
import { type ModelFlags, print, printJson, someTextGroups, verb } from './shared';
import { hiddenStates, printStrays, strayOf } from './stray';

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
    const dtypes = flags.dtype ? [flags.dtype] : (['bf16', 'int8'] as const);
    const counter = countingBar((1 + dtypes.length) * groups.length);
    const rows = [];
    try {
      const states = (dtype: DType) => hiddenStates(model, { dtype, device, threads }, groups, counter.count);
      const reference = await states('fp32');
      for (const dtype of dtypes) rows.push({ dtype, ...strayOf(await states(dtype), reference) });
    } finally {
      counter.stop();
    }
    if (flags.json) return rows.forEach(printJson);
    print(`last hidden state of ${rows[0].tokens} tokens against fp32:`);
    printStrays(rows);
  });
}
