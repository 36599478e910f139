// Writes a trained model as the package ships it: weights in half precision, configuration and vocabulary.
// Usage: node ship.cjs <run> <folder>
'use strict';
const { Albert } = require('../..');

async function main([run, folder]) {
  if (!run || !folder) throw new Error('expected the folder of a run and the folder to write');
  const model = await Albert.load(run);
  await model.save(folder, { dtype: 'fp16' });
  await model.dispose();
}

main(process.argv.slice(2)).catch((error) => {
  console.error(`ship: ${error.message}`);
  process.exitCode = 1;
});
