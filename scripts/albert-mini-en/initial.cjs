// Draws the weights that albert-mini-en starts from: ALBERT's own initial weights, but for four of the heads, which look at the
// two tokens before and after from the first step on.
//
//     node scripts/albert-mini-en/initial.cjs CONFIG VOCABULARY OUTPUT [LAYERS]
//
// Masked words need attention before anything beyond word frequencies can be learnt, and absolute positions make attention to a
// neighbour the hardest thing to find (docs/small-models.md has what it costs). Positions therefore start as sinusoids (Vaswani et
// al. 2017) in dimensions of their own, with frequencies spread evenly so that their product peaks at one distance alone; the
// mapping to the hidden size starts with orthogonal columns; and a head of offset d starts with keys that read the sinusoids
// and queries that read them turned by d. Everything is trained afterwards like any other weight.
'use strict';
const { copyFileSync, readFileSync } = require('node:fs');
const path = require('node:path');
const { Albert } = require('../..');
const { readTensors, writeTensors } = require('./safetensors.cjs');

const OFFSETS = [-1, 1, -2, 2]; // of the first heads; the others start as usual
const FREQUENCIES = 16;
const SCORE = 6; // of the key at the offset; others have at most half of it, most a tenth
const GOLDEN_RATIO = (1 + Math.sqrt(5)) / 2; // jitters the frequencies, so that no other distance lines up
const VALUE_SCALE = 2; // neighbours count from the start, so their values start larger

/** Orthonormal columns of a matrix [rows, columns] of independent ones, by Gram and Schmidt. */
function orthonormalColumns(matrix, rows, columns) {
  const result = [];
  for (let c = 0; c < columns; c++) {
    let column = Array.from({ length: rows }, (_, r) => matrix[r * columns + c]);
    for (const other of result) {
      const dot = column.reduce((sum, x, r) => sum + x * other[r], 0);
      column = column.map((x, r) => x - dot * other[r]);
    }
    const norm = Math.hypot(...column);
    result.push(column.map((x) => x / norm));
  }
  return result;
}

/** The initial values of the tensors that differ from ALBERT's, by the end of their name. Each takes the values drawn so far. */
function structuredValues(config, mapping) {
  const { embedding_size: E, hidden_size: H, num_attention_heads: A, initializer_range: deviation } = config;
  const D = H / A;
  const amplitude = Math.SQRT2; // of a sinusoid of unit deviation
  const frequency = Array.from(
    { length: FREQUENCIES },
    (_, k) => (Math.PI * (k + ((k * k * GOLDEN_RATIO) % 1))) / FREQUENCIES,
  );
  const column = orthonormalColumns(mapping, H, E);
  const gain = Math.sqrt(H / E); // hidden values of unit deviation
  const strength = Math.sqrt((SCORE * Math.sqrt(D)) / FREQUENCIES) / amplitude / gain;

  // Rows 2k and 2k + 1 of a head read sine and cosine of frequency k at a position moved by `offset`.
  const readPositions = (values, offsetOfHead) => {
    OFFSETS.forEach((offset, head) => {
      values.fill(0, head * D * H, (head + 1) * D * H);
      frequency.forEach((f, k) => {
        const cos = Math.cos(f * offsetOfHead(offset));
        const sin = Math.sin(f * offsetOfHead(offset));
        const row = (head * D + 2 * k) * H;
        for (let i = 0; i < H; i++) {
          const sine = column[2 * k][i];
          const cosine = column[2 * k + 1][i];
          values[row + i] = strength * (sine * cos + cosine * sin);
          values[row + H + i] = strength * (cosine * cos - sine * sin);
        }
      });
    });
  };
  const scaled = (values) => values.forEach((x, i) => (values[i] = VALUE_SCALE * x));
  return {
    'word_embeddings.weight': (values) =>
      values.forEach((x, i) => (values[i] = i % E < 2 * FREQUENCIES ? 0 : x)),
    'position_embeddings.weight': (values) =>
      values.forEach((_, i) => {
        const position = Math.floor(i / E);
        const k = (i % E) >> 1;
        const wave = i % 2 === 0 ? Math.sin : Math.cos;
        values[i] = k < FREQUENCIES ? deviation * amplitude * wave(position * frequency[k]) : 0;
      }),
    'embedding_hidden_mapping_in.weight': (values) =>
      values.forEach((_, i) => (values[i] = gain * column[i % E][Math.floor(i / E)])),
    'attention.query.weight': (values) => readPositions(values, (offset) => offset),
    'attention.key.weight': (values) => readPositions(values, () => 0),
    'attention.value.weight': scaled,
    'attention.dense.weight': scaled,
  };
}

async function main([configFile, vocabulary, output, layers]) {
  const config = JSON.parse(readFileSync(configFile, 'utf8'));
  if (layers) config.num_hidden_layers = Number(layers);
  const model = await Albert.create(config, { head: 'pretraining', seed: 1 });
  await model.save(output);
  await model.dispose();
  copyFileSync(vocabulary, path.join(output, 'spiece.model'));

  const weights = path.join(output, 'model.safetensors');
  const tensors = readTensors(weights);
  const byEnd = (end) => Object.entries(tensors).find(([name]) => name.endsWith(end))[1].values;
  const mapping = byEnd('embedding_hidden_mapping_in.weight').slice();
  for (const [end, fill] of Object.entries(structuredValues(config, mapping))) fill(byEnd(end));
  writeTensors(weights, tensors);
}

main(process.argv.slice(2)).catch((error) => {
  console.error(`initial: ${error.message}`);
  process.exitCode = 1;
});
