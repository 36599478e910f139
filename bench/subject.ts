/** The package under test as it ships: compiled, loaded from the repository that this file lies in. */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import type * as Package from '../dist';
import type * as Native from '../dist/native';

// This file runs from bench/dist and is tested from bench/.
export const repository = [path.resolve(__dirname, '..'), path.resolve(__dirname, '..', '..')].find(
  (folder) => existsSync(path.join(folder, 'binding.gyp')),
)!;
const load = createRequire(path.join(repository, 'package.json'));

export const albert = () => load('./dist') as typeof Package;
/** The addon itself, for what is no part of the public API. */
export const native = () => (load('./dist/native') as typeof Native).binding();
