// Formats the C++ sources with clang-format where it is installed; with --check it only reports.
'use strict';
const { spawnSync } = require('child_process');
const fs = require('fs');
const path = require('path');

const root = path.join(__dirname, '..');
const check = process.argv.includes('--check');

function sources(folder) {
  return fs.readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const full = path.join(folder, entry.name);
    if (entry.isDirectory()) return sources(full);
    return /\.(h|cc|inl|cu|cuh)$/.test(entry.name) ? [full] : [];
  });
}

// Versions differ in small matters, so the one that the repository is formatted with comes first.
const program = ['clang-format-14', 'clang-format'].find(
  (name) => spawnSync(name, ['--version']).status === 0,
);
if (!program) {
  console.log('format-native: clang-format is not installed; the C++ sources were left alone');
  process.exit(0);
}
const files = sources(path.join(root, 'native'));
const result = spawnSync(program, [...(check ? ['--dry-run', '--Werror'] : ['-i']), ...files], {
  stdio: 'inherit',
});
process.exit(result.status ?? 1);
