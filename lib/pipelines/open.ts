/** What all pipelines share: opening the model with the right head, refusing untrained ones, and disposal. */
import { Albert, internals } from '../albert';
import { describeConfig } from '../config';
import { AlbertError } from '../errors';
import { type Head, headInfo } from '../heads';
import { type CheckpointOptions, type LoadOptions, RUN_OPTIONS } from '../load-options';
import { boolean, integer, invalid, type Names, optionsObject, pick, show, string } from '../options';
import { readConfig, resolveFolder } from '../source';
import { type EncodeOptions, type Tokenizer, truncationOf } from '../tokenizer';

// Options of transformers.js about downloads and onnxruntime: allowed, without effect, as its users change one import.
const FOREIGN_OPTIONS = {
  progress_callback: true,
  cache_dir: true,
  local_files_only: true,
  revision: true,
  subfolder: true,
  model_file_name: true,
  use_external_data_format: true,
  session_options: true,
  quantized: true,
} as const;

/** How a pipeline's model is loaded. The head follows from the task. */
export interface PipelineOptions
  extends Omit<LoadOptions, 'head'>, Partial<Record<keyof typeof FOREIGN_OPTIONS, unknown>> {
  /** Accept a checkpoint that lacks the task's head, with weights drawn at random. Default false. */
  allow_untrained?: boolean;
  /** Fields that replace those of config.json, such as id2label. */
  config?: CheckpointOptions['config'];
}

const CLASSIFIERS: Head[] = ['sequence-classification', 'token-classification', 'multiple-choice'];
/** Options of loading, which do not concern a model that was loaded already. */
const OF_LOADING = { ...RUN_OPTIONS, config: true } as const;
const PIPELINE_OPTIONS: Names<PipelineOptions> = {
  ...OF_LOADING,
  allow_untrained: true,
  ...FOREIGN_OPTIONS,
};

/** Options of every call. */
export interface CallOptions {
  /** Rejects with ABORTED and abandons what is running. */
  signal?: AbortSignal;
}
export const CALL_OPTIONS: Names<CallOptions> = { signal: true };

/** Options of calls that read texts as far as the model takes them. */
export interface TextOptions extends CallOptions {
  /** Tokens of a text or pair at most, special ones included. Default: what the model takes, which is the most. */
  max_length?: number;
  /** What is cut of one that is longer. Default 'longest_first', at its end; 'none' or false rejects with TOO_LONG. */
  truncation?: EncodeOptions['truncation'];
  /** Of other libraries: nothing is padded here. */
  padding?: unknown;
}
export const TEXT_OPTIONS: Names<TextOptions> = {
  ...CALL_OPTIONS,
  max_length: true,
  truncation: true,
  padding: true,
};

/** Where texts are cut, as the tokenizer takes it. */
export function limitsOf(model: Albert, { max_length, truncation }: Partial<TextOptions>) {
  const asked = integer('max_length', max_length ?? undefined, { min: 1 }, model.maxLength);
  return { maxLength: Math.min(asked, model.maxLength), truncation: truncationOf(truncation ?? undefined) };
}

