/** Options of a trainer: names, defaults and checks. */
import type { Albert } from '../albert';
import { device, type DeviceChoice, type Isa, ISAS } from '../load-options';
import { boolean, integer, invalid, type Names, number, oneOf, optionsObject, string } from '../options';

/** How parameters whose names begin with `prefix` are changed. */
export interface RateRule {
  prefix: string;
  /** Of the learning rate; 0 keeps them as they are. Default 1. */
  factor?: number;
  /** The first step that changes them; before it they stay as they are. Default 0. */
  from?: number;
}

export interface TrainerOptions {
  /** As the ALBERT release computes them, without bias correction. Default 'lamb'. */
  optimizer?: 'lamb' | 'adamw';
  /** The highest rate, which the warm-up ends at. */
  learningRate: number;
  /** Steps over which the rate rises from 0. Default 0. */
  warmupSteps?: number;
  /** Steps after which the rate is 0. */
  totalSteps: number;
  /** Of the polynomial decay. Default 1, a straight line. */
  power?: number;
  /** Decoupled; LayerNorm and biases are excluded. Default 0.01. */
  weightDecay?: number;
  beta1?: number;
  beta2?: number;
  epsilon?: number;
  /** Gradients of a larger global norm are scaled down to it; 0 for never. Default 1. */
  maxGradNorm?: number;
  /** Learning rates of some parameters; the first rule that fits a name counts. Default: all alike. */
  rates?: RateRule[];
  /** Batches whose mean gradient makes one step. Default 1. */
  accumulate?: number;
  /** Of dropout. Default 0. */
  seed?: number;
  /** How products multiply; weights, statistics and sums stay fp32. Default 'fp32'. */
  dtype?: 'fp32' | 'bf16';
  /** Run each block again in backward instead of keeping its activations: less memory, more time. Default false. */
  recompute?: boolean;
  /** Dropout before a classifier; the release fine-tunes with 0.1. The other places follow the model's configuration. Default 0. */
  classifierDropout?: number;
  /**
   * Sequence and token classification: a weight for each label; the loss is the weighted mean. Default: all alike.
   */
  classWeights?: number[];
  /** Default: the model's. */
  device?: DeviceChoice;
  /** Default: the model's. */
  threads?: number;
  isa?: Isa;
}

/** Options that whoever makes a trainer passes on as they are. */
export const PASSED_ON = {
  power: true,
  weightDecay: true,
  beta1: true,
  beta2: true,
  epsilon: true,
  maxGradNorm: true,
  dtype: true,
  recompute: true,
  seed: true,
  device: true,
  threads: true,
  isa: true,
} as const;
export const TRAINER_OPTIONS: Names<TrainerOptions> = {
  optimizer: true,
  learningRate: true,
  warmupSteps: true,
  totalSteps: true,
  rates: true,
  accumulate: true,
  classifierDropout: true,
  classWeights: true,
  ...PASSED_ON,
};
const RATE_RULE: Names<RateRule> = { prefix: true, factor: true, from: true };

const OPTIMIZERS = ['lamb', 'adamw'] as const;
const UNIT = { min: 0, max: 1 };

/** Each entry of an array, holes included, as `read` takes it; none where nothing is given. */
function list<T>(subject: string, value: unknown, read: (entry: unknown, i: number) => T): T[] {
  if (value === undefined) return [];
  if (!Array.isArray(value)) throw invalid('an array', subject, value);
  return Array.from(value, read);
}

/** Those of the update, as the addon takes them. */
export function optimizerOptions(options: Partial<TrainerOptions>) {
  return {
    optimizer: oneOf('optimizer', options.optimizer, OPTIMIZERS, 'lamb'),
    learningRate: number('learningRate', options.learningRate, { min: 0 }),
    warmupSteps: integer('warmupSteps', options.warmupSteps, { min: 0 }, 0),
    totalSteps: integer('totalSteps', options.totalSteps, { min: 1 }),
    power: number('power', options.power, { min: 0 }, 1),
    weightDecay: number('weightDecay', options.weightDecay, { min: 0 }, 0.01),
    beta1: number('beta1', options.beta1, UNIT, 0.9),
    beta2: number('beta2', options.beta2, UNIT, 0.999),
    epsilon: number('epsilon', options.epsilon, { min: 0 }, 1e-6),
    maxGradNorm: number('maxGradNorm', options.maxGradNorm, { min: 0 }, 1),
    rates: list('rates', options.rates, (rule, i) => {
      const { prefix, factor, from } = optionsObject(`rates[${i}]`, rule as RateRule, RATE_RULE);
      return {
        prefix: string(`rates[${i}].prefix`, prefix),
        factor: number(`rates[${i}].factor`, factor, { min: 0 }, 1),
        from: integer(`rates[${i}].from`, from, { min: 0 }, 0),
      };
    }),
  };
}

/** @throws AlbertError INVALID_ARGUMENT for a rule that is of no parameter, and so would be without effect. */
export function checkRates(rates: readonly RateRule[], model: Albert): void {
  const names = model.parameters().map(({ name }) => name);
  rates.forEach(({ prefix }, i) => {
    if (names.some((name) => name.startsWith(prefix))) return;
    throw invalid(`the beginning of a name like '${names[0]}'`, `rates[${i}].prefix`, prefix);
  });
}

/** @throws AlbertError INVALID_ARGUMENT for options that no trainer takes, whatever its model. */
export function checkTrainerOptions(options: Partial<TrainerOptions>): void {
  optimizerOptions(options);
}

/** Those of a pass, as the addon takes them; what is not given follows the model. */
export function trainingOptions(options: Partial<TrainerOptions>, model: Albert) {
  const classWeights = list('classWeights', options.classWeights, (weight, i) =>
    number(`classWeights[${i}]`, weight, { min: 0 }),
  );
  if (classWeights.length > 0 && !classWeights.some((weight) => weight > 0))
    throw invalid('a weight above 0', 'classWeights', options.classWeights);
  const on = device('device', options.device, model.device);
  return {
    device: on,
    dtype: oneOf('dtype', options.dtype, ['fp32', 'bf16'] as const, 'fp32'),
    recompute: boolean('recompute', options.recompute, false),
    classifierDropout: number('classifierDropout', options.classifierDropout, { min: 0, max: 0.99 }, 0),
    classWeights,
    // That of a model on a GPU is no instruction set.
    isa:
      options.isa || (on === 'cpu' && model.device === 'cpu')
        ? oneOf('isa', options.isa, ISAS, model.isa as Isa)
        : null,
    threads: integer('threads', options.threads, { min: 1, max: 1024 }, model.threads),
  };
}
