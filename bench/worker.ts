/** One side of one case in a fresh process: loads, verifies before anything is timed, warms up, then times on request. */
import { readFileSync } from 'node:fs';
import { monitorEventLoopDelay, performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { lengthsOf } from './inputs';
import { NotAvailable, type Output, type Peer } from './peer';
import type { Ready, Reply, Request } from './protocol';
import { median, realRows, relativeError } from './statistics';

const WARM_MS = 700;
const WARM_RUNS = 3;
const LATE_MS = 5;

type Run = () => Promise<Output>;
let runs: Run[] = [];

function residentBytes(): number {
  globalThis.gc?.();
  return process.memoryUsage.rss();
}

async function load(request: Extract<Request, { type: 'load' }>): Promise<Ready> {
  const { peer } = (await import(`./peers/${request.peer}.js`)) as { peer: Peer };
  const version = peer.start();
  const before = residentBytes();
  const begin = performance.now();
  const session = await peer.load(request.job);
  runs = request.batches.map((batch) => session.prepare(batch));
  const output = await runs[0]();
  const loadMs = performance.now() - begin;
  const addedBytes = residentBytes() - before;

  const bytes = new Uint8Array(readFileSync(request.reference)).buffer;
  const error = relativeError(realRows(output, lengthsOf(request.batches[0])), new Float32Array(bytes));
  if (!(error <= request.tolerance)) {
    throw new Error(
      `expected the first batch of ${request.peer} ${request.job.dtype} within ${request.tolerance} of the reference ` +
        `(relative L2) but found ${error}; what computes something else is not timed`,
    );
  }
  return { type: 'ready', version, loadMs, addedBytes, error };
}

async function time(run: Run, repeats: number): Promise<number[]> {
  const times: number[] = [];
  // A plain loop: Benchmark.js decides on its own when and how often to run and cannot take turns with another process.
  for (let i = 0; i < repeats; i++) {
    const begin = process.hrtime.bigint();
    await run();
    times.push(Number(process.hrtime.bigint() - begin) / 1e6);
  }
  return times;
}

async function warm(): Promise<number> {
  const times: number[] = [];
  const begin = performance.now();
  const elapsed = () => performance.now() - begin;
  do times.push(...(await time(runs[0], 1)));
  while (elapsed() < WARM_MS || (times.length < WARM_RUNS && elapsed() < WARM_RUNS * WARM_MS));
  return median(times);
}

async function round(batch: number, repeats: number, watch: boolean): Promise<Reply> {
  if (!watch) return { type: 'time', times: await time(runs[batch], repeats), delay: null };
  const monitor = monitorEventLoopDelay({ resolution: 1 });
  monitor.enable();
  const times = await time(runs[batch], repeats);
  await sleep(LATE_MS); // a timer that was held up all the while still has to fire
  monitor.disable();
  return { type: 'time', times, delay: { p99: monitor.percentile(99) / 1e6, max: monitor.max / 1e6 } };
}

async function answer(request: Request): Promise<Reply> {
  try {
    if (request.type === 'load') return await load(request);
    if (request.type === 'warm') return { type: 'warm', ms: await warm() };
    return await round(request.batch, request.repeats, request.watch);
  } catch (error) {
    if (error instanceof NotAvailable) return { type: 'unavailable', reason: error.message };
    return { type: 'failed', reason: (error as Error).message };
  }
}

process.on('message', (request: Request) => {
  void answer(request).then((reply) => process.send!(reply));
});