/** What every pipeline has besides being callable. */
export interface Pipeline<Task extends string = string> {
  readonly task: Task;
  readonly model: Albert;
  readonly tokenizer: Tokenizer;
  /** Frees the model, unless the caller had loaded it. */
  dispose(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** What a task needs of a model. */
export interface TaskNeeds {
  /** Heads that serve; a checkpoint of another kind is loaded with the first. */
  heads: readonly Head[];
  /** Heads of loaded models that serve as well. */
  others?: readonly Head[];
  /** Beginnings of the names of the parameters that must come from the checkpoint, 'albert.' left out. Default: the head's. */
  parameters?: readonly string[];
}

const UNTRAINED = 'choose another, or load it all the same with allow_untrained';

/** Refuses a model whose checkpoint lacks any of the parameters, as its answers would be random. */
export function requireTrained(
  model: Albert,
  parameters: readonly string[],
  what: string,
  remedy = UNTRAINED,
): void {
  const missing = model.freshParameters.filter((name) =>
    parameters.some((start) => name.replace(/^albert\./, '').startsWith(start)),
  );
  if (missing.length === 0) return;
  throw new AlbertError(
    'CHECKPOINT',
    `expected a checkpoint that was trained for ${what} but this one lacks ${missing.join(', ')}, so its answers ` +
      `would be random; ${remedy}`,
  );
}

/** The model for a task, and whether the pipeline has to dispose of it. */
export async function openModel(
  task: string,
  source: string | Albert | undefined,
  options: PipelineOptions | undefined,
  needs: TaskNeeds,
): Promise<{ model: Albert; owned: boolean }> {
  const given = optionsObject<PipelineOptions>('options', options, PIPELINE_OPTIONS);
  const allowUntrained = boolean('allow_untrained', given.allow_untrained, false);
  const owned = !(source instanceof Albert);
  if (!owned) refuseLoading(given);
  const model = owned ? await Albert.load(source, await withHead(source, given, needs)) : source;
  try {
    model[internals](); // throws where it is gone
    const heads = [...needs.heads, ...(needs.others ?? [])];
    if (!heads.includes(model.head)) {
      throw invalid(`a model with head ${heads.map((head) => `'${head}'`).join(' or ')}`, task, model.head);
    }
    if (!allowUntrained) requireTrained(model, needs.parameters ?? headInfo(model.head).parameters, task);
    void model.tokenizer; // throws where there is none
    return { model, owned };
  } catch (error) {
    if (owned) await model.dispose();
    throw error;
  }
}

/** @throws AlbertError INVALID_ARGUMENT for options that would have no effect. */
function refuseLoading(options: Partial<PipelineOptions>): void {
  for (const [name, value] of Object.entries(pick(options, OF_LOADING))) {
    if (value === null) continue;
    throw new AlbertError(
      'INVALID_ARGUMENT',
      `expected no ${name} for a model that is loaded already but received ${show(value)}; give it to Albert.load()`,
    );
  }
}

async function withHead(
  source: string | undefined,
  options: Partial<PipelineOptions>,
  needs: TaskNeeds,
): Promise<CheckpointOptions> {
  const { value, file } = await readConfig(await resolveFolder(source));
  const declared = describeConfig({ ...value, ...options.config }, file).head as Head;
  const head = needs.heads.includes(declared) ? declared : needs.heads[0];
  // Their parameters have the same names, so nothing would be missing.
  if (
    head !== declared &&
    CLASSIFIERS.includes(head) &&
    CLASSIFIERS.includes(declared) &&
    !options.allow_untrained
  )
    throw new AlbertError(
      'CHECKPOINT',
      `expected a checkpoint with head '${head}' but ${file} declares '${declared}', whose classifier means something else; ${UNTRAINED}`,
    );
  // Null stands for the default in transformers.js.
  const own = Object.entries(pick(options, OF_LOADING));
  return { ...(Object.fromEntries(own.filter(([, value]) => value !== null)) as CheckpointOptions), head };
}

/** Makes the callable object that users hold; dispose() waits for its calls. */
export function makePipeline<Task extends string, Args extends unknown[], Result>(
  task: Task,
  opened: { model: Albert; owned: boolean },
  call: (...args: Args) => Promise<Result>,
): ((...args: Args) => Promise<Result>) & Pipeline<Task> {
  const held = async (...args: Args) => opened.model[internals]().hold(() => call(...args));
  const dispose = async () => {
    if (opened.owned) await opened.model.dispose();
  };
  return Object.assign(held, {
    task,
    model: opened.model,
    tokenizer: opened.model.tokenizer,
    dispose,
    [Symbol.asyncDispose]: dispose,
  });
}

/** One text or an array of them, as an array, and whether it was one. */
export function batchOf<T>(
  subject: string,
  input: T | readonly T[],
  check: (subject: string, value: unknown) => T,
): { items: T[]; single: boolean } {
  if (!Array.isArray(input)) return { items: [check(subject, input)], single: true };
  return {
    items: Array.from(input as readonly T[], (item, i) => check(`${subject}[${i}]`, item)),
    single: false,
  };
}

/** batchOf for plain texts. */
export function textsOf(subject: string, input: string | readonly string[]) {
  return batchOf<string>(subject, input, string);
}

/** Two lists of texts as pairs; one text beside a list stands beside each of its texts. */
export function pairsOf(
  firstSubject: string,
  first: string | readonly string[],
  secondSubject: string,
  second: string | readonly string[],
): [firsts: readonly string[], seconds: readonly string[]] {
  const one = textsOf(firstSubject, first);
  const other = textsOf(secondSubject, second);
  if (one.single) return [other.items.map(() => one.items[0]), other.items];
  if (other.single) return [one.items, one.items.map(() => other.items[0])];
  if (one.items.length === other.items.length) return [one.items, other.items];
  throw new AlbertError(
    'INVALID_ARGUMENT',
    `expected as many texts for ${secondSubject} as for ${firstSubject}, ${one.items.length}, but received ${other.items.length}`,
  );
}

/** The label of output i, as config.json names it. */
export function labelOf(model: Albert, i: number): string {
  return model.config.id2label?.[i] ?? `LABEL_${i}`;
}
