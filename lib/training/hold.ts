/** Keeps a second run out of the folder that one writes into. */
import path from 'node:path';
import { AlbertError, callNative } from '../errors';
import { binding } from '../native';
import { hasState } from './checkpoint';

export class Hold {
  #release: () => void = () => {};

  /**
   * Takes hold of a run's folder by its log, which is made where there is none.
   * @param checkpoint the folder of the run's state.
   * @param resumes whether that was seen to hold one.
   * @throws AlbertError INVALID_ARGUMENT when another run has the folder, or had it meanwhile.
   */
  take(log: string, checkpoint: string, resumes: boolean): void {
    const release = callNative(() => binding().holdFile(log));
    if (release) this.#release = release;
    if (!release || hasState(checkpoint) !== resumes)
      throw new AlbertError(
        'INVALID_ARGUMENT',
        `expected a folder that no other run writes into for output but one is at work in ${path.dirname(log)}; wait for its end or choose another`,
      );
  }

  /** Lets go of what was taken, if anything was. */
  release(): void {
    this.#release();
  }
}
