/** Vocabulary training: the ids of ALBERT, the preparation of text, and what happens without the trainer. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { Tokenizer, trainVocabulary } from '../lib';
import { prepareText } from '../lib/training/vocab';
import { root, temporaryFolder } from './support/data';
import { failure } from './support/errors';

const installed = spawnSync('spm_train', ['--version']).error === undefined;
const withTrainer = installed ? test : test.skip;

function corpus(): string {
  const file = path.join(temporaryFolder(), 'corpus.txt');
  const words =
    'the whale, a ship of Nantucket; an old captain (with his "harpoon") - sailed for £5 or 7€ – and Café'.split(
      ' ',
    );
  let text = '';
  for (let i = 0; i < 2000; i++) {
    text += `${Array.from({ length: 9 }, (_, j) => words[(i * 7 + j * (1 + (i % 5))) % words.length]).join(' ')}.\n`;
  }
  writeFileSync(file, text);
  return file;
}

withTrainer('special pieces have the ids of the released models (skipped without spm_train)', async () => {
  const output = path.join(temporaryFolder(), 'spiece.model');
  await trainVocabulary({ input: corpus(), output, size: 56 });
  const tokenizer = await Tokenizer.load(output);
  const expected = ['<pad>', '<unk>', '[CLS]', '[SEP]', '[MASK]', '(', ')', '"', '-', '.', '–', '£', '€'];
  expect(expected.map((_, id) => tokenizer.idToToken(id))).toEqual(expected);
  expect(tokenizer.vocabSize).toBe(56);
  expect(tokenizer.specialTokens).toMatchObject({ pad: 0, unk: 1, cls: 2, sep: 3, mask: 4 });
  expect(tokenizer.encode('The WHALE (a "café")').input_ids).not.toContain(1);
});

withTrainer(
  'the command line trains too, and says when the text is too small (skipped without spm_train)',
  () => {
    const output = path.join(temporaryFolder(), 'spiece.model');
    const albert = (...args: string[]) =>
      spawnSync(process.execPath, [path.join(root, 'dist', 'cli', 'main.js'), 'vocab', ...args], {
        encoding: 'utf8',
      });
    const input = corpus();
    const done = albert('--input', input, '--size', '56', '--output', output, '--json');
    expect([done.status, JSON.parse(done.stdout)]).toEqual([0, { output, size: 56, sentences: 2000 }]);
    const small = albert('--input', input, '--output', output);
    expect([small.status, small.stderr]).toEqual([1, expect.stringContaining('smaller size')]);
  },
);

test('a missing trainer is explained', async () => {
  const options = { input: corpus(), output: 'never.model', program: 'no-such-spm-train' };
  expect((await failure('DATA', () => trainVocabulary(options))).message).toContain(
    'Debian package sentencepiece',
  );
});

test('an abort leaves nothing behind', async () => {
  const folder = temporaryFolder();
  const [output, program, work] = ['none.model', 'slow', 'work'].map((name) => path.join(folder, name));
  mkdirSync(work);
  writeFileSync(program, '#!/bin/sh\nexec sleep 60\n', { mode: 0o755 });
  const usual = process.env.TMPDIR;
  process.env.TMPDIR = work;
  const signal = AbortSignal.timeout(300); // while the trainer runs
  const begin = Date.now();
  await failure('ABORTED', () => trainVocabulary({ input: corpus(), output, program, signal }));
  if (usual === undefined) delete process.env.TMPDIR;
  else process.env.TMPDIR = usual;
  expect(Date.now() - begin).toBeLessThan(30_000);
  expect(existsSync(output)).toBe(false);
  expect(readdirSync(work)).toEqual([]);
});

test('text is prepared as the reference prepares it', () => {
  expect(prepareText("  ``Café''  ÀÉ\tDAYS ", true)).toBe('"cafe" ae days');
  expect(prepareText('Café', false)).toBe('Café');
});
