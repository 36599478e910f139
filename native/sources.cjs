// Prints the sources of the named groups by scanning folders, so that no build file keeps a list.
// Usage: node sources.cjs core|binding|test|... ...   (paths relative to the repository root, one a line)
'use strict';
const fs = require('fs');
const path = require('path');

const groups = {
  core: { folders: ['support', 'albert', 'train', 'cpu'], extension: /\.cc$/ },
  cuda: { folders: ['cuda'], extension: /\.(cc|cu)$/ },
  without_cuda: { folders: ['without_cuda'], extension: /\.cc$/ },
  binding: { folders: ['binding'], extension: /\.cc$/ },
  test: { folders: ['test'], extension: /\.cc$/ },
  emulation: { folders: ['test/emulation'], extension: /\.cc$/ },
  fuzz: { folders: ['test/fuzz'], extension: /\.cc$/ },
};

for (const name of process.argv.slice(2)) {
  const group = groups[name];
  if (!group) {
    process.stderr.write(
      `sources.cjs: unknown group '${name}'; groups are ${Object.keys(groups).join(', ')}\n`,
    );
    process.exit(2);
  }
  for (const folder of group.folders) {
    const directory = path.join(__dirname, folder);
    if (!fs.existsSync(directory)) continue;
    for (const file of fs.readdirSync(directory).sort())
      if (group.extension.test(file)) process.stdout.write(`native/${folder}/${file}\n`);
  }
}
