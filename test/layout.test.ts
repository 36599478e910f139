/** The rules of the architecture, checked by reading the sources' includes. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { root } from './support/data';

const native = path.join(root, 'native');
const files = (readdirSync(native, { recursive: true }) as string[])
  .map((file) => file.replaceAll(path.sep, '/'))
  .filter((file) => /\.(h|cc|inl|inc|cu|cuh)$/.test(file));

function read(file: string): string {
  return readFileSync(path.join(native, file), 'utf8');
}

/** The file that an include means, relative to native/; null for the system's. */
function includesOf(file: string): { name: string; target: string | null }[] {
  return [...read(file).matchAll(/^\s*#\s*include\s*[<"]([^>"]+)[>"]/gm)].map(([, name]) => {
    const beside = path.posix.join(path.posix.dirname(file), name);
    const target = [beside, name].find((candidate) => files.includes(candidate)) ?? null;
    return { name, target };
  });
}

/** What each folder may include. */
const allowed: Record<string, RegExp> = {
  support: /^support\//,
  albert: /^(albert\/|support\/|ops\.h$)/,
  train: /^(train\/|albert\/|support\/|ops\.h$)/,
  cpu: /^(cpu\/|support\/|ops\.h$)/,
  cuda: /^(cuda\/|support\/|ops\.h$)/,
  binding: /^(binding\/|train\/|albert\/|support\/|ops\.h$)/,
};

test('no layer includes a higher one, and the backends never see each other', () => {
  const wrong: string[] = [];
  for (const file of files) {
    const layer = file.split('/')[0];
    if (!(layer in allowed)) continue;
    for (const { target } of includesOf(file)) {
      if (target && !allowed[layer].test(target)) wrong.push(`${file} includes ${target}`);
    }
  }
  expect(wrong).toEqual([]);
  expect(includesOf('ops.h').every(({ target }) => target === null)).toBe(true);
});

test('only binding/ knows Node, and only backends know instructions and devices', () => {
  for (const file of files) {
    const names = includesOf(file).map(({ name }) => name);
    const has = (pattern: RegExp) => names.some((name) => pattern.test(name));
    if (!file.startsWith('binding/')) expect([file, has(/napi|node_api|^v8/)]).toEqual([file, false]);
    if (!file.startsWith('cpu/')) expect([file, has(/immintrin|arm_neon|x86intrin/)]).toEqual([file, false]);
    if (!/^(cuda|test\/emulation)\//.test(file)) expect([file, has(/cuda/)]).toEqual([file, false]);
    if (/^(albert|train)\//.test(file))
      expect([file, /\b_mm\d*_|__m(128|256|512)/.test(read(file))]).toEqual([file, false]);
  }
});

test('every source opens with a sentence of purpose', () => {
  const sources = files.map((file) => path.join(native, file));
  const scripts = (readdirSync(path.join(root, 'lib'), { recursive: true }) as string[])
    .filter((file) => file.endsWith('.ts'))
    .map((file) => path.join(root, 'lib', file));
  for (const file of [...sources, ...scripts]) {
    const opening = readFileSync(file, 'utf8')
      .replace(/^#!.*\n/, '')
      .split('\n')[0];
    expect([file, /^(\/\/|\/\*) ?\*? ?\S.{10,}/.test(opening)]).toEqual([file, true]);
  }
});
