/** RACE: reading comprehension with four answers to choose from, from middle and high school. */
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { AlbertError } from '../errors';
import { show } from '../options';
import { statement } from '../pipelines/multiple-choice';
import { readText, statusOf } from '../text-files';
import { choosing } from './choosing';
import { parseObject, readJsonLines } from './table';
import { type ChoosingExample, dataError, type Split, type Task } from './task';

type Passage = { file: string; line: number; value: Record<string, unknown> };

const LETTERS = ['A', 'B', 'C', 'D'];

function texts(
  value: unknown,
  count: number | null,
  name: string,
  fail: (message: string) => AlbertError,
): string[] {
  const right =
    Array.isArray(value) && value.every((entry) => typeof entry === 'string' && entry.trim() !== '');
  if (!right || (count !== null && value.length !== count))
    throw fail(`expected ${count ?? 'some'} texts for ${name} but received ${show(value)}`);
  return value as string[];
}

function questionsOf({ file, line, value }: Passage): ChoosingExample[] {
  const fail = (message: string) => dataError(file, line, message);
  const { article, id } = value;
  if (typeof article !== 'string' || article.trim() === '')
    throw fail(`expected a text for article but received ${show(article)}`);
  const questions = texts(value.questions, null, 'questions', fail);
  const answers = texts(value.answers, questions.length, 'answers', fail);
  if (!Array.isArray(value.options) || value.options.length !== questions.length)
    throw fail(
      `expected ${questions.length} lists of options, one a question, but received ${show(value.options)}`,
    );
  return questions.map((question, q) => {
    const label = LETTERS.indexOf(answers[q]);
    if (label < 0)
      throw fail(`expected an answer from A to D for question ${q} but received '${answers[q]}'`);
    const options = texts((value.options as unknown[])[q], LETTERS.length, `options of question ${q}`, fail);
    return {
      id: `${typeof id === 'string' ? id : `${path.basename(file)}:${line}`}-${q}`,
      context: article,
      choices: options.map((option) => statement(question, option)),
      label,
    };
  });
}

/** Passages of a folder: a file a passage as released, or all.txt with a line a passage. */
async function passages(folder: string): Promise<Passage[]> {
  const together = ['all.txt', 'all.txt.gz']
    .map((name) => path.join(folder, name))
    .find((file) => statusOf(file, 'DATA'));
  if (together) return (await readJsonLines(together)).map((one) => ({ file: together, ...one }));
  const found = await readdir(folder).catch((error: Error) => {
    throw new AlbertError('DATA', `${folder}: cannot be read: ${error.message}`, { cause: error });
  });
  const names = found.filter((name) => name.endsWith('.txt')).sort((a, b) => parseInt(a) - parseInt(b));
  return Promise.all(
    names.map(async (name) => {
      const file = path.join(folder, name);
      return {
        file,
        line: 1,
        value: parseObject(await readText(file), (message) => dataError(file, 1, message)),
      };
    }),
  );
}

async function read(folder: string, split: Split, schools: readonly string[]): Promise<ChoosingExample[]> {
  const root = [path.join(folder, 'RACE', split), path.join(folder, split)].find((place) =>
    statusOf(place, 'DATA'),
  );
  const found = schools.map((school) => path.join(root ?? folder, school));
  for (const place of found)
    if (!root || !statusOf(place, 'DATA')?.isDirectory())
      throw new AlbertError(
        'DATA',
        `expected RACE's ${split} split at ${path.join(folder, split)}/${schools.join(' and ')} but found none`,
      );
  const examples = (await Promise.all(found.map(passages))).flat().flatMap(questionsOf);
  if (examples.length === 0)
    throw new AlbertError('DATA', `expected passages in ${found.join(', ')} but found none`);
  return examples;
}

function raceTask(name: string, schools: readonly string[]): Task {
  return {
    name,
    kind: choosing,
    labels: [],
    metrics: ['accuracy'],
    // The paper's 2e-5 and dropout of 0.1 are for v1: its README says that v2 diverges with them.
    defaults: {
      learningRate: 1e-5,
      batchSize: 32,
      steps: 12000,
      warmup: 1000 / 12000,
      dropout: 0,
      maxLength: 512,
    },
    read(folder, split, slices) {
      if (slices.length > 0)
        throw new AlbertError('INVALID_ARGUMENT', 'expected no slices, as questions of RACE have no columns');
      return read(folder, split, schools);
    },
  };
}

export const RACE_TASKS: Task[] = [
  raceTask('race', ['middle', 'high']),
  raceTask('race-middle', ['middle']),
  raceTask('race-high', ['high']),
];
