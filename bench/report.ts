/** The tables and lists that the bench prints. */
import type { Target } from './cases';
import type { Machine } from './machine';
import type { Result, Side, Verdict } from './results';

/** Three significant digits, without exponents where people read without them. */
export function number(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  if (value === 0) return '0';
  const size = Math.abs(value);
  if (size < 0.01) return value.toExponential(1);
  if (size >= 100) return Math.round(value).toLocaleString('en-US');
  return value.toPrecision(3);
}

const percent = (value: number) => `${(value * 100).toFixed(0)} %`;
const times = (value: number) => `${value.toFixed(2)} x`;

const UNITS: Record<Target['kind'], (value: number) => string> = {
  speedup: times,
  share: percent,
  milliseconds: (value) => `${number(value)} ms`,
  megabytes: (value) => `${number(value)} MB`,
  error: number,
  'error ratio': times,
};
const SUBJECTS: Record<Target['kind'], string> = {
  speedup: 'faster',
  share: 'of peak',
  milliseconds: '',
  megabytes: '',
  error: '',
  'error ratio': 'of its error',
};

export function targetText({ kind, value }: Target): string {
  const sign = kind === 'speedup' || kind === 'share' ? '>=' : '<=';
  return `${sign} ${UNITS[kind](value)} ${SUBJECTS[kind]}`.trim();
}

const outcome = ({ met }: Verdict) => (met === null ? '-' : met ? 'met' : 'MISSED');

function sideText(side: Side | null): string {
  if (!side) return '-';
  if (side.ms !== undefined) return `${number(side.ms)} ms`;
  if (side.megabytes !== undefined) return `${number(side.megabytes)} MB`;
  return `error ${number(side.error)}`;
}

const optional = (value: number | null, text: (value: number) => string) =>
  value === null ? '-' : text(value);

/** Columns as wide as their widest cell; the first is flush left, the others flush right. */
export function table(rows: string[][]): string {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  const line = (row: string[]) =>
    row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join('  ');
  const [head, ...body] = rows.map(line);
  return [head, '-'.repeat(head.length), ...body].join('\n');
}

const HEADINGS = ['case', 'ours', 'rival', 'tokens/s', 'of peak', 'ratio', 'target', 'result'];

/** One row a case, further rows for its further targets. */
export function resultTable(results: readonly Result[]): string {
  const rows = results.flatMap((result) => {
    if (result.status !== 'measured') return [[result.id, result.status, '-', '-', '-', '-', '-', '-']];
    const cells = [
      result.id,
      sideText(result.ours),
      sideText(result.rival),
      optional(result.tokensPerSecond, number),
      optional(result.share, percent),
      optional(result.ratio, times),
    ];
    const [first, ...others] = result.verdicts;
    const tail = (verdict: Verdict | undefined) =>
      verdict ? [targetText(verdict), outcome(verdict)] : ['-', '-'];
    return [
      [...cells, ...tail(first)],
      ...others.map((verdict) => [...cells.map(() => ''), ...tail(verdict)]),
    ];
  });
  return table([HEADINGS, ...rows]);
}

/** Why rows are empty, each reason once, and what a case showed besides its columns. */
export function notes(results: readonly Result[]): string[] {
  const reasons = new Map<string, string[]>();
  for (const { id, reason } of results) {
    if (reason) reasons.set(reason, [...(reasons.get(reason) ?? []), id]);
  }
  const delays = results.flatMap(({ id, ours, rival }) =>
    [ours, rival].flatMap((side) =>
      side?.delay
        ? [
            `${id}, ${side === ours ? 'ours' : 'rival'}: event-loop delay p99 ${number(side.delay.p99)} ms, ` +
              `maximum ${number(side.delay.max)} ms`,
          ]
        : [],
    ),
  );
  return [...delays, ...[...reasons].map(([reason, ids]) => `${ids.join(', ')}: ${reason}`)];
}

export function count(results: readonly Result[]) {
  const verdicts = results.flatMap((result) => result.verdicts);
  return {
    met: verdicts.filter(({ met }) => met === true).length,
    missed: verdicts.filter(({ met }) => met === false).length,
    unknown: verdicts.filter(({ met }) => met === null).length,
  };
}

/** The target table with what was measured next to each target, a heading for each of its lines. */
export function targetReport(results: readonly Result[]): string {
  const groups = [...new Set(results.map(({ group }) => group))];
  const parts = groups.map((group) => {
    const rows = results
      .filter((result) => result.group === group)
      .flatMap(({ id, status, verdicts }) =>
        verdicts.map((verdict) => [
          id,
          targetText(verdict),
          verdict.measured === null
            ? status === 'measured'
              ? 'not available'
              : status
            : UNITS[verdict.kind](verdict.measured),
          outcome(verdict),
        ]),
      );
    return `${group}\n\n${table([['case', 'target', 'measured', 'result'], ...rows])}`;
  });
  const { met, missed, unknown } = count(results);
  return [...parts, `${met} targets met, ${missed} missed, ${unknown} not measured`].join('\n\n');
}

export function machineText(machine: Machine): string {
  const giga = (value: number) => (value === 0 ? 'none' : number(value / 1e9));
  const { one, all, avx2 } = machine.peak;
  const rows = [
    ['peak of this machine', 'one core', `${machine.threads} threads`],
    ['fp32 multiply-add, GFLOP/s', giga(one.fp32), giga(all.fp32)],
    ['the same without AVX-512', '', giga(avx2.fp32)],
    ['bf16 dot product, GFLOP/s', giga(one.bf16), giga(all.bf16)],
    ['int8 dot product, GOP/s', giga(one.int8), giga(all.int8)],
    ['reading memory, GB/s', giga(one.readBandwidth), giga(all.readBandwidth)],
  ];
  const { cpu, cores, memoryGB, platform, node, isa, commit, date, rivalInt8Bits } = machine;
  return (
    `${cpu}, ${cores} cores, ${memoryGB} GB, ${platform}, Node ${node}, kernels ${isa}, commit ${commit}, ${date}\n\n` +
    `${table(rows)}\n\nonnxruntime int8 uses ${rivalInt8Bits} bits of its weights here`
  );
}
