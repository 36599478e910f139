/** albert precision: how far bf16 and int8 stray from fp32 on texts of one's own. */
import type { Command } from 'commander';
import { Albert } from '../albert';
import { AlbertError } from '../errors';
import type { LoadOptions } from '../options';
import { type ModelFlags, print, printJson, printTable, textGroups, verb } from './shared';

/** Last hidden states of the groups of texts, one array a group. Rows of padding hold zeros in every precision. */
async function hiddenStates(
  flags: ModelFlags,
  dtype: NonNullable<LoadOptions['dtype']>,
  groups: string[][],
): Promise<{ states: Float32Array[]; width: number }> {
  const { device, threads } = flags;
  const model = await Albert.load(flags.model, { head: 'base', dtype, device, threads });
  try {
    const states: Float32Array[] = [];
    for (const texts of groups) {
      const input_ids = texts.map((text) => model.encode(text, { max_length: model.maxLength }).input_ids);
      const { last_hidden_state } = await model.forward({ input_ids }, { outputs: ['last_hidden_state'] });
      states.push(last_hidden_state!.data);
    }
    return { states, width: model.config.hidden_size as number };
  } finally {
    await model.dispose();
  }
}

/**
 * `error`: relative L2 error of all values; `cosine`: the least cosine between a row and its reference. Rows of zeros,
 * which are padding, do not count.
 */
function strayOf(
  states: readonly Float32Array[],
  reference: readonly Float32Array[],
  width: number,
): { tokens: number; error: number; cosine: number } {
  let tokens = 0;
  let difference = 0;
  let norm = 0;
  let cosine = 1;
  for (const [group, truth] of reference.entries()) {
    for (let row = 0; row < truth.length; row += width) {
      let dot = 0;
      let ours = 0;
      let theirs = 0;
      for (let i = row; i < row + width; i++) {
        const a = states[group][i];
        const b = truth[i];
        difference += (a - b) ** 2;
        dot += a * b;
        ours += a * a;
        theirs += b * b;
      }
      norm += theirs;
      if (theirs === 0) continue;
      tokens++;
      cosine = Math.min(cosine, dot / Math.sqrt(ours * theirs));
    }
  }
  return { tokens, error: Math.sqrt(difference / norm), cosine };
}

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
    const groups: string[][] = [];
    for await (const texts of textGroups(args, flags.file)) groups.push(texts);
    if (groups.length === 0)
      throw new AlbertError(
        'INVALID_ARGUMENT',
        'expected texts as arguments, in --file or on standard input',
      );
    const { states: reference, width } = await hiddenStates(flags, 'fp32', groups);
    const rows: { dtype: string; tokens: number; error: number; cosine: number }[] = [];
    for (const dtype of flags.dtype ? [flags.dtype] : (['bf16', 'int8'] as const)) {
      const { states } = await hiddenStates(flags, dtype, groups);
      rows.push({ dtype, ...strayOf(states, reference, width) });
    }
    if (flags.json) return rows.forEach(printJson);
    print(`last hidden state of ${rows[0].tokens} tokens against fp32:`);
    printTable([
      ['dtype', 'relative L2 error', 'least cosine of a token'],
      ...rows.map(({ dtype, error, cosine }) => [dtype, error.toExponential(2), cosine.toFixed(6)]),
    ]);
  });
}
