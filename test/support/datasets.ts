/** Files of data sets that tests write, and tasks read; and lines of JSON. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { findTask, type TaskDescription } from '../../lib/tasks';
import type { Split } from '../../lib/tasks/task';

export function write(folder: string, name: string, ...lines: string[]): string {
  const file = path.join(folder, name);
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, `${lines.join('\n')}\n`);
  return file;
}

export function readJsonLines<T>(file: string): T[] {
  const lines = readFileSync(file, 'utf8').split('\n').filter(Boolean);
  return lines.map((line) => JSON.parse(line) as T);
}

export async function read<E>(
  task: string | TaskDescription,
  data: string,
  split: Split,
  slices: string[] = [],
): Promise<E[]> {
  const found = await findTask(task, data);
  return (await found.task.read(found.folder, split, slices)) as E[];
}
