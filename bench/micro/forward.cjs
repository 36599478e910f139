// Times the forward pass of an ALBERT-base with random weights: node bench/micro/forward.cjs [isa] [threads]
'use strict';
const { performance } = require('node:perf_hooks');
const { Albert, cpuInfo, preset } = require('../..');

const SHAPES = [
  [1, 8],
  [1, 16],
  [1, 128],
  [8, 128],
  [1, 512],
];
const SECONDS_PER_SHAPE = 4;

// Multiply-adds of products and attention, two operations each; embeddings, norms and activations are left out.
function operations(config, sequences, length) {
  const { hidden_size: H, intermediate_size: F, num_hidden_layers: L, embedding_size: E } = config;
  const perToken = L * 2 * (4 * H * H + 2 * H * F) + 2 * E * H;
  return sequences * length * (perToken + L * 4 * length * H);
}

async function main() {
  const [isa = cpuInfo().isa, threads = cpuInfo().threads] = process.argv.slice(2);
  const config = preset('base-v2');
  const model = await Albert.create(config, { head: 'base', seed: 1, isa, threads: Number(threads) });
  console.log(`ALBERT-base, fp32, ${model.isa}, ${model.threads} threads`);
  for (const [sequences, length] of SHAPES) {
    const input_ids = Array.from({ length: sequences }, (_, s) =>
      Array.from({ length }, (_, i) => (i * 37 + s * 101) % config.vocab_size),
    );
    const times = [];
    for (
      const start = performance.now();
      times.length < 5 || performance.now() - start < SECONDS_PER_SHAPE * 1e3;
    ) {
      const begin = performance.now();
      await model.forward({ input_ids }, { outputs: ['last_hidden_state'] });
      times.push(performance.now() - begin);
    }
    times.sort((a, b) => a - b);
    const median = times[times.length >> 1];
    const rate = operations(config, sequences, length) / median / 1e6;
    console.log(
      `${`${sequences}x${length}`.padStart(6)}  best ${times[0].toFixed(2)} ms  median ${median.toFixed(2)} ms  ` +
        `${rate.toFixed(0)} GFLOP/s  (${times.length} runs)`,
    );
  }
  await model.dispose();
}

main();
