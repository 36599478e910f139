// Copies the built addon to where node-gyp-build looks for one that fits the platform; part of `npm pack`.
'use strict';
const fs = require('fs');
const path = require('path');

const root = path.join(__dirname, '..');
const built = path.join(root, 'build', 'Release', 'albert.node');
if (!fs.existsSync(built)) {
  console.error(`prebuild: expected ${path.relative(root, built)}; build it first: npm run build`);
  process.exit(1);
}
const libc = process.platform === 'linux' ? (fs.existsSync('/etc/alpine-release') ? '.musl' : '.glibc') : '';
const folder = path.join(root, 'prebuilds', `${process.platform}-${process.arch}`);
fs.mkdirSync(folder, { recursive: true });
const target = path.join(folder, `albert-native${libc}.node`);
fs.copyFileSync(built, target);
console.log(`prebuild: ${path.relative(root, target)}`);
