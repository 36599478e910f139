// Times short texts that come after a pause, ALBERT-base with random weights: node bench/micro/pause.cjs [dtype]
'use strict';
const { mkdtempSync, rmSync } = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { performance } = require('node:perf_hooks');
const { setTimeout: sleep } = require('node:timers/promises');
const { Albert, preset } = require('../..');

const LENGTHS = [8, 32];
const PAUSES_MS = [0, 10, 50];
const CALLS = 60;

async function main() {
  const [dtype = 'int8'] = process.argv.slice(2);
  const folder = mkdtempSync(path.join(os.tmpdir(), 'albert-pause-'));
  const random = await Albert.create(preset('base-v2'), { head: 'base', seed: 1 });
  await random.save(folder);
  await random.dispose();
  const model = await Albert.load(folder, { head: 'base', dtype });
  console.log(`ALBERT-base, ${dtype}, ${model.isa}, ${model.threads} threads, ${CALLS} calls each`);
  for (const length of LENGTHS) {
    const input_ids = [Array.from({ length }, (_, i) => 5 + i * 37)];
    for (const pause of PAUSES_MS) {
      const times = [];
      for (let call = 0; call < CALLS; call++) {
        if (pause) await sleep(pause);
        const begin = performance.now();
        await model.forward({ input_ids }, { outputs: ['last_hidden_state'] });
        times.push(performance.now() - begin);
      }
      times.sort((a, b) => a - b);
      const at = (share) => times[Math.floor(share * CALLS)].toFixed(2);
      console.log(
        `${length} tokens, ${pause} ms after the last: median ${at(0.5)} ms, 90th percentile ${at(0.9)} ms`,
      );
    }
  }
  await model.dispose();
  rmSync(folder, { recursive: true });
}

main();
