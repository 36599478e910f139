/** `npm run bench -- finetune`: what packing is worth when ALBERT-base is fine-tuned on SST-2's real sentences. */
import { dataFiles, loadVocabulary, readRows } from './inputs';
import { configOf } from './models';
import { median } from './statistics';
import { albert } from './subject';

const BATCH = 32;
const PADDED_LENGTH = 128;
const ROUNDS = 5;
const TARGET = 2.5;

/** Sentences of the training file, spread over all of it. */
function sentences(file: string, count: number): string[] {
  const rows = readRows(file);
  const stride = Math.floor(rows.length / count);
  return Array.from({ length: count }, (_, i) => rows[i * stride][0]);
}

/**
 * Prints real tokens a second of steps on packed sentences, and on the same sentences padded: rows of padding run through the
 * same kernels as real ones.
 */
export async function benchFinetuning(data: string, threads: number): Promise<void> {
  const tokenizer = await loadVocabulary(data);
  const encodings = await tokenizer.encodeBatch(sentences(dataFiles(data).sst2, BATCH * ROUNDS));
  const model = await albert().Albert.create(configOf('base'), { head: 'sequence-classification', threads });
  console.log(
    `ALBERT-base on SST-2, ${BATCH} sentences a step, padded to ${PADDED_LENGTH} and packed, in turn\n`,
  );
  for (const dtype of ['fp32', 'bf16'] as const) {
    const trainer = new (albert().Trainer)(model, {
      optimizer: 'adamw',
      learningRate: 1e-5,
      totalSteps: 1000,
      dtype,
      threads,
    });
    const speeds = { padded: [] as number[], packed: [] as number[] };
    const time = async (ids: Int32Array[], real: number, into: number[]) => {
      const begin = performance.now();
      await trainer.step({ input_ids: ids, labels: ids.map((_, i) => i % 2) });
      into.push((1e3 * real) / (performance.now() - begin));
    };
    for (let round = -1; round < ROUNDS; round++) {
      const some = encodings.slice(Math.max(0, round) * BATCH, (Math.max(0, round) + 1) * BATCH);
      const packed = some.map(({ input_ids }) => input_ids.slice(0, PADDED_LENGTH));
      const padded = packed.map((ids) => Int32Array.from({ length: PADDED_LENGTH }, (_, i) => ids[i] ?? 0));
      const real = packed.reduce((sum, ids) => sum + ids.length, 0);
      const warming = round < 0;
      await time(padded, real, warming ? [] : speeds.padded);
      await time(packed, real, warming ? [] : speeds.packed);
    }
    const [slow, fast] = [median(speeds.padded), median(speeds.packed)];
    console.log(
      `${dtype}  padded ${slow.toFixed(0)}, packed ${fast.toFixed(0)} real tokens/s: ${(fast / slow).toFixed(2)} x  ` +
        `(target ${TARGET} x: ${fast / slow >= TARGET ? 'met' : 'missed'})`,
    );
    await trainer.dispose();
  }
  await model.dispose();
}
