/** zero-shot-classification: labels that no training knew, by asking an inference (NLI) model whether each follows. */
import type { Albert } from '../albert';
import { labelCount } from '../config';
import { AlbertError } from '../errors';
import { sigmoid, softmax, topIndices } from '../math';
import { abortSignal, boolean, invalid, type Names, optionsObject, string, strings } from '../options';
import type { TextOrPair } from '../tokenizer';
import {
  CALL_OPTIONS,
  type CallOptions,
  makePipeline,
  openModel,
  type Pipeline,
  type PipelineOptions,
  textsOf,
} from './open';
import { encodeFor, runEncodings } from './run';

export interface ZeroShotOptions extends CallOptions {
  /** The sentence that a label makes, `{}` standing for the label. Default 'This example is {}.' */
  hypothesis_template?: string;
  /** Score each label by itself instead of against the others. Default false. */
  multi_label?: boolean;
}

const ZERO_SHOT_OPTIONS: Names<ZeroShotOptions> = {
  ...CALL_OPTIONS,
  hypothesis_template: true,
  multi_label: true,
};

export interface ZeroShotResult {
  sequence: string;
  /** Best first. */
  labels: string[];
  scores: number[];
}

export interface ZeroShotPipeline extends Pipeline<'zero-shot-classification'> {
  (text: string, labels: string | readonly string[], options?: ZeroShotOptions): Promise<ZeroShotResult>;
  (
    texts: readonly string[],
    labels: string | readonly string[],
    options?: ZeroShotOptions,
  ): Promise<ZeroShotResult[]>;
  (
    text: string | readonly string[],
    labels: string | readonly string[],
    options?: ZeroShotOptions,
  ): Promise<ZeroShotResult | ZeroShotResult[]>;
}

/** Which outputs mean that the hypothesis follows, and that it is refuted. */
function inferenceIds(model: Albert): { entailment: number; contradiction: number } {
  const { id2label, label2id } = model.config;
  const names = new Map<number, string>();
  for (const [name, id] of Object.entries(label2id ?? {})) names.set(Number(id), name.toLowerCase());
  for (const [id, name] of Object.entries(id2label ?? {})) names.set(Number(id), name.toLowerCase());
  const outputs = labelCount(model.config);
  const isOutput = (id: number) => Number.isInteger(id) && id >= 0 && id < outputs;
  const find = (start: string) =>
    [...names].find(([id, name]) => isOutput(id) && name.startsWith(start))?.[0];
  const entailment = find('entail');
  if (entailment === undefined) {
    const found = [...names].map(([id, name]) => `${id}: ${name}`).join(', ') || 'none';
    throw new AlbertError(
      'INVALID_CONFIG',
      `expected a label 'entailment' for one of the ${outputs} outputs in config.json but found ${found}; ` +
        'choose a model trained for inference (NLI), or name its outputs in id2label of config.json or ' +
        "of { config: { id2label: { 0: 'entailment', ... } } }",
    );
  }
  const contradiction = find('contra') ?? find('not_entail') ?? (entailment === 0 ? outputs - 1 : 0);
  return { entailment, contradiction };
}

export async function zeroShotClassification(
  source?: string | Albert,
  options?: PipelineOptions,
): Promise<ZeroShotPipeline> {
  const opened = await openModel('zero-shot-classification', source, options, {
    heads: ['sequence-classification'],
  });
  const { model } = opened;
  let ids: ReturnType<typeof inferenceIds>;
  try {
    ids = inferenceIds(model);
  } catch (error) {
    if (opened.owned) await model.dispose();
    throw error;
  }

  const call = async (
    input: string | readonly string[],
    labelsInput: string | readonly string[],
    callOptions?: ZeroShotOptions,
  ) => {
    const given = optionsObject<ZeroShotOptions>('options', callOptions, ZERO_SHOT_OPTIONS);
    const { items: texts, single } = textsOf('text', input);
    const labels =
      typeof labelsInput === 'string'
        ? labelsInput
            .split(',')
            .map((label) => label.trim())
            .filter(Boolean)
        : strings('labels', labelsInput);
    if (labels.length === 0 || labels.some((label) => label.trim() === ''))
      throw invalid('labels that are not empty', 'labels', labelsInput);
    const template = string('hypothesis_template', given.hypothesis_template ?? 'This example is {}.');
    if (!template.includes('{}')) {
      throw new AlbertError(
        'INVALID_ARGUMENT',
        `expected {} in hypothesis_template but received '${template}'`,
      );
    }
    const alone = boolean('multi_label', given.multi_label, false) || labels.length === 1;
    const hypotheses = labels.map((label) => template.replace('{}', () => label));
    const pairs = texts.flatMap((text) => hypotheses.map((hypothesis): TextOrPair => [text, hypothesis]));
    const signal = abortSignal(given.signal);
    const encodings = await encodeFor(model, pairs, { truncation: 'only_first', signal });
    const plan = { outputs: ['logits'], signal };
    const logits = await runEncodings(model, encodings, plan, (outputs, { row }) => {
      const values = outputs.logits!.row(row);
      return { yes: values[ids.entailment], no: values[ids.contradiction] };
    });
    const results = texts.map((sequence, t): ZeroShotResult => {
      const answers = logits.slice(t * labels.length, (t + 1) * labels.length);
      const scores = alone
        ? answers.map(({ yes, no }) => sigmoid(yes - no))
        : [...softmax(answers.map(({ yes }) => yes))];
      const order = topIndices(scores, scores.length);
      return { sequence, labels: order.map((i) => labels[i]), scores: order.map((i) => scores[i]) };
    });
    return single ? results[0] : results;
  };
  return makePipeline('zero-shot-classification', opened, call) as ZeroShotPipeline;
}
