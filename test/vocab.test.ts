/** Vocabulary training: the ids of ALBERT, the preparation of text, and what happens without the trainer. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { Tokenizer, trainVocabulary } from '../lib';
import { binding } from '../lib/native';
import { albert } from './support/cli';
import { temporaryFolder } from './support/data';
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
    const input = corpus();
    const done = albert(['vocab', '--input', input, '--size', '56', '--output', output, '--json']);
    expect([done.status, JSON.parse(done.stdout)]).toEqual([0, { output, size: 56, sentences: 2000 }]);
    const small = albert(['vocab', '--input', input, '--output', output]);
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
  const [output, program, given] = ['none.model', 'slow', 'given'].map((name) => path.join(folder, name));
  writeFileSync(program, `#!/bin/sh\necho "$@" > ${given}\nexec sleep 600\n`, { mode: 0o755 });
  writeFileSync(given, '');
  const stop = new AbortController();
  const training = trainVocabulary({ input: corpus(), output, program, signal: stop.signal });
  while (readFileSync(given, 'utf8') === '') await setTimeout(20); // until the trainer runs
  stop.abort();
  await failure('ABORTED', () => training); // long before the trainer would end
  expect(existsSync(output)).toBe(false);
  const [prefix] = /(?<=--model_prefix=)\S+/.exec(readFileSync(given, 'utf8'))!;
  expect(existsSync(path.dirname(prefix))).toBe(false);
});

test('text is prepared as tokenizers prepare it', () => {
  const prepared = (text: string, lowerCase = true) => binding().prepareText(text, lowerCase);
  expect(prepared("  ``Café''  ÀÉ\tDAYS ")).toBe('"cafe" ae days');
  expect(prepared('Café', false)).toBe('Café');
  // The vowel sign is no accent, the virama counts as one.
  expect(prepared('हिन्दी')).toBe('हिनदी');
  expect(prepared(' \n')).toBe('');
});
