/** The files that hold the state of a run: the last one and the one before it, and which of them is whole. */
import { existsSync } from 'node:fs';
import { link, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { AlbertError, awaitNative } from '../errors';
import { type Head, HEADS } from '../heads';
import { binding } from '../native';
import type { TrainerOptions } from './trainer-options';

const STATE_FILE = 'training.safetensors';
const PREVIOUS_FILE = 'training.previous.safetensors';

/** Whether a folder holds a state that resume() takes. */
export function hasState(folder: string): boolean {
  return [STATE_FILE, PREVIOUS_FILE].some((name) => existsSync(path.join(folder, name)));
}

/** What a checkpoint says about its run. */
export interface Note {
  head: Head;
  options: Partial<TrainerOptions>;
  extra: unknown;
}

/**
 * Where the next state goes. The last one has a second name from then on, so that at every moment one of the two is whole.
 * @throws AlbertError CHECKPOINT.
 */
export async function placeForState(folder: string): Promise<string> {
  const [file, previous] = [STATE_FILE, PREVIOUS_FILE].map((name) => path.join(folder, name));
  const fresh = `${previous}.new`;
  try {
    await rm(fresh, { force: true });
    await link(file, fresh);
    await rename(fresh, previous);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
      throw new AlbertError(
        'CHECKPOINT',
        `could not keep ${file} as ${previous}: ${(error as Error).message}`,
        { cause: error },
      );
    }
  }
  return file;
}

function parseNote(file: string, text: string): Note {
  let note: Partial<Note> | null = null;
  try {
    note = JSON.parse(text) as Partial<Note> | null;
  } catch {
    // It is refused below.
  }
  if (typeof note?.options === 'object' && note.options !== null && HEADS.includes(note.head!))
    return note as Note;
  throw new AlbertError(
    'CHECKPOINT',
    `${file}: expected what save() notes of a run but it is damaged; go on from another checkpoint`,
  );
}

/** The newest whole state of a folder. @throws AlbertError CHECKPOINT when there is none. */
export async function findState(folder: string): Promise<{ file: string; note: Note }> {
  let first: unknown;
  for (const name of [STATE_FILE, PREVIOUS_FILE]) {
    const file = path.join(folder, name);
    try {
      return { file, note: parseNote(file, await awaitNative(() => binding().trainingNote(file))) };
    } catch (error) {
      first ??= error;
    }
  }
  throw first;
}
