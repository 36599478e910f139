/** From load to dispose: aborts, concurrent calls, worker threads, memory, and an event loop that stays free. */
import { spawnSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { Albert, pipeline, preset, type Tensor } from '../lib';
import { goldenModel, root, temporaryFolder } from './support/data';
import { failure } from './support/errors';
import { turnsDuring } from './support/turns';

const medium = { ...preset('tiny'), vocab_size: 2000 };
const long = Array.from({ length: 32 }, (_, s) => Array.from({ length: 256 }, (_, i) => (i * 7 + s) % 2000));
const addon = path.join(root, 'build', 'Release', 'albert.node');

function bytes(tensor: Tensor): Buffer {
  return Buffer.from(tensor.data.buffer, tensor.data.byteOffset, tensor.data.byteLength);
}

test('a sequence gives the same bits alone, in any company, and with any number of threads', async () => {
  const sequences = [3, 17, 40, 1, 29, 8].map((length, s) =>
    Array.from({ length }, (_, i) => (i * 13 + s * 5) % 97),
  );
  const alone: Buffer[] = [];
  for (const threads of [1, 2]) {
    const model = await Albert.load(goldenModel('sequence-classification'), { threads });
    const together = await model.forward({ input_ids: sequences });
    for (let s = 0; s < sequences.length; s++) {
      const single = await model.forward({ input_ids: [sequences[s]] });
      const width = single.last_hidden_state.dims[2];
      const batchRow = together.last_hidden_state.row(s).subarray(0, sequences[s].length * width);
      expect(Array.from(batchRow)).toEqual(Array.from(single.last_hidden_state.data));
      expect(Array.from(together.logits!.row(s))).toEqual(Array.from(single.logits!.data));
      if (threads === 1) alone.push(Buffer.from(bytes(single.last_hidden_state)));
      else expect(bytes(single.last_hidden_state).equals(alone[s])).toBe(true);
    }
    await model.dispose();
  }
});

test('concurrent calls queue and each gets its own answer', async () => {
  const model = await Albert.load(goldenModel('base'));
  const inputs = Array.from({ length: 50 }, (_, i) => [[(i * 3) % 97, (i * 5) % 97, 7]]);
  const one = await Promise.all(inputs.map((input_ids) => model.forward({ input_ids })));
  for (let i = 0; i < inputs.length; i++) {
    const again = await model.forward({ input_ids: inputs[i] });
    expect(bytes(one[i].pooler_output!).equals(bytes(again.pooler_output!))).toBe(true);
  }
  await model.dispose();
});

test('dispose waits for queued runs, repeats quietly, and ends the model', async () => {
  const model = await Albert.create(medium, { head: 'base' });
  const runs = [model.forward({ input_ids: long }), model.forward({ input_ids: long.slice(0, 2) })];
  const settled: string[] = [];
  const disposed = model.dispose().then(() => settled.push('disposed'));
  const results = await Promise.allSettled(runs);
  await disposed;
  await model.dispose();
  expect(results.map((result) => result.status)).toEqual(['fulfilled', 'fulfilled']);
  await failure('DISPOSED', () => model.forward({ input_ids: [[1]] }));
  await failure('DISPOSED', () => model.save('anywhere'));
  await failure('DISPOSED', () => model.parameters());
  await failure('DISPOSED', () => model.encode('text'));
});

test('dispose waits for calls of pipelines and for saving, too', async () => {
  const unmask = await pipeline('fill-mask');
  const texts = Array.from({ length: 300 }, (_, i) => `The ship of ${i} men [MASK] the sea.`);
  const folder = temporaryFolder();
  const calls = [unmask(texts, { top_k: 1 }), unmask('a [MASK]'), unmask.model.save(folder)];
  await unmask.dispose();
  const results = await Promise.allSettled(calls);
  expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'fulfilled']);
  await (await Albert.load(folder)).dispose();
  await failure('DISPOSED', () => unmask([]));
  const busy = await pipeline('fill-mask');
  const first = busy(texts, { top_k: 1 });
  const end = busy.dispose();
  await failure('DISPOSED', () => busy('a [MASK]'));
  expect(await first).toHaveLength(300);
  await end;
  await failure('DISPOSED', () => pipeline('fill-mask', unmask.model));
});

test('Symbol.asyncDispose disposes', async () => {
  const model = await Albert.load(goldenModel('base'));
  await model[Symbol.asyncDispose]();
  await failure('DISPOSED', () => model.forward({ input_ids: [[1]] }));
});

