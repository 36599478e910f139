/** The pure parts of the bench: statistics, arithmetic, targets, tables and charts. None needs a rival. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { CASES } from '../bench/cases';
import { barChart } from '../bench/chart';
import { operations, peakSeconds } from '../bench/flops';
import { addOutliers } from '../bench/outliers';
import { count, machineText, notes, number, resultTable, table, targetReport } from '../bench/report';
import { evaluate, timedSide } from '../bench/results';
import { median, normal, random, realRows, relativeError } from '../bench/statistics';
import { awaitNative } from '../lib/errors';
import { binding } from '../lib/native';
import { root, temporaryFolder } from './support/data';
import { failure } from './support/errors';
import { readSafetensors } from './support/safetensors';

const BASE = { embedding_size: 128, hidden_size: 768, intermediate_size: 3072, num_hidden_layers: 12 };
const PEAK = { fp32: 232e9, bf16: 460e9, int8: 920e9 };
const byId = (id: string) => CASES.find((given) => given.id === id)!;

describe('statistics', () => {
  test('median of odd and even counts, and of nothing', () => {
    expect(median([3, 1, 2])).toBe(2);
    expect(median([10, 9, 1, 2])).toBe(5.5);
    expect(() => median([])).toThrow(/at least one value/);
  });

  test('relative error is zero for equals, one for zeros, NaN for NaN', () => {
    const values = Float32Array.of(3, 4);
    expect(relativeError(values, values)).toBe(0);
    expect(relativeError(Float32Array.of(0, 0), values)).toBe(1);
    expect(relativeError(Float32Array.of(NaN, 4), values)).toBeNaN();
    expect(() => relativeError(Float32Array.of(1), values)).toThrow('expected 2 values but received 1');
  });

  test('padding rows are dropped, pooled rows pass', () => {
    const padded = { dims: [2, 2, 2], data: Float32Array.of(1, 2, 3, 4, 5, 6, 9, 9) };
    expect([...realRows(padded, [2, 1])]).toEqual([1, 2, 3, 4, 5, 6]);
    const pooled = { dims: [2, 2], data: Float32Array.of(1, 2, 3, 4) };
    expect([...realRows(pooled, [2, 1])]).toEqual([1, 2, 3, 4]);
  });

  test('random numbers repeat and have the moments they should', () => {
    const draws = (seed: number) => Array.from({ length: 20000 }, normal(random(seed)));
    const values = draws(5);
    expect(draws(5)).toEqual(values);
    const mean = values.reduce((total, value) => total + value, 0) / values.length;
    const variance = values.reduce((total, value) => total + value ** 2, 0) / values.length;
    expect(Math.abs(mean)).toBeLessThan(0.03);
    expect(Math.abs(variance - 1)).toBeLessThan(0.05);
  });
});

describe('arithmetic', () => {
  test('operations of a pass', () => {
    // 2 (4 H^2 + 2 H F) = 14,155,776 for each token and layer; 4 S H of attention.
    const { products, attention } = operations(BASE, [128]);
    expect(products).toBe(128 * (12 * 14155776 + 2 * 128 * 768));
    expect(attention).toBe(128 * 12 * 4 * 128 * 768);
    const ragged = operations(BASE, [100, 28]);
    expect(ragged.products).toBe(products);
    expect(ragged.attention).toBeLessThan(attention);
  });

  test('time at the peak counts int8 attention in bf16, or in fp32 where there is no bf16', () => {
    const work = { products: 9.2e11, attention: 4.6e11 };
    expect(peakSeconds(work, 'int8', PEAK)).toBeCloseTo(2);
    expect(peakSeconds(work, 'int8', { ...PEAK, bf16: 0 })).toBeCloseTo(1 + 4.6e11 / 232e9);
    expect(peakSeconds(work, 'bf16', { ...PEAK, bf16: 0 })).toBeNull();
  });
});

test('the machine shows a peak, and an impossible number of threads is refused', async () => {
  // Rates that any machine has, however busy it is; how they compare is not for a test beside others.
  const { fp32, bf16, int8, readBandwidth } = await binding().measureCpuPeak(1);
  expect(fp32).toBeGreaterThan(1e7);
  expect(readBandwidth).toBeGreaterThan(1e6);
  for (const rate of [bf16, int8]) expect(rate === 0 || rate > 1e7).toBe(true);
  const brief = await binding().measureCpuPeak(1, 'avx2', true);
  expect(brief).toMatchObject({ bf16: 0, readBandwidth: 0 }); // bf16 products are of wider instructions
  expect(brief.fp32).toBeGreaterThan(1e7);
  await failure('INVALID_ARGUMENT', () => awaitNative(() => binding().measureCpuPeak(0)));
});

describe('cases', () => {
  test('have names of their own and a quick one of each precision', () => {
    expect(new Set(CASES.map(({ id }) => id)).size).toBe(CASES.length);
    expect(new Set(CASES.filter(({ quick }) => quick).map(({ dtype }) => dtype)).size).toBe(3);
    const lengths = byId('odd-tiny').work;
    expect(lengths.kind === 'ids' && [Math.min(...lengths.lengths), Math.max(...lengths.lengths)]).toEqual([
      1, 70,
    ]);
  });

  test('name rivals that exist', () => {
    const peers = readdirSync(path.join(root, 'bench', 'peers')).map((file) => file.replace('.ts', ''));
    for (const { rival } of CASES) if (rival) expect(peers).toContain(rival.peer);
  });
});

describe('results', () => {
  const given = byId('fp32-1x128');
  const ours = timedSide([[110, 104, 100]], 0);
  const rival = { ...timedSide([[118, 120, 119]], 1e-6), peer: 'onnxruntime' };
  const good = evaluate(given, [128], BASE, PEAK, ours, rival);
  const alone = evaluate(byId('error-int8'), [128], BASE, PEAK, null, null, 'no int8 here');

  test('are medians, their ratio, and a share of the peak', () => {
    expect(good.ratio).toBeCloseTo(119 / 104);
    expect(good.tokensPerSecond).toBeCloseTo(128 / 0.104);
    expect(good.share).toBeCloseTo(22.35e9 / 232e9 / 0.104, 2);
    expect(good.verdicts.map(({ kind, met }) => [kind, met])).toEqual([
      ['speedup', true],
      ['share', false],
    ]);
  });

  test('sum the medians of several batches', () => {
    expect(
      timedSide(
        [
          [1, 2, 3],
          [10, 30, 20],
        ],
        0,
      ),
    ).toMatchObject({ ms: 22, bestMs: 11, samples: 3 });
  });

  test('compare errors and memory the right way round', () => {
    const error = evaluate(
      byId('error-int8'),
      [128],
      BASE,
      PEAK,
      { error: 0.01 },
      { error: 0.02, peer: 'p' },
    );
    expect(error.verdicts).toEqual([{ kind: 'error ratio', value: 1, measured: 0.5, met: true }]);
    const memory = evaluate(byId('memory-fp32'), [128], BASE, PEAK, { error: 0, megabytes: 80 }, null);
    expect(memory.verdicts).toEqual([{ kind: 'megabytes', value: 70, measured: 80, met: false }]);
  });

  test('are printed with targets, reasons and counts', () => {
    const printed = resultTable([good, alone]);
    expect(printed).toMatch(/fp32-1x128 +104 ms +119 ms +1,231 +93 % +1\.14 x +>= 1\.10 x faster +met/);
    expect(printed).toMatch(/ +>= 95 % of peak +MISSED/);
    expect(printed).toMatch(/error-int8 +not available/);
    expect(notes([good, alone])).toEqual(['error-int8: no int8 here']);
    expect(count([good, alone])).toEqual({ met: 1, missed: 1, unknown: 1 });
    const report = targetReport([good, alone]);
    expect(report).toContain('All hidden rows in fp32, against onnxruntime fp32');
    expect(report).toMatch(/>= 1\.10 x faster +1\.14 x +met/);
    expect(report).toContain('1 targets met, 1 missed, 1 not measured');
  });
});

test('numbers keep three digits and tables line up', () => {
  expect([0, 0.0051, 0.5, 7.341, 104.4, 12345].map(number)).toEqual([
    '0',
    '5.1e-3',
    '0.500',
    '7.34',
    '104',
    '12,345',
  ]);
  expect(
    table([
      ['a', 'bb'],
      ['ccc', 'd'],
    ]),
  ).toBe('a    bb\n-------\nccc   d');
});

test('a machine without an instruction says none', () => {
  const peak = { fp32: 232e9, bf16: 0, int8: 0, readBandwidth: 32e9 };
  const text = machineText({
    date: '2026-01-01',
    commit: 'abc',
    cpu: 'a processor',
    cores: 2,
    threads: 2,
    isa: 'avx2',
    memoryGB: 24,
    platform: 'linux-x64',
    node: 'v20',
    rivalInt8Bits: 7,
    peak: { one: peak, all: peak, avx2: peak },
  });
  expect(text).toMatch(/fp32 multiply-add, GFLOP\/s +232 +232/);
  expect(text).toMatch(/bf16 dot product, GFLOP\/s +none +none/);
});

test('charts are well-formed XML and escape what they are given', () => {
  const bars = [
    { label: '1 x 8', value: 1.5, text: '1.5 x' },
    { label: 'a < b & "c"', value: 0.5, text: '<slow>' },
  ];
  const svg = barChart('ours & theirs', bars, 1);
  const open: string[] = [];
  for (const [, close, name, attributes, empty] of svg.matchAll(
    /<(\/?)(\w+)((?:\s+[\w-]+="[^"<]*")*)\s*(\/?)>/g,
  )) {
    if (close) expect([open.pop(), attributes]).toEqual([name, '']);
    else if (!empty) open.push(name);
  }
  expect(open).toEqual([]);
  // Outside tags and the style sheet nothing may look like markup.
  const text = svg
    .replace(/<style>[\s\S]*?<\/style>/, '')
    .replace(/<\/?\w+(\s+[\w-]+="[^"<]*")*\s*\/?>/g, '');
  expect(text).not.toMatch(/[<>]|&(?!amp;|lt;|gt;|quot;)/);
  expect(svg).toContain('prefers-color-scheme: dark');
  expect(svg.match(/<rect class="(ahead|behind)"/g)).toEqual(['<rect class="ahead"', '<rect class="behind"']);
});

test('outliers change gains and linear weights and nothing else', () => {
  const layer = 'encoder.albert_layer_groups.0.albert_layers.0.';
  const names = [`${layer}attention.LayerNorm.weight`, `${layer}ffn.weight`, `${layer}ffn.bias`];
  const header = Object.fromEntries(
    names.map((name, i) => [name, { dtype: 'F32', shape: [600], data_offsets: [i * 2400, (i + 1) * 2400] }]),
  );
  const json = Buffer.from(JSON.stringify(header));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(json.length));
  const file = path.join(temporaryFolder(), 'model.safetensors');
  writeFileSync(file, Buffer.concat([size, json, Buffer.from(new Float32Array(1800).fill(1).buffer)]));
  addOutliers(file);
  const tensors = readSafetensors(file);
  const [gains, weights, biases] = names.map((name) => Array.from(tensors[name].data));
  expect(gains.filter((value) => value === 20)).toHaveLength(6);
  expect(gains.filter((value) => value === 1)).toHaveLength(594);
  const deviation = Math.sqrt(weights.reduce((total, value) => total + value ** 2, 0) / weights.length);
  expect(deviation).toBeGreaterThan(0.03);
  expect(deviation).toBeLessThan(0.05);
  expect(biases.every((value) => value === 1)).toBe(true);
});

test('every file of the bench opens with a sentence of purpose', () => {
  const folder = path.join(root, 'bench');
  const files = [folder, path.join(folder, 'peers')].flatMap((from) =>
    readdirSync(from)
      .filter((name) => name.endsWith('.ts'))
      .map((name) => path.join(from, name)),
  );
  for (const file of files) expect(readFileSync(file, 'utf8').split('\n')[0]).toMatch(/^\/\*\* .{10,}/);
});
