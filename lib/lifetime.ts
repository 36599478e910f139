/** The life of a model or trainer: pieces of work that its end waits for, and an end that refuses new ones. */
import { AlbertError } from './errors';

export class Lifetime {
  readonly #ended: string;
  readonly #free: () => Promise<void>;
  #held = 0;
  /** Wakes the end when the last piece of work is done. */
  #wake = () => {};
  #end: Promise<void> | null = null;
  #freed = false;

  /**
   * @param ended what is said to whoever comes too late.
   * @param free what end() does when nothing is held any more.
   */
  constructor(ended: string, free: () => Promise<void>) {
    this.#ended = ended;
    this.#free = free;
  }

  /** Runs work that end() waits for. @throws AlbertError DISPOSED once end() has been called. */
  async hold<T>(work: () => Promise<T>): Promise<T> {
    if (this.#end) throw this.#tooLate();
    this.#held++;
    try {
      return await work();
    } finally {
      if (--this.#held === 0) this.#wake();
    }
  }

  /** @throws AlbertError DISPOSED once it is freed; held work that end() waits for passes until then. */
  require(): void {
    if (this.#freed) throw this.#tooLate();
  }

  /** Waits for what is held, then frees; the same promise for every call. */
  end(): Promise<void> {
    this.#end ??= this.#finish();
    return this.#end;
  }

  #tooLate(): AlbertError {
    return new AlbertError('DISPOSED', this.#ended);
  }

  async #finish(): Promise<void> {
    while (this.#held > 0) await new Promise<void>((resolve) => (this.#wake = resolve));
    this.#freed = true;
    await this.#free();
  }
}
