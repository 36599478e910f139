// Prints what a model reaches on the held-out documents, in short text and long, with the masks of ALBERT's paper and with
// single words masked:
// node scripts/albert-mini-en/measure.cjs WORK MODEL
'use strict';
const path = require('node:path');
const { Albert, PretrainingStream, Trainer } = require('../..');

const TEXTS = { 'without manuals': ['corpus'], 'with manuals': ['corpus', 'manuals'] };
const LENGTHS = [128, 512];
const MASKS = { 'n-grams of 1 to 3 words': 3, 'single words': 1 };
const MASKED = 0.15;

async function measure(work, trainer, texts, maxLength, ngram) {
  const stream = await PretrainingStream.open({
    corpus: texts.map((folder) => path.join(work, folder)),
    vocabulary: path.join(work, 'spiece.model'),
    cache: path.join(work, 'cache'),
    batchSize: 8192 / maxLength,
    maxLength,
    maskedLmProbability: MASKED,
    maxPredictions: Math.ceil(MASKED * maxLength),
    ngram,
    holdOut: 0.01,
    split: 'evaluation',
    epochs: 1,
    seed: 0,
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
  for (const [origin, texts] of Object.entries(TEXTS))
    for (const length of LENGTHS)
      for (const [masks, ngram] of Object.entries(MASKS)) {
        console.log(`text ${origin}, ${length} tokens, ${masks}`);
        for (const line of await measure(work, trainer, texts, length, ngram)) console.log(`  ${line}`);
      }
  await trainer.dispose();
  await model.dispose();
}

main(process.argv.slice(2)).catch((error) => {
  console.error(`measure: ${error.message}`);
  process.exitCode = 1;
});
