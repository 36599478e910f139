/** How far a model that is loaded in another way strays from its fp32 self on given texts. */
import { Albert, type CheckpointOptions } from '../albert';
import { printTable } from './shared';

/** Relative L2 error of all values, and the least cosine between a token's state and its reference. */
export interface Stray {
  tokens: number;
  error: number;
  cosine: number;
}

export interface HiddenStates {
  states: Float32Array[];
  width: number;
}

/** Last hidden states of the groups of texts, one array a group. Rows of padding hold zeros in every precision. */
export async function hiddenStates(
  source: string | undefined,
  options: CheckpointOptions,
  groups: readonly string[][],
  onGroup: () => void,
): Promise<HiddenStates> {
  const model = await Albert.load(source, { ...options, head: 'base' });
  try {
    const states: Float32Array[] = [];
    for (const texts of groups) {
      const input_ids = texts.map((text) => model.encode(text, { max_length: model.maxLength }).input_ids);
      const { last_hidden_state } = await model.forward({ input_ids }, { outputs: ['last_hidden_state'] });
      states.push(last_hidden_state!.data);
      onGroup();
    }
    return { states, width: model.config.hidden_size as number };
  } finally {
    await model.dispose();
  }
}

/** Rows of zeros, which are padding, do not count. */
export function strayOf({ states }: HiddenStates, { states: reference, width }: HiddenStates): Stray {
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

/** A line for each way of loading. */
export function printStrays(strays: readonly (Stray & { dtype: string })[]): void {
  printTable([
    ['dtype', 'relative L2 error', 'least cosine of a token'],
    ...strays.map(({ dtype, error, cosine }) => [dtype, error.toExponential(2), cosine.toFixed(6)]),
  ]);
}
