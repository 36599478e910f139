/** Tasks with one answer a text or pair: a label, several labels, or a value. */
import { type AlbertConfig, labelConfig } from '../config';
import { inputsOf } from '../inputs';
import { argmax, crossEntropy, mean, sigmoid, softmax } from '../math';
import { runEncodings } from '../pipelines/run';
import type { TextOrPair } from '../tokenizer';
import * as metrics from './metrics';
import { type Feature, type Kind, type Scores, type Task, type TextExample } from './task';

type TextKind = Kind<TextExample, Feature, Float32Array>;

function kindOf(
  problem_type: 'single_label_classification' | 'multi_label_classification' | 'regression',
  own: Pick<TextKind, 'batch' | 'score' | 'show' | 'outcome'>,
): TextKind {
  return {
    head: 'sequence-classification',
    config: (task: Task): Partial<AlbertConfig> => ({
      ...(problem_type === 'regression' ? labelConfig(['score']) : labelConfig(task.labels)),
      problem_type,
    }),
    async encode(tokenizer, examples, { maxLength }) {
      const texts = examples.map(({ text, pair }): TextOrPair => (pair === '' ? text : [text, pair]));
      const encodings = await tokenizer.encodeRaw(texts, { maxLength, truncation: 'longest_first' });
      return encodings.map((encoding, example) => ({
        example,
        sequences: [{ ids: encoding.ids, types: encoding.types }],
        tokens: encoding.ids.length,
      }));
    },
    predict: (model, features, _examples, { signal, onProgress }) =>
      runEncodings(
        model,
        features.map(({ sequences }) => sequences[0]),
        { outputs: ['logits'], signal, onProgress },
        (outputs, { row }) => outputs.logits!.row(row).slice(),
      ),
    ...own,
  };
}

/** One label a text. */
export const classification = kindOf('single_label_classification', {
  batch: (features, examples) => ({
    ...inputsOf(features.map(({ sequences }) => sequences[0])),
    labels: features.map(({ example }) => examples[example].label as number),
  }),
  score(task, examples, predictions): Scores {
    const truth = examples.map(({ label }) => label as number);
    const predicted = predictions.map(argmax);
    return {
      accuracy: metrics.accuracy(predicted, truth),
      ...(task.labels.length === 2 ? { f1: metrics.f1(predicted, truth) } : {}),
      macro_f1: metrics.f1(predicted, truth, { average: 'macro' }),
      matthews: metrics.matthews(predicted, truth),
      loss: crossEntropy(predictions, truth),
    };
  },
  show({ labels }, _example, logits) {
    const probabilities = softmax(logits);
    const scores = Object.fromEntries(labels.map((label, i) => [label, probabilities[i]]));
    return { prediction: labels[argmax(logits)], scores };
  },
  outcome: ({ label }, logits) => ({ predicted: argmax(logits), truth: label as number }),
});

/** Any number of labels a text. */
export const multiLabel = kindOf('multi_label_classification', {
  batch: (features, examples) => ({
    ...inputsOf(features.map(({ sequences }) => sequences[0])),
    labels: features.map(({ example }) => examples[example].label as number[]),
  }),
  score(task, examples, predictions): Scores {
    const truth = examples.map(({ label }) => label as number[]);
    const predicted = predictions.map((logits) => Array.from(logits, (logit) => Number(logit > 0)));
    const same = (i: number) => Number(predicted[i].every((value, label) => value === truth[i][label]));
    const byLabel = task.labels.map((_, label) =>
      metrics.f1(
        predicted.map((row) => row[label]),
        truth.map((row) => row[label]),
      ),
    );
    return {
      micro_f1: metrics.f1(predicted.flat(), truth.flat()),
      macro_f1: mean(byLabel),
      accuracy: mean(truth.map((_, i) => same(i))),
      loss: mean(
        predictions.flatMap((logits, i) =>
          Array.from(
            logits,
            (z, label) => Math.log1p(Math.exp(-Math.abs(z))) + Math.max(z, 0) - z * truth[i][label],
          ),
        ),
      ),
    };
  },
  show: ({ labels }, _example, logits) => ({
    prediction: labels.filter((_, i) => logits[i] > 0),
    scores: Object.fromEntries(labels.map((label, i) => [label, sigmoid(logits[i])])),
  }),
});

/** A value a text. */
export const regression = kindOf('regression', {
  batch: (features, examples) => ({
    ...inputsOf(features.map(({ sequences }) => sequences[0])),
    labels: Float32Array.from(features, ({ example }) => examples[example].label as number),
  }),
  score(_task, examples, predictions): Scores {
    const truth = examples.map(({ label }) => label as number);
    const predicted = predictions.map(([value]) => value);
    return {
      pearson: metrics.pearson(predicted, truth),
      spearman: metrics.spearman(predicted, truth),
      loss: mean(predicted.map((value, i) => (value - truth[i]) ** 2)),
    };
  },
  show: (_task, _example, [value]) => ({ prediction: value }),
});
