/** Text files: found however many there are, and read whatever the length of their lines. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs/promises';
import { rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { Albert } from '../lib';
import { findFiles, readLines, readText } from '../lib/text-files';
import { copyModel, temporaryFolder } from './support/data';
import { failure } from './support/errors';

test('a folder may hold more files than a call takes arguments', async () => {
  const entries = Array.from({ length: 300_000 }, (_, i) => ({
    name: `${i}.txt`,
    parentPath: '/corpus',
    isFile: () => true,
    isSymbolicLink: () => false,
  }));
  const readdir = jest.spyOn(fs, 'readdir').mockResolvedValue(entries as never);
  try {
    expect(await findFiles(temporaryFolder())).toHaveLength(entries.length);
  } finally {
    readdir.mockRestore();
  }
});

test('a folder that cannot be read is told as data that cannot', async () => {
  const folder = temporaryFolder();
  const readdir = jest.spyOn(fs, 'readdir').mockRejectedValue(new Error(`EACCES: scandir '${folder}/below'`));
  try {
    const { message } = await failure('DATA', () => findFiles(folder));
    expect(message).toBe(`${folder}: cannot be read: EACCES: scandir '${folder}/below'`);
  } finally {
    readdir.mockRestore();
  }
});

test('the work of a long line grows with its length, not with the square of it', async () => {
  const file = path.join(temporaryFolder(), 'long.txt');
  const long = 'long '.repeat(1 << 20);
  writeFileSync(file, `first\r\n${long}\n\nlast`);
  let copied = 0;
  const concat = Buffer.concat.bind(Buffer);
  const spy = jest.spyOn(Buffer, 'concat').mockImplementation((parts, length) => {
    const whole = concat(parts, length);
    copied += whole.length;
    return whole;
  });
  const lines: string[] = [];
  for await (const line of readLines(file)) lines.push(line);
  spy.mockRestore();
  expect(lines).toEqual(['first', long, '', 'last']);
  expect(copied).toBeLessThan(2 * long.length);
});

test('a name that no file can have is refused like one that no file has', async () => {
  await failure('DATA', () => readText('a\0b'));
  await failure('DATA', () => readLines('a\0b').next());
});

const ifPipes = process.platform === 'win32' ? test.skip : test;

ifPipes('a pipe in place of config.json is refused, not waited for', async () => {
  const folder = copyModel('base');
  const file = path.join(folder, 'config.json');
  rmSync(file);
  expect(spawnSync('mkfifo', [file]).status).toBe(0);
  const error = await failure('INVALID_CONFIG', () => Albert.load(folder));
  expect(error.message).toBe(`expected a regular file at ${file}`);
});
