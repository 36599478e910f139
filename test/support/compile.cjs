// Compiles lib/ once before all tests: the command line and the package are tested as they are shipped.
'use strict';
const { spawnSync } = require('child_process');
const path = require('path');

module.exports = () => {
  const root = path.resolve(__dirname, '..', '..');
  const compiler = require.resolve('typescript/bin/tsc');
  const { status } = spawnSync(process.execPath, [compiler, '-p', root], { stdio: 'inherit' });
  if (status !== 0) throw new Error('lib/ does not compile');
};
