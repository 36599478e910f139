// Runs ONNX models in onnxruntime, apart from jest, whose typed arrays onnxruntime does not recognise. Standard input: a JSON
// array of [file, { input: { dims, data } }]; standard output: the outputs of each in the same form.
'use strict';
const path = require('path');
const { readFileSync } = require('fs');
const root = path.resolve(__dirname, '..', '..');
const ort = require(path.join(root, 'bench', 'node_modules', 'onnxruntime-node'));

async function run([file, inputs]) {
  const session = await ort.InferenceSession.create(file, { intraOpNumThreads: 2 });
  const feeds = Object.entries(inputs).map(([name, { dims, data }]) => [
    name,
    new ort.Tensor('int64', BigInt64Array.from(data, BigInt), dims),
  ]);
  const outputs = await session.run(Object.fromEntries(feeds));
  await session.release();
  return Object.fromEntries(
    session.outputNames.map((name) => [
      name,
      { dims: outputs[name].dims, data: Array.from(outputs[name].data) },
    ]),
  );
}

(async () => {
  const results = [];
  for (const job of JSON.parse(readFileSync(0, 'utf8'))) results.push(await run(job));
  process.stdout.write(JSON.stringify(results));
})();
