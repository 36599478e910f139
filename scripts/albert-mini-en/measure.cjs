// Prints what a model reaches on the held-out documents, with the masks of ALBERT's paper and with single words masked:
// node scripts/albert-mini-en/measure.cjs WORK MODEL
'use strict';
const path = require('node:path');
const { Albert, PretrainingStream, Trainer } = require('../..');

const MASKS = {
  'n-grams of 1 to 3 words, 15 %': { ngram: 3, maskedLmProbability: 0.15, maxPredictions: 20 },
  'single words, 15 %': { ngram: 1, maskedLmProbability: 0.15, maxPredictions: 20 },
};

async function measure(work, trainer, masks) {
  const stream = await PretrainingStream.open({
    corpus: path.join(work, 'corpus'),
    vocabulary: path.join(work, 'spiece.model'),
    cache: path.join(work, 'cache'),
    batchSize: 64,
    maxLength: 128,
    holdOut: 0.01,
    split: 'evaluation',
    epochs: 1,
    seed: 0,
    ...masks,
  });
  const sums = {};
  for (let batch = await stream.next(); batch; batch = await stream.next()) {
    const { counts, hits, losses } = await trainer.evaluate(batch);
    for (const name of Object.keys(counts)) {
      const sum = (sums[name] ??= { count: 0, hits: 0, loss: 0 });
      sum.count += counts[name];
      sum.hits += hits[name];
      sum.loss += losses[name] * counts[name];
    }
  }
  return Object.entries(sums).map(
    ([name, { count, hits, loss }]) =>
      `${name.replace('_loss', '')}: ${((100 * hits) / count).toFixed(1)} % of ${count}, loss ${(loss / count).toFixed(3)}`,
  );
}

async function main([work, folder]) {
  if (!work || !folder) throw new Error('expected the folder of the work and that of a model');
  const model = await Albert.load(folder, { head: 'pretraining' });
  const trainer = new Trainer(model, { learningRate: 0, totalSteps: 1 });
  for (const [name, masks] of Object.entries(MASKS)) {
    console.log(name);
    for (const line of await measure(work, trainer, masks)) console.log(`  ${line}`);
  }
  await trainer.dispose();
  await model.dispose();
}

main(process.argv.slice(2)).catch((error) => {
  console.error(`measure: ${error.message}`);
  process.exitCode = 1;
});
