/** Draws training curves as SVG that reads on light and dark pages: a panel for each quantity, a line for each run. */
import { mean } from '../math';
import type { Curves } from './log';

export interface Run {
  name: string;
  curves: Curves;
}

const TITLES: Record<string, string> = {
  loss: 'training loss',
  mlm_accuracy: 'masked-language accuracy',
  sop_accuracy: 'sentence-order accuracy',
};

const WIDTH = 960;
const COLUMNS = 2;
const PANEL = { width: WIDTH / COLUMNS, height: 276 };
// Around the plot in its panel: room for the numbers, the title above and the steps below.
const MARGIN = { left: 64, right: 20, top: 34, bottom: 50 };
const PLOT = {
  width: PANEL.width - MARGIN.left - MARGIN.right,
  height: PANEL.height - MARGIN.top - MARGIN.bottom,
};
const LEGEND_ROW = 22;
const LETTER = 7.2;
// More points than pixels show nothing more and make large files.
const MAX_POINTS = 400;

// Okabe and Ito's colours (2008), which the colour-blind tell apart, darker on light pages and lighter on dark ones.
const COLOURS = [
  ['#0072b2', '#56b4e9'],
  ['#c04f00', '#f08c3c'],
  ['#00805c', '#2bc79a'],
  ['#a8487e', '#e08bbb'],
  ['#8a7000', '#e6cf3e'],
  ['#59636e', '#b5bec8'],
];

type Points = [x: number, y: number][];

function escape(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}

function at(value: number): string {
  return String(Number(value.toFixed(1)));
}

