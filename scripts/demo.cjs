// `npm run demo`: fills masks and orders sentences with the small model that the package ships.
'use strict';
const { pipeline, cpuInfo } = require('..');

const sentences = [
  'The president spoke to the people of the United [MASK].',
  'She opened the door and went into the [MASK].',
  'A dog is an [MASK].',
];
const ordered = ['He was born in a small village.', 'Later he moved to the city and became a lawyer.'];

async function main() {
  const unmask = await pipeline('fill-mask');
  console.log(
    `fill-mask on ${cpuInfo().isa}, ${unmask.model.threads} threads, model ${unmask.model.folder}\n`,
  );
  const begin = process.hrtime.bigint();
  const answers = await unmask(sentences, { top_k: 3 });
  const milliseconds = Number(process.hrtime.bigint() - begin) / 1e6;
  sentences.forEach((sentence, i) => {
    console.log(sentence);
    for (const { score, token_str } of answers[i])
      console.log(`    ${(100 * score).toFixed(2).padStart(6)} %  ${token_str}`);
  });
  console.log(`\n${sentences.length} sentences in ${milliseconds.toFixed(1)} ms.\n`);
  await unmask.dispose();

  const order = await pipeline('sentence-order');
  const { ordered: probability } = await order(...ordered);
  console.log(`${ordered.join(' ')}\n    in order: ${(100 * probability).toFixed(1)} %`);
  await order.dispose();
  console.log(
    '\nThe model is small and was trained for an hour: see models/albert-mini-en/README.md for what it can do.',
  );
}

main().catch((error) => {
  console.error(`demo: ${error.message}`);
  process.exitCode = 1;
});
