/** Finds a task: one that is built in, or the description of a user's own. */
import path from 'node:path';
import { AlbertError } from '../errors';
import { invalid, pathString, show } from '../options';
import { readText } from '../text-files';
import { customTask, type TaskDescription } from './custom';
import { GLUE_TASKS } from './glue';
import { RACE_TASKS } from './race';
import { SQUAD_TASKS } from './squad';
import { parseObject } from './table';
import type { Task } from './task';

export type { TaskDescription } from './custom';

const BUILT_IN: readonly Task[] = [...GLUE_TASKS, ...SQUAD_TASKS, ...RACE_TASKS];

/** Names of the tasks that are built in, which `finetune()`, `evaluate()` and `--task` take. */
export const TASK_NAMES = BUILT_IN.map(({ name }) => name);

/**
 * The task that a name, a description or the path of a description means, and the folder of its data.
 * @param data default for a description's path: the folder that it stands in.
 * @throws AlbertError INVALID_ARGUMENT that lists the names, or DATA for a description that cannot be read.
 */
export async function findTask(
  task: string | TaskDescription,
  data: string | undefined,
): Promise<{ task: Task; folder: string }> {
  if (data !== undefined) pathString('data', data);
  const needed = (folder: string | undefined) => {
    if (folder === undefined)
      throw new AlbertError(
        'INVALID_ARGUMENT',
        'expected the folder of the data, as data or --data, but received none',
      );
    return folder;
  };
  if (typeof task === 'string' && !task.endsWith('.json')) {
    const found = BUILT_IN.find(({ name }) => name === task.toLowerCase());
    if (found) return { task: found, folder: needed(data) };
    throw new AlbertError(
      'INVALID_ARGUMENT',
      `expected a task among ${TASK_NAMES.join(', ')}, or the .json file of a description, but received ${show(task)}`,
    );
  }
  if (typeof task === 'string') {
    const description = parseObject(
      await readText(task),
      (message) => new AlbertError('DATA', `${task}: ${message}`),
    ) as unknown as TaskDescription;
    const folder = data ?? path.dirname(task);
    const custom = await customTask(path.parse(task).name, description, folder).catch((error: Error) => {
      // What is wrong with the description itself does not say where that is.
      if (!(error instanceof AlbertError) || error.code !== 'INVALID_ARGUMENT') throw error;
      throw new AlbertError(error.code, `${task}: ${error.message}`, { cause: error });
    });
    return { task: custom, folder };
  }
  if (typeof task !== 'object' || task === null) throw invalid('a task or its description', 'task', task);
  return { task: await customTask('custom', task, needed(data)), folder: data! };
}
