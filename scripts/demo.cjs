// `npm run demo`: fills masks and orders sentences with the small model that the package ships.
'use strict';
const { pipeline, cpuInfo } = require('..');

const sentences = [
  'The president spoke to the people of the United [MASK].',
  'He was the king of [MASK].',
  'It was an [MASK] man who opened the door.',
];
const pair = ['Install the package.', 'Then open the file and change the first line.'];

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
      console.log(`    ${(100 * score).toFixed(1).padStart(5)} %  ${token_str}`);
  });
  console.log(`\n${sentences.length} sentences in ${milliseconds.toFixed(1)} ms.\n`);
  await unmask.dispose();

  const order = await pipeline('sentence-order');
  for (const [first, second] of [pair, [pair[1], pair[0]]]) {
    const { ordered } = await order(first, second);
    console.log(`${first} ${second}\n    in order: ${(100 * ordered).toFixed(0)} %`);
  }
  await order.dispose();
  console.log(
    '\nThe model is small: models/albert-mini-en/README.md says what it can do and what it cannot.',
  );
}

main().catch((error) => {
  console.error(`demo: ${error.message}`);
  process.exitCode = 1;
});
