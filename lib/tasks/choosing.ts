/** Tasks with several statements about a context, of which one is right. */
import type { Albert } from '../albert';
import { argmax, crossEntropy, softmax } from '../math';
import * as metrics from './metrics';
import { type ChoosingExample, type Feature, joined, type Kind, type Scores } from './task';

/** RACE keeps the last tokens of a longer statement. */
const STATEMENT_TOKENS = 128;
const TOKENS_PER_RUN = 4096;

function inputs(features: Feature[]) {
  return {
    input_ids: features.map(({ sequences }) => sequences.map(({ ids }) => ids)),
    token_type_ids: features.map(({ sequences }) => sequences.map(({ types }) => types)),
  };
}

/** Runs of examples with as many choices each and about TOKENS_PER_RUN tokens. */
function runs(features: Feature[]): Feature[][] {
  const result: Feature[][] = [];
  let tokens = Infinity;
  for (const feature of features) {
    const last = result.at(-1);
    const fits =
      last?.[0].sequences.length === feature.sequences.length && tokens + feature.tokens <= TOKENS_PER_RUN;
    if (fits) last.push(feature);
    else result.push([feature]);
    tokens = fits ? tokens + feature.tokens : feature.tokens;
  }
  return result;
}

export const choosing: Kind<ChoosingExample, Feature, Float32Array> = {
  head: 'multiple-choice',
  config: () => ({}),
  async encode(tokenizer, examples, { maxLength }) {
    const plain = { addSpecialTokens: false };
    const contexts = await tokenizer.encodeRaw(
      examples.map(({ context }) => context),
      plain,
    );
    const statements = await tokenizer.encodeRaw(
      examples.flatMap(({ choices }) => choices),
      plain,
    );
    const limit = Math.min(STATEMENT_TOKENS, Math.floor(maxLength / 2));
    let next = 0;
    return examples.map(({ choices }, example) => {
      const sequences = choices.map(() => {
        const statement = statements[next++].ids.slice(-limit);
        const context = contexts[example].ids.subarray(0, maxLength - statement.length - 3);
        return joined(tokenizer, context, statement);
      });
      return { example, sequences, tokens: sequences.reduce((sum, { ids }) => sum + ids.length, 0) };
    });
  },
  batch: (features, examples) => ({
    ...inputs(features),
    labels: features.map(({ example }) => examples[example].label as number),
  }),
  async predict(model: Albert, features, _examples, { signal, onProgress }) {
    const results: Float32Array[] = [];
    for (const run of runs(features)) {
      const { logits } = await model.forward(inputs(run), { outputs: ['logits'], signal });
      run.forEach((_, row) => results.push(logits.row(row).slice()));
      onProgress?.({ done: results.length, total: features.length });
    }
    return results;
  },
  score(_task, examples, predictions): Scores {
    const truth = examples.map(({ label }) => label as number);
    return {
      accuracy: metrics.accuracy(predictions.map(argmax), truth),
      loss: crossEntropy(predictions, truth),
    };
  },
  show: (_task, { choices }, logits) => ({
    prediction: argmax(logits),
    choice: choices[argmax(logits)],
    scores: Array.from(softmax(logits)),
  }),
};
