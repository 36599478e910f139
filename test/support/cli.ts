/** The command line as it is shipped. */
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { root } from './data';

export const main = path.join(root, 'dist', 'cli', 'main.js');

/** Runs a verb to its end. */
export function albert(args: string[], input: string | Buffer = '') {
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...args], {
    encoding: 'utf8',
    input,
  });
  return { status, stdout, stderr, lines: stdout.split('\n').filter(Boolean) };
}
