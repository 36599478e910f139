/** The compiled package from both module systems, and what a user sees where no binary fits. */
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { root, temporaryFolder } from './support/data';

function run(folder: string, file: string, source: string) {
  writeFileSync(path.join(folder, file), source);
  return spawnSync(process.execPath, [file], { cwd: folder, encoding: 'utf8' });
}

const use = `console.log(typeof pipeline, typeof Albert.load, typeof Tokenizer.load, new AlbertError('DATA', 'x').code, cpuInfo().available.length > 0)`;

test('require and import give the same exports', () => {
  const folder = temporaryFolder();
  mkdirSync(path.join(folder, 'node_modules'));
  symlinkSync(root, path.join(folder, 'node_modules', 'albert-native'), 'junction');
  const names = 'pipeline, Albert, Tokenizer, AlbertError, cpuInfo';
  const required = run(folder, 'app.cjs', `const { ${names} } = require('albert-native'); ${use}`);
  const imported = run(folder, 'app.mjs', `import { ${names} } from 'albert-native'; ${use}`);
  expect(required.stdout).toBe('function function function DATA true\n');
  expect([imported.stdout, imported.stderr]).toEqual([required.stdout, '']);
});

test('the types hold in a strict application, by both module systems and for an older target', () => {
  const folder = temporaryFolder();
  mkdirSync(path.join(folder, 'node_modules'));
  symlinkSync(root, path.join(folder, 'node_modules', 'albert-native'), 'junction');
  for (const file of ['app.mts', 'app.cts'])
    writeFileSync(
      path.join(folder, file),
      "import { Albert, AlbertError, pipeline } from 'albert-native';\n" +
        "const [texts, pairs, names, rows] = [['a'], [['a', 'b']], ['logits'], [[1]]] as const;\n" +
        "export const labels = async () => (await pipeline('text-classification'))(texts);\n" +
        "export const tags = async () => (await pipeline('ner'))('a', { ignore_labels: texts });\n" +
        "export const ranks = async () => (await pipeline('fill-mask'))('[MASK]', { targets: texts });\n" +
        'export const logits = async (model: Albert<"masked-lm">) =>\n' +
        '  model.forward({ input_ids: [Uint32Array.of(1)] }, { outputs: names, positions: rows });\n' +
        'export const ids = (model: Albert) => model.tokenizer.encodeBatch(pairs);\n' +
        "export const words = async (): Promise<string[]> => (await (await pipeline('fill-mask'))('a [MASK]')).map((one) => one.token_str);\n" +
        "export const error = new AlbertError('DATA', 'x', { cause: 1 });\n",
    );
  const types = path.join(root, 'node_modules', '@types');
  const flags = ['--strict', '--noEmit', '--module', 'nodenext', '--target', 'es2017', '--typeRoots', types];
  const args = [require.resolve('typescript/bin/tsc'), ...flags, '--types', 'node', 'app.mts', 'app.cts'];
  const { status, stdout } = spawnSync(process.execPath, args, { cwd: folder, encoding: 'utf8' });
  expect([status, stdout]).toEqual([0, '']);
});

test('without a binary, importing works and the first use says what to type', () => {
  const folder = temporaryFolder();
  const copy = path.join(folder, 'node_modules', 'albert-native');
  mkdirSync(copy, { recursive: true });
  cpSync(path.join(root, 'dist'), path.join(copy, 'dist'), { recursive: true });
  cpSync(path.join(root, 'package.json'), path.join(copy, 'package.json'));
  for (const name of ['node-gyp-build', 'commander']) {
    cpSync(path.join(root, 'node_modules', name), path.join(folder, 'node_modules', name), {
      recursive: true,
    });
  }
  const source = `const { cpuInfo } = require('albert-native'); try { cpuInfo(); } catch (error) { console.log(error.code, error.message); }`;
  const { stdout } = run(folder, 'app.cjs', source);
  expect(stdout).toMatch(/^DEVICE could not load.*npm rebuild albert-native --foreground-scripts/s);
});

test('where Node may load no addon, the first use says how to start it', () => {
  const source = `try { require(${JSON.stringify(root)}).cpuInfo(); } catch (error) { console.log(error.code, error.message); }`;
  const { stdout } = spawnSync(process.execPath, ['--no-addons', '-e', source], { encoding: 'utf8' });
  expect(stdout).toMatch(/^DEVICE could not load.*--allow-addons/s);
  expect(stdout).not.toContain('npm rebuild');
});

test('the lock file names no registry, and the manifest no missing file', () => {
  const lock = readFileSync(path.join(root, 'package-lock.json'), 'utf8');
  expect(lock).not.toContain('"resolved"');
  const manifest = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as {
    bin: { albert: string };
    main: string;
  };
  for (const file of [manifest.main, manifest.bin.albert, 'LICENSE', 'CHANGELOG.md']) {
    expect([file, existsSync(path.join(root, file))]).toEqual([file, true]);
  }
});
