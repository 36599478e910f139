/** How far a model that is loaded in other ways strays from its fp32 self on given texts. */
import { Albert } from '../albert';
import type { LoadOptions } from '../load-options';
import { progressBar } from './progress';
import { print, printTable } from './shared';

/** Relative L2 error of all values, and the least cosine between a token's state and its reference. */
interface Stray {
  /** The way of loading. */
  dtype: string;
  tokens: number;
  error: number;
  cosine: number;
}

interface HiddenStates {
  states: Float32Array[];
  width: number;
}

/** Last hidden states of the groups of texts, one array a group. Rows of padding hold zeros in every precision. */
async function hiddenStates(
  source: string | undefined,
  options: LoadOptions,
  groups: readonly string[][],
  onGroup: () => void,
): Promise<HiddenStates> {
  const model = await Albert.load(source, { ...options, head: 'base' });
  try {
    const states: Float32Array[] = [];
    for (const texts of groups) {
      const input_ids = texts.map((text) => model.encode(text, { max_length: model.maxLength }).input_ids);
      const { last_hidden_state } = await model.forward({ input_ids }, { outputs: ['last_hidden_state'] });
      states.push(last_hidden_state.data);
      onGroup();
    }
    return { states, width: model.config.hidden_size as number };
  } finally {
    await model.dispose();
  }
}

/** How far states stray from those of the reference, over all tokens; rows of zeros, which are padding, do not count. */
function strayOf({ states }: HiddenStates, { states: reference, width }: HiddenStates) {
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

/** A line for each way of loading, by the name it is given. */
export async function straysOf(
  source: string | undefined,
  place: Pick<LoadOptions, 'device' | 'threads'>,
  ways: readonly [name: string, options: LoadOptions][],
  groups: readonly string[][],
): Promise<Stray[]> {
  const bar = progressBar((1 + ways.length) * groups.length);
  let done = 0;
  const states = (options: LoadOptions) =>
    hiddenStates(source, { ...options, ...place }, groups, () => bar.update(++done, 'groups of texts'));
  try {
    const reference = await states({ dtype: 'fp32' });
    const strays: Stray[] = [];
    for (const [dtype, options] of ways) strays.push({ dtype, ...strayOf(await states(options), reference) });
    return strays;
  } finally {
    bar.stop();
  }
}

export function printStrays(strays: readonly Stray[]): void {
  print(`last hidden state of ${strays[0].tokens} tokens against fp32:`);
  printTable([
    ['dtype', 'relative L2 error', 'least cosine of a token'],
    ...strays.map(({ dtype, error, cosine }) => [dtype, error.toExponential(2), cosine.toFixed(6)]),
  ]);
}
