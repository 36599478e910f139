/** Tasks on a user's own data: columns, tags, questions and choices, descriptions, and what malformed ones are told. */
import { existsSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { findTask, type TaskDescription, TASK_NAMES } from '../lib/tasks';
import { tagging, tagSpans } from '../lib/tasks/tagging';
import type { TaggingExample, Task } from '../lib/tasks/task';
import { Tokenizer } from '../lib';
import { temporaryFolder, vocabulary } from './support/data';
import { read, write } from './support/datasets';
import { failure } from './support/errors';

describe("a user's own data", () => {
  test('CSV with quotes, named columns and labels in order of the alphabet', async () => {
    const folder = temporaryFolder();
    write(folder, 'a.csv', 'topic,review,stars', 'films,"Good, ""very"" good\nindeed",pos', 'books,bad,neg');
    const task: TaskDescription = {
      type: 'classification',
      files: { train: 'a.csv' },
      columns: { text: 'review', label: 'stars' },
    };
    const { task: found } = await findTask(task, folder);
    expect(found.labels).toEqual(['neg', 'pos']);
    expect(await read(task, folder, 'train', ['topic'])).toEqual([
      { id: '0', text: 'Good, "very" good\nindeed', pair: '', label: 1, slices: { topic: 'films' } },
      { id: '1', text: 'bad', pair: '', label: 0, slices: { topic: 'books' } },
    ]);
  });

  test('files that gzip packed, CSV read whole and TSV line by line', async () => {
    const folder = temporaryFolder();
    writeFileSync(path.join(folder, 'a.csv.gz'), gzipSync('text,label\n"a, b",x\nc,y\n'));
    writeFileSync(path.join(folder, 'a.tsv.gz'), gzipSync('text\tlabel\na, b\tx\nc\ty\n'));
    const files = { train: 'a.csv.gz', dev: 'a.tsv.gz' };
    for (const split of ['train', 'dev'] as const)
      expect(await read({ type: 'classification', files, labels: ['x', 'y'] }, folder, split)).toMatchObject([
        { text: 'a, b', label: 0 },
        { text: 'c', label: 1 },
      ]);
    writeFileSync(path.join(folder, 'a.csv.gz'), 'text,label\n');
    const plain = await failure('DATA', () => read({ type: 'classification', files }, folder, 'train'));
    expect(plain.message).toMatch(/a\.csv\.gz: cannot be read: /);
  });

  test('several labels, values, and columns without names', async () => {
    const folder = temporaryFolder();
    write(folder, 'm.jsonl', '{"text":"x","label":["b","a"]}', '{"text":"y","label":[]}');
    write(folder, 'm.tsv', 'x\tb,a', 'y\t');
    write(folder, 'r.tsv', '0.5\tone\ttwo');
    const several: TaskDescription = {
      type: 'multi-label',
      files: { train: 'm.jsonl', dev: 'm.tsv' },
      header: false,
      columns: { text: 0, label: 1 },
    };
    const sliced = await failure('DATA', () => read({ ...several, columns: {} }, folder, 'train', ['genre']));
    expect(sliced.message).toMatch(/m\.jsonl:1: expected a field 'genre' to slice by/);
    expect(await read({ ...several, columns: {} }, folder, 'train')).toMatchObject([
      { label: [1, 1] },
      { label: [0, 0] },
    ]);
    expect(await read({ ...several, labels: ['a', 'b', 'c'] }, folder, 'dev')).toMatchObject([
      { label: [1, 1, 0] },
      { label: [0, 0, 0] },
    ]);
    const value: TaskDescription = {
      type: 'regression',
      files: { train: 'r.tsv' },
      header: false,
      columns: { label: 0, text: 1, pair: 2 },
    };
    expect(await read(value, folder, 'train')).toMatchObject([{ text: 'one', pair: 'two', label: 0.5 }]);
  });

  test('tags from CoNLL columns and from JSON lines', async () => {
    const folder = temporaryFolder();
    write(folder, 't.conll', '-DOCSTART- O', '', 'Ann NNP B-PER', 'sings VBZ O', '', 'Rome NNP B-LOC');
    write(folder, 't.jsonl', '{"words":["Ann","sings"],"tags":["B-PER","O"]}');
    const task: TaskDescription = { type: 'tagging', files: { train: 't.conll', dev: 't.jsonl' } };
    expect(await read<TaggingExample>(task, folder, 'train')).toEqual([
      { id: '0', words: ['Ann', 'sings'], tags: [1, 2] },
      { id: '1', words: ['Rome'], tags: [0] },
    ]);
    await failure('INVALID_ARGUMENT', () => read(task, folder, 'train', ['genre']));
    expect(await read<TaggingExample>(task, folder, 'dev')).toMatchObject([{ tags: [1, 2] }]);
    const named = ['B-PER', 'I-PER', 'O', 'I-LOC', 'B-LOC', 'B-LOC'];
    expect(tagSpans(named)).toEqual(['0:2:PER', '3:4:LOC', '4:5:LOC', '5:6:LOC']);
    expect(tagSpans(['B-PER', 'E-PER', 'O', 'S-PER', 'I-PER'])).toEqual(['0:2:PER', '3:4:PER', '4:5:PER']);
    // Labels that are no spans are judged word by word.
    expect((await findTask(task, folder)).task.metrics[0]).toBe('span_f1');
    write(folder, 't.conll', 'Ann NOUN', 'sings VERB');
    expect((await findTask(task, folder)).task.metrics).toEqual(['accuracy']);
    await failure('INVALID_ARGUMENT', () => findTask({ ...task, metrics: ['span_f1'] }, folder));
    const byName = await failure('INVALID_ARGUMENT', () =>
      findTask({ ...task, columns: { tag: 'ner' } }, folder),
    );
    expect(byName.message).toMatch(/expected a number.*for columns\.tag but received 'ner'/);
  });

  test('the first token of each word carries its tag, over windows too', async () => {
    const tokenizer = await Tokenizer.load(vocabulary);
    const words = Array.from({ length: 30 }, (_, i) => ['unbelievable', 'house', '(x)', '—'][i % 4]);
    const examples = [{ id: '0', words, tags: words.map((_, i) => i) }];
    const features = await tagging.encode(tokenizer, examples, {
      maxLength: 32,
      docStride: 1,
      maxQuestionLength: 1,
    });
    expect(features.length).toBeGreaterThan(2);
    const labels = (tagging.batch(features, examples).labels as Int32Array[]).flatMap((row) =>
      [...row].filter((tag) => tag >= 0),
    );
    expect(labels).toEqual(words.map((_, i) => i));
    // The metaspace before '(' is the first token of its word, as pipelines and other trainers have it.
    const firsts = features.flatMap(({ sequences: [{ ids }], words: begun }) =>
      [...ids].filter((_, token) => begun[token] >= 0),
    );
    expect(firsts.map((id) => tokenizer.idToToken(id)[0])).toEqual(words.map(() => '▁'));
  });

  test('questions and choices as JSON lines', async () => {
    const folder = temporaryFolder();
    write(
      folder,
      'q.jsonl',
      '{"id":7,"context":"In Rome.","question":"Where?","answers":[{"text":"Rome","answer_start":3}]}',
    );
    write(folder, 'c.jsonl', '{"context":"c","question":"It is _.","choices":["a","b"],"label":"B"}');
    expect(
      await read({ type: 'question-answering', files: { train: 'q.jsonl' } }, folder, 'train'),
    ).toMatchObject([{ id: '7', answers: [{ text: 'Rome', start: 3 }] }]);
    expect(
      await read({ type: 'multiple-choice', files: { train: 'c.jsonl' } }, folder, 'train'),
    ).toMatchObject([{ choices: ['It is a.', 'It is b.'], label: 1 }]);
  });

  test.each<[TaskDescription['type'], string, string, RegExp]>([
    ['classification', 'x.csv', 'text,label\nfine,a\n"open', /x\.csv:\d: expected CSV/],
    [
      'classification',
      'x.csv',
      'text,mark\nfine,a',
      /x\.csv:1: expected a column 'label' but the file has 'text', 'mark'/,
    ],
    ['classification', 'x.jsonl', '{"text":"a","label":"b"}\n{"text":', /x\.jsonl:2: expected JSON/],
    ['classification', 'x.jsonl', '{"text":5.5,"label":"b"}\n[1]', /x\.jsonl:2: expected a JSON object/],
    [
      'multi-label',
      'x.jsonl',
      '{"text":"a","label":["b",null]}',
      /x\.jsonl:1: expected a text for label but received null/,
    ],
    [
      'regression',
      'x.jsonl',
      '{"text":"a","label":"high"}',
      /x\.jsonl:1: expected a number for label but received 'high'/,
    ],
    [
      'tagging',
      'x.jsonl',
      '{"words":["a","b"],"tags":["O"]}',
      /x\.jsonl:1: expected 2 tags, one a word, but received 1/,
    ],
    [
      'question-answering',
      'x.jsonl',
      '{"context":"c","question":"q","answers":[{"text":""}]}',
      /x\.jsonl:1: expected an answer with text/,
    ],
    [
      'multiple-choice',
      'x.jsonl',
      '{"context":"c","choices":["a"],"label":1}',
      /x\.jsonl:1: expected label to be a place among 1 choices/,
    ],
    [
      'multiple-choice',
      'x.jsonl',
      '{"context":"c","choices":["a","b"],"label":null}',
      /x\.jsonl:1: expected label to be a place among 2 choices but received null/,
    ],
    [
      'tagging',
      'x.conll',
      'Ann B-PER\nParis',
      /x\.conll:2: expected a word and its tag but received no column/,
    ],
    ['tagging', 'x.conll', 'Ann\tB-PER\nParis\t', /x\.conll:2: expected a text in column -1 but it is empty/],
  ])('refuses %s of %s: %j', async (type, name, text, message) => {
    const folder = temporaryFolder();
    write(folder, name, text);
    const error = await failure('DATA', () => read({ type, files: { train: name } }, folder, 'train'));
    expect(error.message).toMatch(message);
  });

  test('a description is a file too, and its folder that of the data', async () => {
    const folder = temporaryFolder();
    write(folder, 'a.tsv', 'text\tlabel', 'x\t1');
    const file = write(
      folder,
      'mine.json',
      JSON.stringify({ type: 'classification', files: { train: 'a.tsv' } }),
    );
    const { task, folder: data } = await findTask(file, undefined);
    expect([task.name, data, task.labels]).toEqual(['mine', folder, ['1']]);
    write(folder, 'mine.json', '{"type": "x"');
    await failure('DATA', () => findTask(file, undefined));
  });

  test('a row with more cells than columns have names is refused, and so are names that stand twice', async () => {
    const folder = temporaryFolder();
    const read = async (name: string, lines: string[], more: object = {}) => {
      writeFileSync(path.join(folder, name), `${lines.join('\n')}\n`);
      const { task } = await findTask(
        { type: 'classification', files: { dev: name }, labels: ['a', 'b'], ...more },
        folder,
      );
      return task.read(folder, 'dev', []);
    };
    const wide = await failure('DATA', () => read('wide.csv', ['text,label', 'Good, but long,a', 'bad,b']));
    expect(wide.message).toMatch(
      /wide\.csv:2: expected 2 columns.*received 3; a cell with a comma stands in quotes/,
    );
    await failure('DATA', () => read('wide.tsv', ['text\tlabel', 'good\ta\tmore']));
    expect(await read('tail.tsv', ['text\tlabel', 'good\ta\t'])).toHaveLength(1);
    await failure('DATA', () => read('twice.csv', ['text,label,text', 'good,a,bad']));
    expect(await read('notes.csv', ['text,label,n,n', 'good,a,x,y'])).toHaveLength(1);
    await failure('INVALID_ARGUMENT', () =>
      read('x.csv', ['text,label', 'good,a'], { labels: ['a', 'b', 'b'] }),
    );
    await failure('INVALID_ARGUMENT', () => read('x.csv', ['text,label', 'good,a'], { header: 'false' }));
  });

  test('wrong descriptions and names are refused', async () => {
    const refused = async (task: unknown, message: RegExp) =>
      expect(
        (await failure('INVALID_ARGUMENT', () => findTask(task as TaskDescription, '.'))).message,
      ).toMatch(message);
    await refused('sst2', new RegExp(`among ${TASK_NAMES[0]}, .*received 'sst2'`));
    await refused({ type: 'guessing', files: {} }, /'classification', 'multi-label'/);
    await refused({ type: 'classification', files: { training: 'x' } }, /'train', 'dev', 'test' for files/);
    await refused({ type: 'classification', files: { dev: 'x' } }, /expected labels in the description/);
    await refused({ type: 'regression' }, /expected an object with train, dev or test/);
    await failure('INVALID_ARGUMENT', () => findTask('rte', undefined));
    const folder = temporaryFolder();
    write(folder, 'mine.json', '{"type": "guessing", "files": {}}');
    const file = path.join(folder, 'mine.json');
    const { message } = await failure('INVALID_ARGUMENT', () => findTask(file, undefined));
    expect(message.startsWith(`${file}: expected one of 'classification'`)).toBe(true);
    const { task }: { task: Task } = await findTask({ type: 'regression', files: { train: 'x.dat' } }, '.');
    expect((await failure('INVALID_ARGUMENT', () => task.read('.', 'train', []))).message).toMatch(
      /expected format to be one of/,
    );
    await failure('INVALID_ARGUMENT', () => task.read('.', 'dev', []));
    expect(existsSync('x.dat')).toBe(false);
  });
});