test('dispose waits for gradients, and leaves threads of the pool to others meanwhile', async () => {
  const models = await Promise.all(
    Array.from({ length: 4 }, () => Albert.create(medium, { head: 'masked-lm' })),
  );
  const labelled = { input_ids: long.slice(0, 2), labels: long.slice(0, 2) };
  const gradients = models[0].backward(labelled);
  const runs = models.map((model) => model.forward({ input_ids: long, token_type_ids: null }));
  const order: string[] = [];
  const ends = models.map((model) => model.dispose().then(() => order.push('disposed')));
  // As many as the pool has threads: a file could not be read before the first of them ends.
  await readFile(__filename).then(() => order.push('read'));
  await Promise.all([...runs, ...ends]);
  expect(order[0]).toBe('read');
  expect((await gradients).loss).toBeGreaterThan(0);
});

test('calls that share a signal share one listener', async () => {
  const model = await Albert.create(medium, { head: 'base' });
  const { signal } = new AbortController();
  const warnings: string[] = [];
  const onWarning = ({ name }: Error) => warnings.push(name);
  process.on('warning', onWarning);
  await Promise.all(Array.from({ length: 20 }, () => model.forward({ input_ids: [[1]] }, { signal })));
  const stop = new AbortController();
  const calls = Array.from({ length: 20 }, () => model.forward({ input_ids: long }, { signal: stop.signal }));
  stop.abort();
  for (const call of calls) await failure('ABORTED', () => call);
  // Of another realm, by its shape.
  let ring = () => {};
  const foreign = {
    aborted: false,
    addEventListener: (_: string, f: () => void) => (ring = f),
    removeEventListener: () => {},
  };
  const run = model.forward({ input_ids: long }, { signal: foreign as unknown as AbortSignal });
  setTimeout(() => ring(), 5);
  await failure('ABORTED', () => run);
  process.off('warning', onWarning);
  expect(warnings).toEqual([]);
  await model.dispose();
});

test('an abort rejects at once and frees the model for others', async () => {
  const model = await Albert.create(medium, { head: 'base' });
  const early = AbortSignal.abort('never mind');
  expect((await failure('ABORTED', () => model.forward({ input_ids: long }, { signal: early }))).cause).toBe(
    'never mind',
  );
  const controller = new AbortController();
  const running = model.forward({ input_ids: long }, { signal: controller.signal });
  const queued = model.forward({ input_ids: long }, { signal: controller.signal });
  const ended: string[] = [];
  running.catch(() => ended.push('running'));
  queued.catch(() => ended.push('queued'));
  await turn();
  expect(ended).toEqual([]);
  controller.abort();
  await turn(); // no pass ends within one
  expect(ended).toEqual(['running', 'queued']);
  await failure('ABORTED', () => running);
  const { last_hidden_state } = await model.forward({ input_ids: [[1, 2]] });
  expect(last_hidden_state.dims).toEqual([1, 2, 312]);
  await model.dispose();
});

test('the event loop stays free while a batch runs', async () => {
  const model = await Albert.create(medium, { head: 'base' });
  await model.forward({ input_ids: [[1]] });
  expect(
    await turnsDuring(model.forward({ input_ids: long }, { outputs: ['pooler_output'] })),
  ).toBeGreaterThan(20);
  await model.dispose();
});

test('a second load of the same addon in a worker thread, and termination with runs pending', async () => {
  const script = `
    const { parentPort, workerData } = require('node:worker_threads');
    const native = require(workerData.addon);
    const options = { head: 'base', dtype: 'fp32', device: 'auto', isa: null, threads: 1, calibration: null };
    native.createModel(workerData.config, 1, options).then((model) => {
      const ids = Int32Array.from({ length: 8192 }, (_, i) => i % 2000);
      const batch = { ids, types: null, mask: null, lengths: new Int32Array(32).fill(256), choices: 0 };
      const wanted = { last_hidden_state: true, first_hidden_state: false, mean_hidden_state: false, pooler_output: false, logits: false, sop_logits: false, hidden_states: false, attentions: false, logitsRows: null };
      for (let i = 0; i < 5; i++) model.forward(batch, wanted).result.catch(() => {});
      parentPort.postMessage('running');
    });`;
  for (let round = 0; round < 3; round++) {
    const worker = new Worker(script, { eval: true, workerData: { addon, config: JSON.stringify(medium) } });
    const message = await new Promise((resolve, reject) =>
      worker.once('message', resolve).once('error', reject),
    );
    expect(message).toBe('running');
    await worker.terminate();
  }
});

