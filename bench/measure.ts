/** Measures one case: both sides in processes of their own, taking turns. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Case } from './cases';
import { Contestant } from './contestant';
import type { Peak } from './flops';
import { batchesOf, dataFiles, lengthsOf } from './inputs';
import { configOf, type ModelFolders, modelFolders } from './models';
import { type Batch, type DType, type Job, NotAvailable } from './peer';
import type { Ready } from './protocol';
import { evaluate, type Result, type Side, timedSide } from './results';
import { median, realRows } from './statistics';
import { albert, native } from './subject';

/** How long a round of one side lasts, for work of one batch. */
const ROUND_MS = 500;
const MOST_REPEATS = 500;
/** Before each round, so that the other side's threads have gone to sleep. */
const PAUSE_MS = 30;
/** Work of many batches takes a round for each of them, so it needs fewer passes. */
const ROUNDS_PER_PASS = 3;

/** Relative L2 errors beyond which a side computes something else; quality has targets of its own. */
const TOLERANCE: Record<DType, number> = { fp32: 1e-4, bf16: 2e-2, int8: 0.25 };

export interface Settings {
  rounds: number;
  threads: number;
  /** Folder of the data of others. */
  data: string;
  /** Of all threads; `avx2` for cases that are forced to that. */
  peak: { all: Peak; avx2: Peak };
  /** See modelFolders. */
  eightBits: boolean;
}

/** A worker's request to load, without the peer. */
interface Load {
  job: Omit<Job, 'dtype'>;
  batches: Batch[];
  reference: string;
}

interface Opponent {
  peer: string;
  dtype: DType;
}

/** A side that has loaded and is verified, and how to open it again in another process. */
interface Opened {
  contestant: Contestant;
  ready: Ready;
  batches: number;
  again: () => Promise<Opened>;
}

type Delay = NonNullable<Side['delay']>;

/** What each precision reaches in the middle of several measurements. */
export function middlePeak(peaks: readonly Peak[]): Peak {
  const of = (dtype: DType) => median(peaks.map((peak) => peak[dtype]));
  return { fp32: of('fp32'), bf16: of('bf16'), int8: of('int8') };
}

const summary = (delays: Delay[]): Delay => ({
  p99: median(delays.map(({ p99 }) => p99)),
  max: Math.max(...delays.map(({ max }) => max)),
});

const SUBJECT = 'albert-native';

export class Bench {
  readonly #settings: Settings;
  readonly #folder = mkdtempSync(path.join(os.tmpdir(), 'albert-bench-'));
  readonly #models: ModelFolders;
  readonly #references = new Map<string, Promise<string>>();
  /** Versions of the peers that ran. */
  readonly versions: Record<string, string> = {};

  constructor(settings: Settings) {
    this.#settings = settings;
    this.#models = modelFolders(this.#folder, dataFiles(settings.data).vocabulary, settings.eightBits);
  }

