// The mean of weights of one model: at several steps of a run it stands for a decay of the rate, of before and after a stage on
// other text it keeps what both can do:
// node scripts/albert-mini-en/average.cjs MODEL OUT COPY.safetensors... (MODEL gives config.json and the vocabulary)
'use strict';
const { copyFileSync, existsSync, mkdirSync } = require('node:fs');
const path = require('node:path');
const { readTensors, writeTensors } = require('./safetensors.cjs');

const [model, out, ...copies] = process.argv.slice(2);
if (copies.length === 0) throw new Error('expected MODEL OUT COPY.safetensors...');

const mean = readTensors(copies[0]);
const sums = Object.entries(mean).map(([name, { values }]) => ({
  name,
  sum: new Float64Array(values.length),
}));
for (const copy of copies) {
  const tensors = readTensors(copy);
  for (const { name, sum } of sums) {
    if (tensors[name]?.values.length !== sum.length)
      throw new Error(`expected ${name} of ${copies[0]} in ${copy}`);
    tensors[name].values.forEach((value, i) => (sum[i] += value));
  }
}
for (const { name, sum } of sums)
  mean[name].values = Float32Array.from(sum, (value) => value / copies.length);
mkdirSync(out, { recursive: true });
writeTensors(path.join(out, 'model.safetensors'), mean);
for (const name of ['config.json', 'spiece.model', 'tokenizer_config.json'])
  if (existsSync(path.join(model, name))) copyFileSync(path.join(model, name), path.join(out, name));
