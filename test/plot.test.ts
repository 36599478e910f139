/** Training curves: what is read from logs, what is refused, and what the drawing holds. */
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseLog, readLog } from '../lib/training/log';
import { niceTicks, plotRuns } from '../lib/training/plot';
import { albert } from './support/cli';
import { temporaryFolder } from './support/data';
import { failure } from './support/errors';

function step(number: number, loss: number | null): string {
  const losses = { mlm_loss: 3, sop_loss: 0.7 };
  const speed = { time: number / 2, tokens: number * 4096, tokens_per_second: 8192 };
  return JSON.stringify({ step: number, loss, losses, grad_norm: 1, learning_rate: number * 1e-5, ...speed });
}

function evaluation(number: number, mlm_accuracy: number, sop_accuracy: number): string {
  const losses = { mlm_loss: 3, sop_loss: 0.7 };
  return JSON.stringify({ step: number, evaluation: { mlm_accuracy, sop_accuracy, ...losses } });
}

const LOG = [step(1, 9), step(2, 8), evaluation(2, 0.25, 0.5), step(3, 7), ''].join('\n');

test('a log gives one curve a quantity, by step', () => {
  expect(parseLog(LOG, 'log')).toEqual({
    loss: [
      [1, 9],
      [2, 8],
      [3, 7],
    ],
    mlm_accuracy: [[2, 0.25]],
    sop_accuracy: [[2, 0.5]],
    learning_rate: [
      [1, 1e-5],
      [2, 2e-5],
      [3, 3 * 1e-5],
    ],
  });
  const resumed = [step(2, 8), step(3, 7), step(2, 6), '{"step":4,"note":"x"}\r'].join('\n');
  expect(parseLog(resumed, 'log').loss).toEqual([
    [2, 6],
    [3, 7],
  ]);
  expect(parseLog(step(1, null), 'log').loss).toEqual([]);
});

test.each([
  ['{"step":1', /run\.jsonl:2: expected a line of JSON: '\{"step":1'$/],
  ['[1]', /run\.jsonl:2: expected a JSON object/],
  ['{"loss":1}', /run\.jsonl:2: expected a whole number for step but received undefined/],
  ['{"step":-1}', /run\.jsonl:2: expected a whole number for step but received -1/],
  ['{"step":1,"loss":"1"}', /run\.jsonl:2: expected a number for loss but received '1'/],
  ['{"step":1,"evaluation":[]}', /run\.jsonl:2: expected an object for evaluation/],
])('refuses the line %s', async (line, message) => {
  const error = await failure('DATA', () =>
    Promise.resolve(parseLog(`${step(1, 9)}\n${line}\n`, 'run.jsonl')),
  );
  expect(error.message).toMatch(message);
});

test('refuses a file that is not there or has nothing to draw', async () => {
  const file = path.join(temporaryFolder(), 'log.jsonl');
  expect((await failure('DATA', () => readLog(file))).message).toContain(file);
  writeFileSync(file, '{"step":1,"epoch":1}\n');
  expect((await failure('DATA', () => readLog(file))).message).toContain('found none');
});

test('ticks are round and hold the values', () => {
  expect(niceTicks(0, 20000, 5)).toEqual([0, 5000, 10000, 15000, 20000]);
  expect(niceTicks(1.93, 10.9, 5)).toEqual([0, 2, 4, 6, 8, 10, 12]);
  expect(niceTicks(0, 0.3, 3)).toEqual([0, 0.1, 0.2, 0.3]);
  expect(niceTicks(0, 0.00176, 5)).toEqual([0, 0.0005, 0.001, 0.0015, 0.002]);
  for (const flat of [0, 0.5, -3, 1e-9]) {
    const ticks = niceTicks(flat, flat, 5);
    expect(ticks[0]).toBeLessThan(flat);
    expect(ticks.at(-1)).toBeGreaterThan(flat);
  }
});

test('a drawing has a panel a quantity, a line a run, and a legend', () => {
  const long = Array.from({ length: 5000 }, (_, i) => step(i + 1, 10 / (i + 1))).join('\n');
  const svg = plotRuns([
    { name: 'a <b>', curves: parseLog(LOG, 'a') },
    { name: 'long', curves: parseLog(long, 'long') },
  ]);
  for (const title of [
    'training loss',
    'masked-language accuracy',
    'sentence-order accuracy',
    'learning rate',
  ])
    expect(svg).toContain(`>${title}</text>`);
  expect(svg).toContain('>a &lt;b&gt;</text>');
  expect(svg).toContain('>5000</text>');
  expect(svg).toContain('prefers-color-scheme: dark');
  expect(svg).not.toMatch(/NaN|Infinity|undefined/);
  const lines = [...svg.matchAll(/<polyline class="(run\d)" points="([^"]+)"/g)];
  expect(lines.map(([, run]) => run)).toEqual(['run0', 'run1', 'run0', 'run1']);
  expect(Math.max(...lines.map(([, , points]) => points.split(' ').length))).toBeLessThanOrEqual(400);
  // One evaluation is a point.
  expect(svg.match(/<circle/g)).toHaveLength(2);
  // What no run has gets no panel.
  expect(plotRuns([{ name: 'long', curves: parseLog(long, 'long') }])).not.toContain('accuracy');
});

test('albert plot writes the drawing of several logs', () => {
  const folder = temporaryFolder();
  const logs = ['one', 'two'].map((name) => path.join(folder, `${name}.jsonl`));
  for (const log of logs) writeFileSync(log, LOG);
  const output = path.join(folder, 'curves.svg');
  const plot = (...args: string[]) => albert(['plot', ...args]);
  expect(plot(...logs, '-o', output)).toMatchObject({ status: 0, stdout: `${output}\n`, stderr: '' });
  expect(readFileSync(output, 'utf8')).toContain('>two</text>');
  const json = plot(...logs, '-o', output, '--json');
  expect(JSON.parse(json.stdout)).toEqual({ file: output, runs: ['one', 'two'] });
  writeFileSync(logs[1], 'step 1: loss 9\n');
  const bad = plot(...logs, '-o', output);
  expect([bad.status, bad.stderr]).toEqual([
    1,
    expect.stringContaining(`${logs[1]}:1: expected a line of JSON`),
  ]);
  expect(plot(logs[0], '-o', path.join(folder, 'new', 'curves.svg')).status).toBe(0);
  expect(plot(logs[0], '-o', path.join(logs[0], 'curves.svg')).status).toBe(1);
  expect(plot(logs[0], '-o', path.join(folder, 'curves.png'))).toMatchObject({
    status: 2,
    stderr: expect.stringContaining('expected a file that ends in .svg') as string,
  });
});
