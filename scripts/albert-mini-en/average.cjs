// The mean of a model's weights at several steps of one run, which stands for a decay of the rate:
// node scripts/albert-mini-en/average.cjs MODEL OUT COPY.safetensors... (MODEL gives config.json and the vocabulary)
'use strict';
const { Buffer } = require('node:buffer');
const { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } = require('node:fs');
const path = require('node:path');

const [model, out, ...copies] = process.argv.slice(2);
if (copies.length === 0) throw new Error('expected MODEL OUT COPY.safetensors...');

/** The header of a safetensors file of fp32 tensors, and all their values in a row. */
function read(file) {
  const bytes = readFileSync(file);
  const begin = 8 + Number(bytes.readBigUInt64LE(0));
  const header = bytes.subarray(0, begin);
  if (!header.includes('"F32"') || /"(F16|BF16|F64)"/.test(header.toString()))
    throw new Error(`expected tensors of F32 in ${file}`);
  return { header, values: new Float32Array(Uint8Array.from(bytes.subarray(begin)).buffer) };
}

const { header, values } = read(copies[0]);
const sums = new Float64Array(values.length);
for (const copy of copies) {
  const one = read(copy);
  if (!one.header.equals(header)) throw new Error(`expected the tensors of ${copies[0]} in ${copy}`);
  one.values.forEach((value, i) => (sums[i] += value));
}
const mean = Float32Array.from(sums, (sum) => sum / copies.length);
mkdirSync(out, { recursive: true });
writeFileSync(path.join(out, 'model.safetensors'), Buffer.concat([header, Buffer.from(mean.buffer)]));
for (const name of ['config.json', 'spiece.model', 'tokenizer_config.json'])
  if (existsSync(path.join(model, name))) copyFileSync(path.join(model, name), path.join(out, name));
