/** Text files: found however many there are, and read whatever the length of their lines. */
import fs from 'node:fs/promises';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { findFiles, readLines } from '../lib/text-files';
import { temporaryFolder } from './support/data';

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
