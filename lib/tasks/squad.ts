/** SQuAD 1.1 and 2.0, and whatever else comes in their JSON form. */
import path from 'node:path';
import { AlbertError } from '../errors';
import { isObject, show } from '../options';
import { readText } from '../text-files';
import { answering } from './answering';
import { answeringByBeam } from './answering-beam';
import { parseObject } from './table';
import { type AnsweringExample, dataError, fileOfSplit, type Split, type Task } from './task';

type Json = Record<string, unknown>;

function lineOf(text: string, id: unknown): number {
  const at = typeof id === 'string' ? text.indexOf(JSON.stringify(id)) : -1;
  return at < 0 ? 1 : text.slice(0, at).split('\n').length;
}

/** The answers of a question, checked against its context; `fail` names the question. */
export function checkAnswers(
  value: unknown,
  context: string,
  fail: (message: string) => AlbertError,
): { text: string; start: number }[] {
  if (!Array.isArray(value)) throw fail(`expected a list of answers but received ${show(value)}`);
  return value.map((answer: unknown) => {
    const { text, answer_start: start } = isObject(answer) ? answer : ({} as Json);
    if (typeof text !== 'string' || text.trim() === '')
      throw fail(`expected an answer with text but received ${show(text)}`);
    if (typeof start !== 'number' || !Number.isInteger(start) || start < 0)
      throw fail(`expected answer_start to be a place in the context but received ${show(start)}`);
    // Positions in the file count characters, or, where the answer does not stand there, UTF-16 units as JavaScript's do.
    const units = [...context.slice(0, 2 * start)].slice(0, start).join('').length;
    const at = context.startsWith(text, units) ? units : start;
    if (!context.startsWith(text, at))
      throw fail(
        `expected the answer ${show(text)} at ${start} of the context but found ${show(context.substr(start, text.length))}`,
      );
    const lead = text.length - text.trimStart().length;
    return { text: text.trim(), start: at + lead };
  });
}

/**
 * The questions of a file in SQuAD's form.
 * @param labelled whether every question must have an answer, or say that it has none.
 * @throws AlbertError DATA that names the file, the line and the question.
 */
export async function readSquad(
  file: string,
  mayHaveNone: boolean,
  labelled: boolean,
): Promise<AnsweringExample[]> {
  const text = await readText(file);
  const { data } = parseObject(text, (message) => dataError(file, 1, message));
  const part = (value: unknown, name: string): Json[] => {
    if (!Array.isArray(value) || !value.every(isObject))
      throw dataError(
        file,
        1,
        `expected ${name} to be a list of objects, as SQuAD has it, but received ${show(value)}`,
      );
    return value;
  };
  const examples: AnsweringExample[] = [];
  for (const article of part(data, 'data'))
    for (const { context, qas } of part(article.paragraphs, 'paragraphs'))
      for (const { id, question, answers, is_impossible } of part(qas, 'qas')) {
        const fail = (message: string) =>
          dataError(file, lineOf(text, id), `question ${show(id)}: ${message}`);
        if (typeof id !== 'string') throw fail('expected a string for id');
        if (typeof question !== 'string' || question.trim() === '')
          throw fail('expected a question but it is empty');
        if (typeof context !== 'string' || context.trim() === '')
          throw fail('expected a context but it is empty');
        const none = mayHaveNone && is_impossible === true;
        const known = none
          ? []
          : answers === undefined && !labelled
            ? null
            : checkAnswers(answers, context, fail);
        if (labelled && !none && known!.length === 0)
          throw fail(
            mayHaveNone
              ? 'expected an answer, or is_impossible: true'
              : 'expected an answer but there is none',
          );
        examples.push({ id, question, context, answers: known });
      }
  if (examples.length === 0) throw dataError(file, 1, 'expected questions but there are none');
  return examples;
}

function squadTask(
  version: '1.1' | '2.0',
  defaults: Task['defaults'],
  { name, kind }: Pick<Task, 'name' | 'kind'>,
): Task {
  const mayHaveNone = version === '2.0';
  return {
    name,
    kind,
    labels: [],
    metrics: ['f1', 'exact'],
    defaults,
    async read(folder, split: Split, slices) {
      if (slices.length > 0)
        throw new AlbertError(
          'INVALID_ARGUMENT',
          'expected no slices, as questions of SQuAD have no columns',
        );
      const places = [`${split}-v${version}.json`, `${split}.json`].map((one) => path.join(folder, one));
      return readSquad(fileOfSplit(name, split, places), mayHaveNone, split !== 'test');
    },
  };
}

/** The hyper-parameters of the ALBERT paper's appendix. */
const FIRST = { learningRate: 5e-5, batchSize: 48, steps: 3649, warmup: 0.1, dropout: 0, maxLength: 384 };
const SECOND = { learningRate: 3e-5, batchSize: 48, steps: 8144, warmup: 0.1, dropout: 0, maxLength: 512 };

export const SQUAD_TASKS: Task[] = [
  squadTask('1.1', FIRST, { name: 'squad-1.1', kind: answering(false) }),
  squadTask('2.0', SECOND, { name: 'squad-2.0', kind: answering(true) }),
  squadTask('2.0', SECOND, { name: 'squad-2.0-beam', kind: answeringByBeam }),
];
