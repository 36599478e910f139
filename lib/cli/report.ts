/** Prints what an evaluation found: scores, the confusion of labels, and scores by slice. */
import type { Report } from '../tasks/evaluate';
import { print, printTable, score } from './shared';

// A confusion of many labels is for report.json.
const LABELS_SHOWN = 12;

function number(value: number): string {
  return Number.isInteger(value) ? String(value) : score(value);
}

export function printReport({ metrics, examples, confusion, slices }: Report): void {
  printTable([
    ...Object.entries(metrics).map(([name, value]) => [name, number(value)]),
    ['examples', String(examples)],
  ]);
  if (confusion && confusion.labels.length <= LABELS_SHOWN) {
    print('\nlabel, and what it was taken for:');
    printTable([
      ['', ...confusion.labels],
      ...confusion.labels.map((label, truth) => [label, ...confusion.counts[truth]]),
    ]);
  }
  for (const [column, values] of Object.entries(slices ?? {})) {
    const names = Object.keys(Object.values(values)[0]);
    print(`\nby ${column}:`);
    printTable([
      ['', ...names],
      ...Object.entries(values).map(([value, found]) => [value, ...names.map((name) => number(found[name]))]),
    ]);
  }
}