  /** Removes the models and references. */
  close(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** Never throws: what goes wrong becomes the row's status. */
  async measure(given: Case): Promise<Result> {
    const shape = configOf(given.model);
    const row = (batches: Batch[], ours: Side | null, rival: Result['rival'], reason: string | null) =>
      evaluate(
        given,
        batches.flatMap(lengthsOf),
        shape,
        this.#settings.peak[given.isa ?? 'all'],
        ours,
        rival,
        reason,
      );
    let batches: Batch[] = [];
    try {
      const folder = await this.#models.folder(given.model);
      batches = await batchesOf(given.work, this.#settings.data);
      const load = await this.#load(given, folder, batches);
      const { ours, rival, reason } = await this.#both(given, load);
      return row(batches, ours, rival && { ...rival, peer: given.rival!.peer }, reason);
    } catch (error) {
      const failed = { ...row(batches, null, null, (error as Error).message) };
      return error instanceof NotAvailable ? failed : { ...failed, status: 'failed' };
    }
  }

  async #load(given: Case, folder: string, batches: Batch[]): Promise<Load> {
    const job = {
      folder,
      onnx: null,
      output: given.output,
      threads: this.#settings.threads,
      isa: given.isa,
    };
    return { job, batches, reference: await this.#reference(given, folder, batches[0]) };
  }

  /** File with the real rows of the first batch, computed once by our own fp32. */
  #reference(given: Case, folder: string, batch: Batch): Promise<string> {
    const key = JSON.stringify([given.model, given.work, given.output]);
    const file = path.join(this.#folder, `reference-${this.#references.size}`);
    const compute = async () => {
      const model = await albert().Albert.load(folder, { head: 'base', threads: this.#settings.threads });
      const { input_ids, token_type_ids } = batch;
      const name = given.output === 'embedding' ? 'mean_hidden_state' : given.output;
      const outputs = await model.forward({ input_ids, token_type_ids }, { outputs: [name] });
      writeFileSync(file, realRows(outputs[name], lengthsOf(batch)));
      await model.dispose();
      return file;
    };
    if (!this.#references.has(key)) this.#references.set(key, compute());
    return this.#references.get(key)!;
  }

  /** A missing rival leaves its side empty; without our side there is nothing to compare. */
  async #both(given: Case, load: Load): Promise<{ ours: Side; rival: Side | null; reason: string | null }> {
    // Our side first: where it is not available, no model needs to be exported.
    const sides = [await this.#open({ peer: SUBJECT, dtype: given.dtype }, load)];
    let reason: string | null = null;
    try {
      if (given.rival) {
        try {
          const onnx = await this.#models.onnx(given.model);
          sides.push(await this.#open(given.rival, { ...load, job: { ...load.job, onnx } }));
        } catch (error) {
          if (!(error instanceof NotAvailable)) throw error;
          reason = error.message;
        }
      }
      const measure = given.measure === 'time' ? this.#alternate : this.#freshProcesses;
      const [ours, rival = null] = await measure.call(this, given, sides);
      return { ours, rival, reason };
    } finally {
      for (const { contestant } of sides) contestant.close();
    }
  }

  async #open(opponent: Opponent, load: Load): Promise<Opened> {
    const { peer, dtype } = opponent;
    const request = { ...load, peer, job: { ...load.job, dtype }, tolerance: TOLERANCE[dtype] };
    const opened = await Contestant.open({ type: 'load', ...request });
    this.versions[peer] = opened.ready.version;
    return { ...opened, batches: load.batches.length, again: () => this.#open(opponent, load) };
  }

  /** Rounds of the one and the other, in turn; the waiting process is idle. */
  async #alternate(given: Case, opened: Opened[]): Promise<Side[]> {
    const { rounds } = this.#settings;
    const { batches } = opened[0];
    const watch = given.work.kind === 'texts';
    const peaks: Peak[] = [];
    const passes = batches === 1 ? rounds : Math.ceil(rounds / ROUNDS_PER_PASS);
    const sides = [];
    for (const { contestant, ready } of opened) {
      const { ms } = await contestant.ask({ type: 'warm' });
      const repeats = batches === 1 ? Math.min(MOST_REPEATS, Math.max(1, Math.round(ROUND_MS / ms))) : 1;
      const times = Array.from({ length: batches }, (): number[] => []);
      sides.push({ contestant, ready, repeats, times, delays: [] as Delay[] });
    }
    for (let pass = 0; pass < passes; pass++) {
      for (let batch = 0; batch < batches; batch++) {
        for (const { contestant, repeats, times, delays } of sides) {
          await sleep(PAUSE_MS);
          const reply = await contestant.ask({ type: 'time', batch, repeats, watch });
          times[batch].push(...reply.times);
          if (reply.delay) delays.push(reply.delay);
          // A clock that moves with load and neighbours moves the peak too.
          if (contestant === sides[0].contestant && given.targets.some(({ kind }) => kind === 'share'))
            peaks.push(await native().measureCpuPeak(this.#settings.threads, given.isa ?? '', true));
        }
      }
    }
    return sides.map(({ times, ready, delays }, side) => ({
      ...timedSide(times, ready.error),
      ...(side === 0 && peaks.length > 0 ? { peak: middlePeak(peaks) } : {}),
      ...(watch ? { delay: summary(delays) } : {}),
    }));
  }

  /** What only the first result of a process tells: its error, its time, its memory. */
  async #freshProcesses(given: Case, opened: Opened[]): Promise<Side[]> {
    const samples = opened.map(({ ready }) => [ready]);
    for (const { contestant } of opened) contestant.close();
    const count = given.measure === 'error' ? 1 : this.#settings.rounds;
    for (let i = 1; i < count; i++) {
      for (const [side, { again }] of opened.entries()) {
        await sleep(PAUSE_MS);
        const { contestant, ready } = await again();
        contestant.close();
        samples[side].push(ready);
      }
    }
    return samples.map((readies): Side => {
      const { error } = readies[0];
      if (given.measure === 'error') return { error };
      if (given.measure === 'load') return timedSide([readies.map(({ loadMs }) => loadMs)], error);
      return { error, megabytes: median(readies.map(({ addedBytes }) => addedBytes)) / 1e6 };
    });
  }
}
