/** The programs in examples/ do what their heads say. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { root, temporaryFolder } from './support/data';

const LINES = [
  'The king of England was crowned in the old church.',
  'A recipe for bread needs flour, water, salt and yeast.',
  'The ship sailed across the ocean for many weeks.',
];

test('search-service finds lines by meaning, says what is missing, and ends when asked to', async () => {
  const file = path.join(temporaryFolder(), 'lines.txt');
  writeFileSync(file, LINES.join('\n'));
  const service = spawn(
    process.execPath,
    [path.join(root, 'examples/search-service.mjs'), file, 'albert-mini-en', '0'],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  try {
    const [started] = (await once(service.stdout, 'data')) as [Buffer];
    const [, lines, port] = /^(\d+) lines on port (\d+)/.exec(started.toString()) ?? [];
    expect(lines).toBe('3');
    const ask = async (query: string) => {
      const response = await fetch(`http://localhost:${port}/?${query}`);
      return { status: response.status, body: await response.json() };
    };
    const answers = await Promise.all(
      ['a voyage by sea', 'how to bake a loaf'].map((q) => ask(`q=${q}&k=1`)),
    );
    expect(answers).toMatchObject([
      { status: 200, body: [{ line: LINES[2] }] },
      { status: 200, body: [{ line: LINES[1] }] },
    ]);
    expect(await ask('k=1')).toEqual({ status: 400, body: { error: 'expected a query: /?q=a+few+words' } });
  } finally {
    service.kill();
  }
  expect(await once(service, 'exit')).toEqual([0, null]);
});
