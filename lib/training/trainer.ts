/** Optimisation of a model step by step, with a state that continues bit-exactly from its checkpoint. */
import { Albert, internals } from '../albert';
import { AlbertError, awaitNative } from '../errors';
import { Lifetime } from '../lifetime';
import { binding, type NativeTrainer } from '../native';
import { integer, invalid, jsonOf, optionsObject, pathString, pick } from '../options';
import { findState, type Note, placeForState } from './checkpoint';
import { type LabelledInputs, type Losses, lossesOf, packLabelled, requireHead } from './labels';
import {
  checkRates,
  optimizerOptions,
  TRAINER_OPTIONS,
  type TrainerOptions,
  trainingOptions,
} from './trainer-options';

/** One update. Losses are means over its batches. */
export interface StepResult extends Losses {
  /** Updates made before this one: 0 of the first, as `rates` and the schedule count them. Logs and onProgress count those done. */
  step: number;
  /** Euclidean, over all weights, before clipping. */
  grad_norm: number;
  learning_rate: number;
  /** Real ones, in all batches. */
  tokens: number;
}

/** Losses of a batch without an update, and how many of `count` labels were predicted. */
export interface Evaluation extends Losses {
  counts: Record<string, number>;
  hits: Record<string, number>;
}

/**
 * Trains a model. The model follows: its next call uses the weights of the last step.
 * Calls queue; each runs off the event loop.
 */
