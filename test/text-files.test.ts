/** Text files: found however many there are, and read whatever the length of their lines. */
import fs from 'node:fs/promises';
import { findFiles } from '../lib/text-files';
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
