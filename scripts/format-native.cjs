// Formats the C++ sources with clang-format where it is installed; with --check it only reports.
'use strict';
const { spawnSync } = require('child_process');
const fs = require('fs');
const path = require('path');

const check = process.argv.includes('--check');

// Versions differ in small matters, so the one that the repository is formatted with comes first.
const program = ['clang-format-14', 'clang-format'].find(
  (name) => spawnSync(name, ['--version']).status === 0,
);
if (!program) {
  console.log('format-native: clang-format is not installed; the C++ sources were left alone');
  process.exit(0);
}
const native = path.join(__dirname, '..', 'native');
const files = fs
  .readdirSync(native, { recursive: true })
  .filter((file) => /\.(h|cc|inl|cu|cuh)$/.test(file))
  .map((file) => path.join(native, file));
const result = spawnSync(program, [...(check ? ['--dry-run', '--Werror'] : ['-i']), ...files], {
  stdio: 'inherit',
});
process.exit(result.status ?? 1);
