/** Where the tests find their data, and temporary copies of it. */
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';

export const root = path.resolve(__dirname, '..', '..');
export const golden = path.join(root, 'test', 'golden');
export const goldenModels = readdirSync(path.join(golden, 'model'));

export function goldenModel(name: string): string {
  return path.join(golden, 'model', name);
}

/** The project's own small vocabulary. */
export const vocabulary = path.join(golden, 'vocabulary', 'spiece.model');

/** The folder with the data of others, which the repository does not hold; null where it is absent. */
export const outsideData =
  [process.env.ALBERT_TEST_DATA, path.resolve(root, '..', 'shared')].find(
    (folder) => folder !== undefined && existsSync(folder),
  ) ?? null;

const made: string[] = [];

/** A new temporary folder, removed when the test file ends. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'albert-test-'));
  made.push(folder);
  return folder;
}

afterAll(() => {
  for (const folder of made.splice(0)) rmSync(folder, { recursive: true, force: true });
});

/** A writable copy of a golden model's files, without its expected outputs. */
export function copyModel(name: string): string {
  const folder = path.join(temporaryFolder(), name);
  mkdirSync(folder);
  for (const file of ['config.json', 'model.safetensors']) {
    cpSync(path.join(goldenModel(name), file), path.join(folder, file), { mode: 0 });
  }
  return folder;
}
