// What a service would feel: event-loop delay while texts are embedded, what a short text waits for, and memory over calls and over load and dispose.
// Usage: node --expose-gc bench/micro/service.cjs [VOCABULARY [TEXT_FILE]]   (defaults: the test vocabulary, its own lines)
'use strict';
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { setTimeout } = require('node:timers/promises');
const { monitorEventLoopDelay, performance } = require('node:perf_hooks');
const { Albert, pipeline, preset } = require('../..');

const root = path.join(__dirname, '..', '..');
const [vocabulary = path.join(root, 'test', 'golden', 'vocabulary', 'spiece.model'), textFile] =
  process.argv.slice(2);
const resident = () => {
  global.gc?.();
  return `${(process.memoryUsage().rss / 2 ** 20).toFixed(0)} MB`;
};

function readTexts() {
  if (textFile) return fs.readFileSync(textFile, 'utf8').split('\n').filter(Boolean).slice(0, 200);
  const lines = fs.readFileSync(
    path.join(root, 'test', 'golden', 'vocabulary', 'sentencepiece.jsonl'),
    'utf8',
  );
  const texts = lines
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line).text);
  return Array.from({ length: 200 }, (_, i) => texts[i % texts.length].slice(0, 200));
}

async function delayDuring(name, work) {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  const begin = performance.now();
  delay.enable();
  await work();
  delay.disable();
  const [p99, max] = [delay.percentile(99), delay.max].map((value) => (value / 1e6).toFixed(1));
  console.log(`${name}: ${(performance.now() - begin).toFixed(0)} ms, delay p99 ${p99} ms, max ${max} ms`);
}

async function main() {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'albert-service-'));
  try {
    const fresh = await Albert.create(preset('base-v2'), { head: 'base', seed: 1 });
    await fresh.save(folder);
    await fresh.dispose();
    fs.copyFileSync(vocabulary, path.join(folder, 'spiece.model'));
    const texts = readTexts();

    const embed = await pipeline('feature-extraction', folder);
    await delayDuring('idle', () => setTimeout(2000));
    for (const pooling of ['mean', 'none', 'mean', 'none'])
      await delayDuring(`200 texts in one call, pooling ${pooling}`, () => embed(texts, { pooling }));
    for (let i = 0; i < 2; i++)
      await delayDuring('200 calls at once', () =>
        Promise.all(texts.map((text) => embed(text, { pooling: 'mean' }))),
      );
    const long = texts.slice(0, 100).map((text) => text.repeat(3));
    let busy = true;
    const job = embed(long, { pooling: 'mean' }).finally(() => (busy = false));
    const waits = [];
    while (busy) {
      const begin = performance.now();
      await embed('a short text', { pooling: 'mean' });
      if (busy) waits.push(performance.now() - begin);
    }
    await job;
    const middle = waits.sort((a, b) => a - b)[waits.length >> 1];
    console.log(`a short text beside a call of ${long.length}: median ${middle?.toFixed(0)} ms`);
    await embed.dispose();

    const small = await Albert.create({ ...preset('tiny'), vocab_size: 2000 }, { head: 'base' });
    const calls = [];
    for (let i = 0; i <= 10000; i++) {
      await small.forward({
        input_ids: [
          [1, 2, 3, 4, 5],
          [7, 8],
        ],
      });
      if (i % 2500 === 0) calls.push(resident());
    }
    console.log(`resident after 0 .. 10,000 calls: ${calls.join(', ')}`);
    await small.dispose();

    const cycles = [];
    for (let i = 0; i <= 50; i++) {
      const model = await Albert.load(folder, { head: 'base' });
      await model.forward({ input_ids: [[1, 2, 3]] });
      await model.dispose();
      if (i % 10 === 0) cycles.push(resident());
    }
    console.log(`resident after 0 .. 50 loads and disposals of ALBERT-base: ${cycles.join(', ')}`);
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
}

main();
