// Pre-trains albert-mini-en as it was trained: a shallow model on short text first, whose weights the full depth then goes on
// with, since all layers share them; then the masks of ALBERT's paper; then every two layers for themselves; at last long text, and
// manuals too. Continues where it was stopped.
//
//     node scripts/albert-mini-en/pretrain.cjs WORK
//
// WORK holds corpus/, manuals/, spiece.model and initial/, as make.sh puts them there.
'use strict';
const { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } = require('node:fs');
const path = require('node:path');
const { pretrain, Trainer } = require('../..');
const { lengthen } = require('./lengthen.cjs');
const { regroup } = require('./regroup.cjs');

const WORDS = { ngram: 1, maskedLmProbability: 0.2, maxPredictions: 28 };
const NGRAMS = { ngram: 3, maskedLmProbability: 0.15, maxPredictions: 20 };
const DENSE_NGRAMS = { ngram: 3, maskedLmProbability: 0.2, maxPredictions: 28 };

// Each stretch of a run ends before step `until`; the rate's decay counts from `totalSteps`.
const SHALLOW = {
  folder: 'shallow',
  options: {
    ngram: 1,
    maskedLmProbability: 0.3,
    maxPredictions: 21,
    maxLength: 64,
    warmupSteps: 400,
    seed: 1,
  },
  stretches: [{ until: 2534, learningRate: 0.01, totalSteps: 5000 }],
};
const DEEP = {
  folder: 'deep',
  options: { maxLength: 128, warmupSteps: 100, seed: 2 },
  stretches: [
    { until: 274, ...WORDS, learningRate: 0.004, totalSteps: 4500 },
    { until: 1682, ...WORDS, learningRate: 0.003, totalSteps: 4800 },
    { until: 1775, ...WORDS, learningRate: 0.003, totalSteps: 4600 },
    { until: 3451, ...WORDS, learningRate: 0.0064, totalSteps: 4600 },
    { until: 4300, ...NGRAMS, learningRate: 0.0064, totalSteps: 4300 },
  ],
};
const LONGER = {
  folder: 'longer',
  options: { maxLength: 128, batchSize: 128, warmupSteps: 200, seed: 3 },
  stretches: [
    { until: 2400, ...WORDS, learningRate: 0.004, totalSteps: 4800 },
    { until: 4400, ...DENSE_NGRAMS, learningRate: 0.0044, totalSteps: 4400 },
  ],
};

const ADAMW = { optimizer: 'adamw', beta2: 0.98, warmupSteps: 100 };
const GROUPS = 3;
const GROUPED = {
  folder: 'grouped',
  options: { ...DENSE_NGRAMS, ...ADAMW, maxLength: 128, seed: 4 },
  stretches: [
    { until: 4500, learningRate: 0.0005, totalSteps: 1e6 },
    { until: 6400, learningRate: 0.001677, totalSteps: 6400 }, // goes on at the same rate, and down to 0
  ],
};
const SHORT = { maxLength: 128, maxPredictions: 28, shortSequenceProbability: 0.1, batchSize: 64 };
const LONG = {
  folder: 'long',
  texts: ['corpus', 'manuals'], // in this order, so that the documents held out of corpus/ stay the same
  options: {
    ...DENSE_NGRAMS,
    ...ADAMW,
    maxPredictions: 103,
    maxLength: 512,
    shortSequenceProbability: 0.5,
    batchSize: 24,
    seed: 5,
  },
  stretches: [
    { until: 3349, learningRate: 0.0005, totalSteps: 1e6 },
    { until: 6394, ...SHORT, learningRate: 0.0005, totalSteps: 1e6 },
    { until: 8794, learningRate: 0.001832, totalSteps: 8794 }, // goes on at the same rate, and down to 0
  ],
};

/** Steps that a run's last checkpoint has behind it. */
async function stepsDone(folder) {
  if (!existsSync(path.join(folder, 'training.safetensors'))) return 0;
  const trainer = await Trainer.resume(folder);
  await trainer.dispose();
  await trainer.model.dispose();
  return trainer.extra.step;
}

async function train(work, { folder, texts = ['corpus'], options, stretches }, model) {
  const place = (name) => path.join(work, name);
  for (const { until, ...changes } of stretches) {
    if ((await stepsDone(place(folder))) >= until) continue;
    const stop = new AbortController();
    const interrupted = () => stop.abort();
    process.once('SIGINT', interrupted);
    const { steps, evaluation } = await pretrain({
      corpus: texts.map(place),
      vocabulary: place('spiece.model'),
      cache: place('cache'),
      model,
      output: place(folder),
      batchSize: 64,
      dtype: 'bf16',
      evaluateEvery: 250,
      saveEvery: 250,
      ...options,
      ...changes,
      signal: stop.signal,
      onProgress: ({ step }) => step >= until && stop.abort(),
    });
    process.off('SIGINT', interrupted);
    console.log(`${folder}: ${steps} steps`, evaluation ?? '');
    if (steps < until) process.exit(130);
  }
}

/** The same weights with the depth of `config`. */
function deepen(from, config, to) {
  if (existsSync(to)) return;
  mkdirSync(to);
  for (const name of ['model.safetensors', 'spiece.model'])
    copyFileSync(path.join(from, name), path.join(to, name));
  const saved = JSON.parse(readFileSync(path.join(from, 'config.json'), 'utf8'));
  const { num_hidden_layers } = JSON.parse(readFileSync(config, 'utf8'));
  writeFileSync(path.join(to, 'config.json'), JSON.stringify({ ...saved, num_hidden_layers }, null, 2));
}

async function main([work]) {
  if (!work) throw new Error('expected the folder of the work');
  await train(work, SHALLOW, path.join(work, 'initial'));
  const deepened = path.join(work, 'deepened');
  deepen(path.join(work, SHALLOW.folder), path.join(__dirname, 'config.json'), deepened);
  await train(work, DEEP, deepened);
  await train(work, LONGER, path.join(work, DEEP.folder));
  const regrouped = path.join(work, 'regrouped');
  if (!existsSync(path.join(regrouped, 'config.json')))
    regroup(path.join(work, LONGER.folder), GROUPS, regrouped);
  await train(work, GROUPED, regrouped);
  const lengthened = path.join(work, 'lengthened');
  if (!existsSync(path.join(lengthened, 'config.json')))
    lengthen(
      path.join(work, GROUPED.folder),
      path.join(work, 'initial'),
      GROUPED.options.maxLength,
      lengthened,
    );
  await train(work, LONG, lengthened);
}

main(process.argv.slice(2)).catch((error) => {
  console.error(`pretrain: ${error.message}`);
  process.exitCode = 1;
});