export class Trainer {
  readonly model: Albert;
  /** As given. */
  readonly options: Readonly<Partial<TrainerOptions>>;
  readonly #native: Promise<NativeTrainer>;
  readonly #accumulate: number;
  readonly #life = new Lifetime(
    'expected a live trainer but this one has been disposed of; resume it from a checkpoint',
    () => this.#free(),
  );
  #last: Promise<unknown> = Promise.resolve();
  #extra: unknown = null;
  #saving: Promise<void> = Promise.resolve();

  /** @throws AlbertError INVALID_ARGUMENT for options out of range, DISPOSED for a model that is gone. */
  constructor(model: Albert, options: TrainerOptions) {
    if (!(model instanceof Albert)) throw invalid('a model', 'model', model);
    requireHead(model.head);
    const given = optionsObject<TrainerOptions>('options', options, TRAINER_OPTIONS);
    const optimizer = optimizerOptions(given);
    const training = trainingOptions(given, model);
    checkRates(optimizer.rates, model);
    const seed = integer('seed', given.seed, { min: 0 }, 0);
    this.#accumulate = integer('accumulate', given.accumulate, { min: 1 }, 1);
    this.model = model;
    this.options = { ...given };
    const { native } = model[internals]();
    this.#native = awaitNative(() => binding().createTrainer(native, training, optimizer, seed));
    this.#native.catch(() => {}); // the first call reports it
  }

  /** Of a trainer that resume() made: what save() was given to go on; else null. */
  get extra(): unknown {
    return this.#extra;
  }

  /** Resolves when the state has been made. @throws AlbertError for options that do not fit the model, or OUT_OF_MEMORY. */
  async ready(): Promise<void> {
    await this.#native;
  }

  /**
   * One update from a batch, or from as many batches as `accumulate` says.
   * @throws AlbertError DIVERGED when a loss or gradient is not finite: nothing was changed. INVALID_ARGUMENT,
   *   OUT_OF_VOCABULARY, TOO_LONG or OUT_OF_MEMORY for a batch that cannot run.
   */
  async step(batch: LabelledInputs | readonly LabelledInputs[]): Promise<StepResult> {
    const batches = Array.isArray(batch) ? (batch as LabelledInputs[]) : [batch as LabelledInputs];
    if (batches.length !== this.#accumulate) {
      throw new AlbertError(
        'INVALID_ARGUMENT',
        `expected ${this.#accumulate} batches for a step, as accumulate says, but received ${batches.length}`,
      );
    }
    const packed = batches.map((one) => packLabelled(one, this.model.head, this.model.config));
    const result = await this.#life.hold(() => {
      const { hold, outdate } = this.model[internals]();
      return hold(async () => {
        const made = await this.#inTurn((native) => native.step(packed));
        outdate(() => this.#publish());
        return made;
      });
    });
    return {
      step: result.step,
      ...lossesOf(result.losses),
      grad_norm: result.gradNorm,
      learning_rate: result.learningRate,
      tokens: result.tokens,
    };
  }

  /**
   * The losses of a batch without dropout and without an update.
   * @throws AlbertError as step() does: DIVERGED also for weights that the last update spoilt.
   */
  async evaluate(batch: LabelledInputs): Promise<Evaluation> {
    const packed = packLabelled(batch, this.model.head, this.model.config);
    const losses = await this.#life.hold(() => this.#inTurn((native) => native.evaluate(packed)));
    const by = (field: 'count' | 'hits') =>
      Object.fromEntries(losses.parts.map((part) => [part.name, part[field]]));
    return { ...lossesOf(losses), counts: by('count'), hits: by('hits') };
  }

  /**
   * Writes the model and the state of the run to a folder, which loads as a model and which resume() continues.
   * Whatever interrupts it, the folder holds a whole state: this one or the one before.
   * @param extra what the caller needs to go on, such as the place in its data: a JSON value.
   * @throws AlbertError CHECKPOINT when the folder cannot be written.
   */
  async save(folder: string, extra: unknown = null): Promise<void> {
    pathString('folder', folder);
    const note: Note = { head: this.model.head, options: this.options, extra };
    const text = jsonOf('extra', note);
    return this.#life.hold(() => {
      const { hold } = this.model[internals]();
      return hold(() => {
        const saving = this.#saving.then(() => this.#save(folder, text));
        this.#saving = saving.catch(() => {});
        return saving;
      });
    });
  }

  async #save(folder: string, note: string): Promise<void> {
    await this.#last.catch(() => {});
    await this.model[internals]().save(folder, async () => {
      const file = await placeForState(folder);
      await this.#queue((native) => native.save(file, note));
    });
  }

  /**
   * Continues a run from the folder that save() wrote, bit for bit as if it had not stopped.
   * @param changes options to change, such as totalSteps or threads.
   * @throws AlbertError CHECKPOINT when there is no whole state.
   */
  static async resume(folder: string, changes: Partial<TrainerOptions> = {}): Promise<Trainer> {
    pathString('folder', folder);
    const { file, note } = await findState(folder);
    const given = optionsObject<Partial<TrainerOptions>>('changes', changes, TRAINER_OPTIONS);
    const options = {
      ...pick(note.options, TRAINER_OPTIONS),
      ...pick(given, TRAINER_OPTIONS),
    } as TrainerOptions;
    const { threads, isa, device: place } = options;
    const model = await Albert.load(folder, { head: note.head, threads, isa, device: place });
    const trainer = new Trainer(model, options);
    trainer.#extra = note.extra;
    await trainer.#queue((native) => native.restore(file));
    model[internals]().outdate(() => trainer.#publish());
    return trainer;
  }

  /**
   * Frees the state of the run, after steps and saves under way; the model stays and has the last weights. Later calls reject
   * with DISPOSED.
   */
  dispose(): Promise<void> {
    return this.#life.end();
  }

  async #free(): Promise<void> {
    try {
      await this.model[internals]().update();
    } catch {
      // A model that is gone needs no weights; one that could not take them says so when it is called.
    }
    if (await this.#native.catch(() => null)) await this.#queue((native) => native.dispose());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }

  async #publish(): Promise<void> {
    const { native } = this.model[internals]();
    await this.#queue((trainer) => trainer.publish(native));
  }

  /** A call that waits for the saves asked for before it, whose files are of one step. */
  async #inTurn<T>(call: (native: NativeTrainer) => Promise<T>): Promise<T> {
    await this.#saving;
    return this.#queue(call);
  }

  #queue<T>(call: (native: NativeTrainer) => Promise<T>): Promise<T> {
    const next = this.#last
      .catch(() => {})
      .then(async () => {
        const native = await this.#native;
        return awaitNative(() => call(native));
      });
    this.#last = next;
    return next;
  }
}

/** Ends a trainer together with its model. */
export async function disposeBoth(trainer: Trainer): Promise<void> {
  await trainer.dispose();
  await trainer.model.dispose();
}