/** Round numbers, some `count` of them, from at or below `low` to at or above `high`. */
export function niceTicks(low: number, high: number, count: number): number[] {
  // A flat line needs room on both sides.
  const room = high > low ? 0 : Math.abs(low) / 10 || 1;
  const raw = (high - low + 2 * room) / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * ([1, 2, 5].find((factor) => factor * power >= raw) ?? 10);
  // The last digits of a quotient must not push a bound that is round already to the next tick.
  const first = Math.floor((low - room) / step + 1e-9);
  const last = Math.ceil((high + room) / step - 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

/** Ticks as people read them, all in the unit that suits the largest. */
function formatTicks(ticks: number[], share: boolean): string[] {
  const largest = Math.max(...ticks.map(Math.abs));
  const short = (value: number) => Number(value.toPrecision(6));
  if (share) return ticks.map((tick) => `${short(100 * tick)} %`);
  if (largest < 1e-3) return ticks.map((tick) => (tick === 0 ? '0' : short(tick).toExponential()));
  const [divisor, unit] = largest >= 1e6 ? [1e6, 'M'] : largest >= 1e4 ? [1e3, 'k'] : [1, ''];
  return ticks.map((tick) => (tick === 0 ? '0' : `${short(tick / divisor)}${unit}`));
}

/** At most MAX_POINTS points, each the mean of a stretch of them. */
function thin(points: Points): Points {
  const stretch = Math.ceil(points.length / MAX_POINTS);
  if (stretch <= 1) return points;
  return Array.from({ length: Math.ceil(points.length / stretch) }, (_, i) => {
    const some = points.slice(i * stretch, (i + 1) * stretch);
    return [mean(some.map(([x]) => x)), mean(some.map(([, y]) => y))];
  });
}

function span(values: number[]): [low: number, high: number] {
  return values.reduce(
    ([low, high], value) => [Math.min(low, value), Math.max(high, value)],
    [Infinity, -Infinity],
  );
}

function colour(run: number): string {
  return `run${run % COLOURS.length}`;
}

function drawLine(
  points: Points,
  run: number,
  toX: (x: number) => number,
  toY: (y: number) => number,
): string {
  const places = points.map(([x, y]) => `${at(toX(x))},${at(toY(y))}`);
  if (places.length > 1) return `<polyline class="${colour(run)}" points="${places.join(' ')}"/>`;
  const [x, y] = places[0].split(',');
  return `<circle class="${colour(run)}" cx="${x}" cy="${y}" r="2.5"/>`;
}

/** One quantity of all runs that have it, over the steps, with its upper left corner at (left, top). */
function drawPanel(
  curve: string,
  runs: readonly Run[],
  steps: number[],
  left: number,
  top: number,
): string[] {
  const lines = runs.map(({ curves }) => thin(curves[curve] ?? []));
  const [low, high] = span(lines.flat().map(([, y]) => y));
  const ticks = niceTicks(curve === 'learning_rate' ? Math.min(0, low) : low, high, 5);
  const [x0, y0] = [left + MARGIN.left, top + MARGIN.top];
  const scale = (range: number[]) => (value: number) => (value - range[0]) / (range.at(-1)! - range[0]);
  const [across, up] = [scale(steps), scale(ticks)];
  const toX = (x: number) => x0 + PLOT.width * across(x);
  const toY = (y: number) => y0 + PLOT.height * (1 - up(y));
  const [values, marks] = [formatTicks(ticks, curve.endsWith('accuracy')), formatTicks(steps, false)];
  const [right, bottom] = [x0 + PLOT.width, y0 + PLOT.height];
  return [
    `<text class="title" x="${x0}" y="${y0 - 14}">${TITLES[curve] ?? escape(curve.replaceAll('_', ' '))}</text>`,
    ...ticks.flatMap((tick, i) => [
      `<line class="grid" x1="${x0}" y1="${at(toY(tick))}" x2="${right}" y2="${at(toY(tick))}"/>`,
      `<text class="tick" x="${x0 - 8}" y="${at(toY(tick) + 4)}" text-anchor="end">${values[i]}</text>`,
    ]),
    ...steps.map(
      (step, i) =>
        `<text class="tick" x="${at(toX(step))}" y="${bottom + 18}" text-anchor="middle">${marks[i]}</text>`,
    ),
    `<text class="tick" x="${x0 + PLOT.width / 2}" y="${bottom + 36}" text-anchor="middle">steps</text>`,
    `<line class="axis" x1="${x0}" y1="${bottom}" x2="${right}" y2="${bottom}"/>`,
    ...lines.flatMap((points, run) => (points.length > 0 ? [drawLine(points, run, toX, toY)] : [])),
  ];
}

/** The runs' names with their colours, in as many rows as they need; how high that is. */
function drawLegend(runs: readonly Run[], top: number): { elements: string[]; height: number } {
  let [x, y] = [MARGIN.left, top];
  const elements = runs.flatMap(({ name }, run) => {
    const width = 44 + LETTER * name.length;
    if (x > MARGIN.left && x + width > WIDTH) [x, y] = [MARGIN.left, y + LEGEND_ROW];
    const line = `<line class="${colour(run)}" x1="${at(x)}" y1="${y + 10}" x2="${at(x + 20)}" y2="${y + 10}"/>`;
    const text = `<text x="${at(x + 26)}" y="${y + 14}">${escape(name)}</text>`;
    x += width;
    return [line, text];
  });
  return { elements, height: y + LEGEND_ROW - top };
}

function style(): string {
  const strokes = (shade: 0 | 1) =>
    COLOURS.map((shades, i) => `.run${i} { stroke: ${shades[shade]}; }`).join(' ');
  return `
    text { font: 13px system-ui, sans-serif; fill: #1f2328; }
    .title { font-weight: 600; }
    .tick { font-size: 12px; fill: #59636e; }
    line, polyline, circle { fill: none; stroke-width: 1.75; stroke-linejoin: round; }
    .grid { stroke: #d1d9e0; stroke-width: 0.75; }
    .axis { stroke: #59636e; stroke-width: 1; }
    ${strokes(0)}
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3; }
      .tick { fill: #9198a1; }
      .grid { stroke: #3d444d; }
      .axis { stroke: #9198a1; }
      ${strokes(1)}
    }`;
}

/** Panels of whatever the runs have, all over the same steps, below a legend of the runs. */
export function plotRuns(runs: readonly Run[]): string {
  const names = new Set(runs.flatMap(({ curves }) => Object.keys(curves)));
  names.delete('learning_rate');
  const drawn = [...names, 'learning_rate'].filter((name) =>
    runs.some(({ curves }) => curves[name]?.length > 0),
  );
  const all = runs.flatMap(({ curves }) =>
    Object.values(curves)
      .flat()
      .map(([step]) => step),
  );
  const steps = niceTicks(0, Math.max(1, span(all)[1]), 5);
  const legend = drawLegend(runs, 12);
  const top = 12 + legend.height;
  const panels = drawn.flatMap((curve, i) =>
    drawPanel(curve, runs, steps, (i % COLUMNS) * PANEL.width, top + Math.floor(i / COLUMNS) * PANEL.height),
  );
  const height = top + Math.ceil(drawn.length / COLUMNS) * PANEL.height;
  const label = escape(`Training curves of ${runs.map(({ name }) => name).join(', ')} over their steps`);
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${label}">
  <style>${style()}
  </style>
  ${[...legend.elements, ...panels].join('\n  ')}
</svg>
`;
}