test('a process ends by itself, with or without dispose, and with runs pending at exit', () => {
  const run = (body: string) =>
    spawnSync(process.execPath, ['-e', body], { cwd: root, encoding: 'utf8', timeout: 30000 });
  const setup = `const native = require(${JSON.stringify(addon)});
    const options = { head: 'base', dtype: 'fp32', device: 'auto', isa: null, threads: 2, calibration: null };
    const batch = { ids: new Int32Array(2048), types: null, mask: null, lengths: new Int32Array(8).fill(256), choices: 0 };
    const wanted = { last_hidden_state: true, first_hidden_state: false, mean_hidden_state: false, pooler_output: false, logits: false, sop_logits: false, hidden_states: false, attentions: false, logitsRows: null };
    native.createModel(${JSON.stringify(JSON.stringify(medium))}, 1, options).then((model) => {
      const { result } = model.forward(batch, wanted);`;
  expect(run(`${setup} result.then(() => console.log('done')); });`)).toMatchObject({
    status: 0,
    stdout: 'done\n',
  });
  expect(run(`${setup} process.exit(3); });`).status).toBe(3);
});

test('methods borrowed onto foreign objects throw', () => {
  const script = `const native = require(${JSON.stringify(addon)});
    const options = { head: 'base', dtype: 'fp32', device: 'auto', isa: null, threads: 1, calibration: null };
    native.createModel(${JSON.stringify(JSON.stringify(medium))}, 1, options).then((model) => {
      for (const receiver of [{}, null, 1, new Map(), Object.create(Object.getPrototypeOf(model))]) {
        for (const name of ['forward', 'parameters', 'save', 'dispose'])
          try { model[name].call(receiver, {}, {}); console.log('accepted'); } catch (error) { if (!(error instanceof TypeError)) console.log(error); }
      }
      try { native.createTrainer({}, {}, {}, 1); console.log('accepted'); } catch (error) { if (!(error instanceof TypeError)) console.log(error); }
      // A pointer that JavaScript can get hold of, of Node's own making.
      const external = process.stdout._handle._externalStream;
      if (typeof external !== 'object') console.log('no external');
      for (const args of [[], [{}], [model], [external], [external, external]])
        try { new model.constructor(...args); console.log('constructed'); } catch (error) { if (!/made by loadModel or createModel/.test(error.message)) console.log(error); }
    });`;
  const result = spawnSync(process.execPath, ['-e', script], { cwd: root, encoding: 'utf8' });
  expect([result.status, result.stdout]).toEqual([0, '']);
});

test('the garbage collector is told of the memory that batches grow, and that dispose gives it back', () => {
  // In a process of its own, where nothing else comes and goes.
  const shallow = { ...medium, num_hidden_layers: 1, intermediate_size: 312 };
  const script = `const native = require(${JSON.stringify(addon)});
    const options = { head: 'base', dtype: 'fp32', device: 'cpu', isa: null, threads: 1, calibration: null };
    const batch = { ids: new Int32Array(4096), types: null, mask: null, lengths: new Int32Array(16).fill(256), choices: 0 };
    const wanted = { last_hidden_state: false, first_hidden_state: false, mean_hidden_state: true, pooler_output: false, logits: false, sop_logits: false, hidden_states: false, attentions: false, logitsRows: null };
    const told = [];
    const note = () => told.push(native.externalMemory());
    const run = async () => { note(); const model = await native.createModel(${JSON.stringify(JSON.stringify(shallow))}, 1, options); note();
      await model.forward(batch, wanted).result; note(); await model.forward(batch, wanted).result; note(); await model.dispose(); note(); };
    run().then(() => console.log(JSON.stringify(told)));`;
  const result = spawnSync(process.execPath, ['-e', script], { cwd: root, encoding: 'utf8' });
  expect([result.status, result.stderr]).toEqual([0, '']);
  const [start, loaded, grown, again, disposed] = JSON.parse(result.stdout) as number[];
  expect(loaded - start).toBeGreaterThan(4 * 312 * 312 * 4);
  expect(grown - loaded).toBeGreaterThan(4096 * 312 * 4); // the residual stream alone
  expect(Math.abs(again - grown)).toBeLessThan(2 ** 20);
  expect(Math.abs(disposed - start)).toBeLessThan(2 ** 20);
});

test('resident memory is flat over calls and over load and dispose', async () => {
  const model = await Albert.load(goldenModel('base'));
  const call = () =>
    model.forward({
      input_ids: [
        [1, 2, 3],
        [4, 5],
      ],
    });
  const resident = () => process.memoryUsage().rss / 2 ** 20;
  for (let i = 0; i < 300; i++) await call();
  const before = resident();
  for (let i = 0; i < 2000; i++) await call();
  expect(resident() - before).toBeLessThan(48);
  await model.dispose();
  const cycle = async () => {
    const other = await Albert.create(medium, { head: 'base' });
    await other.dispose();
  };
  for (let i = 0; i < 5; i++) await cycle();
  const loaded = resident();
  for (let i = 0; i < 15; i++) await cycle();
  expect(resident() - loaded).toBeLessThan(64);
});
