// `npm run demo`: fills masks in real sentences with a small model that it makes itself, as none is shipped yet.
'use strict';
const fs = require('fs');
const os = require('os');
const path = require('path');
const { Albert, pipeline, cpuInfo } = require('..');

const vocabulary = path.join(__dirname, '..', 'test', 'golden', 'vocabulary', 'spiece.model');
const sentences = [
  'Call me [MASK].',
  'The whale swam under the [MASK] and was gone.',
  'It was a [MASK] and stormy night.',
];

async function makeModel(folder) {
  const config = {
    vocab_size: 1800,
    embedding_size: 64,
    hidden_size: 256,
    num_hidden_layers: 6,
    num_attention_heads: 4,
    intermediate_size: 1024,
    hidden_act: 'gelu_new',
  };
  const model = await Albert.create(config, { head: 'masked-lm', seed: 1 });
  await model.save(folder);
  await model.dispose();
  fs.copyFileSync(vocabulary, path.join(folder, 'spiece.model'));
}

async function main() {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'albert-demo-'));
  try {
    await makeModel(folder);
    const unmask = await pipeline('fill-mask', folder);
    console.log(
      `fill-mask on ${cpuInfo().isa}, ${unmask.model.threads} threads, model made just now in ${folder}\n`,
    );
    const begin = process.hrtime.bigint();
    const answers = await unmask(sentences, { top_k: 3 });
    const milliseconds = Number(process.hrtime.bigint() - begin) / 1e6;
    sentences.forEach((sentence, i) => {
      console.log(sentence);
      for (const { score, token_str } of answers[i]) {
        console.log(`    ${(100 * score).toFixed(2).padStart(6)} %  ${token_str}`);
      }
    });
    console.log(`\n${sentences.length} sentences in ${milliseconds.toFixed(1)} ms.`);
    console.log(
      'This model is untrained: its weights are random and so are its answers. For sensible ones, pass the',
    );
    console.log(
      "folder of an ALBERT checkpoint: npx albert fill-mask --model ./albert-base-v2 'Call me [MASK].'",
    );
    await unmask.dispose();
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

main().catch((error) => {
  console.error(`demo: ${error.message}`);
  process.exitCode = 1;
});
