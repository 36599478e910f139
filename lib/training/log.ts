/** Training logs: JSON lines, one for each step of training and one for each evaluation. */
import { existsSync, statSync } from 'node:fs';
import { appendFile, readFile, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { AlbertError } from '../errors';
import { isObject, show } from '../options';
import { writing } from '../source';
import { readText } from '../text-files';

/** The name of a run's log in its folder. */
export const LOG_FILE = 'log.jsonl';

/** The values of a run by step, in the order of the steps: of training the loss, of evaluations every score, and the learning rate. */
export type Curves = Record<string, [step: number, value: number][]>;

// Of an evaluation: losses, which scores say better, and what does not vary.
const NOT_DRAWN = /loss$|^threshold$|total$|^best_|_thresh$/;

type Fields = Record<string, unknown>;

function parseLine(line: string, expected: (what: string) => AlbertError): Fields {
  let record: unknown;
  try {
    record = JSON.parse(line);
  } catch {
    throw expected('a line of JSON');
  }
  if (!isObject(record)) throw expected('a JSON object');
  if (!Number.isSafeInteger(record.step) || (record.step as number) < 0)
    throw expected(`a whole number for step but received ${show(record.step)} in it`);
  if (record.evaluation !== undefined && !isObject(record.evaluation))
    throw expected('an object for evaluation');
  return record;
}

/**
 * The curves in a log's text. A step that stands there twice, as after going back to a checkpoint, counts as it was last.
 * @param name what errors call the log.
 * @throws AlbertError DATA with the number of the line that is not one of a log.
 */
export function parseLog(text: string, name: string): Curves {
  const values = new Map<string, Map<number, number>>([['loss', new Map()]]);
  const rates = new Map<number, number>();
  text.split('\n').forEach((line, i) => {
    if (line.trim() === '') return;
    const expected = (what: string) =>
      new AlbertError('DATA', `${name}:${i + 1}: expected ${what}: ${show(line.trim())}`);
    const record = parseLine(line, expected);
    const take = (curve: string, value: unknown, into: Map<number, number>) => {
      // JSON has no NaN: what was not finite stands as null, and is a gap.
      if (value === undefined || value === null) return;
      if (typeof value !== 'number')
        throw expected(`a number for ${curve} but received ${show(value)} in it`);
      into.set(record.step as number, value);
    };
    take('loss', record.loss, values.get('loss')!);
    take('learning_rate', record.learning_rate, rates);
    for (const [name, value] of Object.entries((record.evaluation as Fields | undefined) ?? {})) {
      if (NOT_DRAWN.test(name)) continue;
      if (!values.has(name)) values.set(name, new Map());
      take(name, value, values.get(name)!);
    }
  });
  const sorted = [...values, ['learning_rate', rates] as const].map(([curve, points]) => [
    curve,
    [...points].sort(([a], [b]) => a - b),
  ]);
  return Object.fromEntries(sorted) as Curves;
}

/** Begins a log: as long as it is empty, it marks a run that has saved nothing yet. @throws AlbertError CHECKPOINT. */
export async function beginLog(file: string): Promise<void> {
  await writing(path.dirname(file), () => writeFile(file, ''));
}

/** Whether a log is there and empty: so stands a run that has saved nothing yet, and begins again. */
export function isMarked(file: string): boolean {
  return existsSync(file) && statSync(file).size === 0;
}

/** Adds a line to a log. @throws AlbertError CHECKPOINT where it cannot be written, as on a full disk. */
export async function appendRecord(file: string, record: object): Promise<void> {
  await writing(path.dirname(file), () => appendFile(file, `${JSON.stringify(record)}\n`));
}

/**
 * Takes away what follows a log's last whole line, as a run leaves it that was killed while it wrote.
 * @throws AlbertError CHECKPOINT.
 */
export async function dropCutLine(file: string): Promise<void> {
  await writing(path.dirname(file), async () => {
    const content = await readFile(file).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return null;
      throw error;
    });
    const end = content ? content.lastIndexOf('\n') + 1 : 0;
    if (content && end < content.length) await truncate(file, end);
  });
}

/** @throws AlbertError DATA for a file that cannot be read, has a line that is not one of a log, or nothing to draw. */
export async function readLog(file: string): Promise<Curves> {
  const curves = parseLog(await readText(file), file);
  if (Object.values(curves).every((points) => points.length === 0))
    throw new AlbertError(
      'DATA',
      `expected a loss, scores or a learning rate of some step in ${file} but found none`,
    );
  return curves;
}
