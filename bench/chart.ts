/** Draws bar charts as SVG that reads on light and dark pages. */

interface Bar {
  label: string;
  /** Length of the bar. */
  value: number;
  /** Written behind the bar. */
  text: string;
}

const WIDTH = 720;
const LABELS = 90;
const TEXTS = 260;
const ROW = 26;
const TOP = 48;

const escape = (text: string) =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');

/** Horizontal bars with a line at `line`, as 1 is in a chart of ratios. */
export function barChart(title: string, bars: readonly Bar[], line: number): string {
  const height = TOP + bars.length * ROW + 12;
  const longest = Math.max(line, ...bars.map(({ value }) => value));
  const scale = (value: number) => ((WIDTH - LABELS - TEXTS) * value) / longest;
  const at = (value: number) => value.toFixed(1);
  const rows = bars.map(({ label, value, text }, i) => {
    const y = TOP + i * ROW;
    const end = LABELS + scale(value);
    return (
      `  <text class="label" x="${LABELS - 8}" y="${y + 14}" text-anchor="end">${escape(label)}</text>\n` +
      `  <rect class="${value >= line ? 'ahead' : 'behind'}" x="${LABELS}" y="${y}" width="${at(scale(value))}" height="18" rx="2"/>\n` +
      `  <text class="value" x="${at(end + 8)}" y="${y + 14}">${escape(text)}</text>`
    );
  });
  const x = at(LABELS + scale(line));
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${escape(title)}">
  <style>
    text { font: 13px system-ui, sans-serif; fill: #1f2328; }
    .title { font-weight: 600; font-size: 15px; }
    .value { fill: #59636e; }
    .ahead { fill: #2f7d4f; }
    .behind { fill: #b35900; }
    .line { stroke: #59636e; stroke-dasharray: 3 3; }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3; }
      .value { fill: #9198a1; }
      .ahead { fill: #3fb573; }
      .behind { fill: #e08c3a; }
      .line { stroke: #9198a1; }
    }
  </style>
  <text class="title" x="8" y="24">${escape(title)}</text>
${rows.join('\n')}
  <line class="line" x1="${x}" y1="${TOP - 8}" x2="${x}" y2="${height - 8}"/>
</svg>
`;
}
