/** Runs any number of tokenised texts through a model in parts, with bounded memory and turns for the event loop. */
import { setImmediate } from 'node:timers/promises';
import type { Albert } from '../albert';
import { inputsOf, type SequenceIds } from '../inputs';
import type { NativeEncoding } from '../native';
import type { ForwardOutputs } from '../outputs';
import type { RawOptions, TextOrPair } from '../tokenizer';

// A part keeps every core busy; a few in flight hide the work between them. More would only hold memory, and others up.
const TOKENS_OF_SHORT_TEXT = 32;
const PARTS_IN_FLIGHT = 3;

/** What to compute for each sequence. */
export interface RunPlan {
  outputs: string[];
  /** Masked-language heads: the positions of sequence i whose logits are wanted. */
  positions?: (i: number) => number[];
  signal?: AbortSignal;
  onProgress?: (progress: RunProgress) => void;
}

/** Sequences that have passed the model, of all. */
export interface RunProgress {
  done: number;
  total: number;
}

/** Where a sequence stands in the outputs of its part. */
interface Place {
  /** Among all sequences of the call. */
  index: number;
  /** Row of the outputs' first dimension. */
  row: number;
  /** With positions: row of its first position's logits. */
  firstPosition: number;
}

/** Ids of texts, cut to what the model takes. @throws AlbertError ABORTED. */
export function encodeFor(
  model: Albert,
  texts: readonly TextOrPair[],
  options: RawOptions,
): Promise<NativeEncoding[]> {
  return model.tokenizer.encodeRaw(texts, {
    maxLength: model.maxLength,
    truncation: 'longest_first',
    ...options,
  });
}

function split(encodings: SequenceIds[], tokensPerPart: number): [begin: number, end: number][] {
  const sequencesPerPart = Math.ceil(tokensPerPart / TOKENS_OF_SHORT_TEXT);
  const parts: [number, number][] = [];
  for (let begin = 0, tokens = 0, i = 0; i < encodings.length; i++) {
    const length = encodings[i].ids.length;
    if (i > begin && (i - begin === sequencesPerPart || tokens + length > tokensPerPart)) {
      parts.push([begin, i]);
      begin = i;
      tokens = 0;
    }
    tokens += length;
    if (i === encodings.length - 1) parts.push([begin, i + 1]);
  }
  return parts;
}

/** Gives the event loop a turn whenever this one has lasted for a few milliseconds. */
export class Breather {
  #since = performance.now();

  async pause(): Promise<void> {
    if (performance.now() - this.#since < 3) return;
    await setImmediate();
    this.#since = performance.now();
  }
}

/** Runs every encoding and reads its result from the outputs of its part; results in the order of the encodings. */
export async function runEncodings<T>(
  model: Albert,
  encodings: SequenceIds[],
  plan: RunPlan,
  read: (outputs: ForwardOutputs, place: Place) => T,
): Promise<T[]> {
  const results = new Array<T>(encodings.length);
  const parts = split(encodings, model.batchTokens);
  const breather = new Breather();
  let next = 0;
  let done = 0;
  const work = async () => {
    while (next < parts.length) {
      const [begin, end] = parts[next++];
      const slice = encodings.slice(begin, end);
      const positions = plan.positions && slice.map((_, i) => plan.positions!(begin + i));
      const outputs = await model.forward(inputsOf(slice), {
        outputs: plan.outputs,
        positions,
        signal: plan.signal,
      });
      let firstPosition = 0;
      for (let row = 0; row < slice.length; row++) {
        results[begin + row] = read(outputs, { index: begin + row, row, firstPosition });
        firstPosition += positions ? positions[row].length : 0;
        await breather.pause();
      }
      done += slice.length;
      plan.onProgress?.({ done, total: encodings.length });
    }
  };
  try {
    await Promise.all(Array.from({ length: Math.min(PARTS_IN_FLIGHT, parts.length) }, work));
  } finally {
    next = parts.length; // where one part fails, the others need not go on
  }
  return results;
}
