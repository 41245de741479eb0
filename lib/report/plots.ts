import * as Plot from '@observablehq/plot';
import { DOMImplementation, XMLSerializer } from '@xmldom/xmldom';
import type { Change, Difference } from '../evaluation/differences.js';
import { signed } from '../specialize/verdict.js';
import type { EvaluationRecord, StepRecord } from '../training/log.js';
import type { QueryPoint } from './facts.js';
import type { FunnelRow } from './funnel.js';
import { escapeHtml, Markup, plain } from './html.js';
import type { ScoreHistogram } from './score-histogram.js';

const COLORS = {
  base: 'var(--base)',
  gain: 'var(--gain)',
  loss: 'var(--loss)',
  accent: 'var(--accent)',
  grid: 'var(--line)',
};

const XHTML = 'http://www.w3.org/1999/xhtml';

/**
 * Draws by Observable Plot on a document that is no browser's. Styles go to the page's own sheet, so that its policy
 * need not allow any in the drawing; labels inside go because the drawing as a whole has one.
 */
function draw(label: string, options: Plot.PlotOptions): Markup {
  const document = new DOMImplementation().createDocument(XHTML, 'html', null);
  const room = { marginBottom: 48, marginLeft: 64, marginTop: 28 };
  const figure = Plot.plot({ ...room, ...options, document: document as never });
  const text = new XMLSerializer().serializeToString(figure as never);
  const bare = text
    .replace(/<style[^>]*>[\s\S]*?<\/style>/g, '')
    .replace(/ (aria-label|aria-description|style|class)="[^"]*"/g, '')
    // A function, since "$&" in a label would be read as a pattern.
    .replace(/^<svg /, () => `<svg role="img" aria-label="${escapeHtml(label)}" `);
  return new Markup(bare);
}

/** Ticks of things that are counted; those between whole numbers stay empty. */
function whole(value: number): string {
  return Number.isInteger(value) ? value.toLocaleString('en') : '';
}

/** Differences with their intervals, one line each, around 0. */
export function intervalPlot(label: string, rows: readonly (Change & { name: string })[]): Markup {
  const marks = rows.map((row, line) => ({
    ...{ ...row, line },
    name: plain(row.name, 20),
    low: row.interval.low,
    high: row.interval.high,
  }));
  const reach = Math.max(0, ...marks.flatMap(({ low, high, difference }) => [low, high, difference].map(Math.abs)));
  const color = ({ low, high }: { low: number; high: number }) =>
    low > 0 ? COLORS.gain : high < 0 ? COLORS.loss : COLORS.base;
  return draw(label, {
    width: 520,
    height: 76 + 30 * rows.length,
    marginLeft: 150,
    marginRight: 24,
    x: {
      ...{ label: 'difference to the base →', labelOffset: 42, grid: true, nice: true, ticks: 5 },
      // A scale over nothing would draw intervals of no width across all of it.
      ...(reach < 1e-9 && { domain: [-0.01, 0.01] }),
    },
    // By number, since long names may be cut to the same.
    y: {
      ...{ label: null, type: 'point', tickSize: 0 },
      domain: marks.map(({ line }) => line),
      tickFormat: (line: number) => marks[line]!.name,
    },
    marks: [
      Plot.ruleX([0], { stroke: 'currentColor', strokeOpacity: 0.5 }),
      Plot.ruleY(marks, { y: 'line', x1: 'low', x2: 'high', stroke: color, strokeWidth: 4, strokeLinecap: 'round' }),
      Plot.dot(marks, {
        ...{ y: 'line', x: 'difference', fill: 'var(--paper)', stroke: color, strokeWidth: 2.5, r: 5 },
        title: ({ name, difference, low, high }) =>
          `${name}: ${signed(difference)} (${signed(low)} to ${signed(high)})`,
      }),
    ],
  });
}

/** Each query as a point: above the diagonal the trained model is better. Equal points grow. */
export function scatterPlot({ measure }: Difference, points: readonly QueryPoint[]): Markup {
  const piles = new Map<string, { base: number; trained: number; count: number; query: string }>();
  for (const { base, trained, query } of points) {
    const key = `${base.toFixed(3)} ${trained.toFixed(3)}`;
    const pile = piles.get(key) ?? { base, trained, count: 0, query };
    pile.count += 1;
    piles.set(key, pile);
  }
  const data = [...piles.values()].sort((a, b) => b.count - a.count);
  const color = ({ base, trained }: QueryPoint) =>
    trained > base ? COLORS.gain : trained < base ? COLORS.loss : COLORS.base;
  return draw(`Scatter of ${measure} by query: base against trained model, ${points.length} queries`, {
    width: 420,
    height: 400,
    inset: 8,
    x: { label: `${measure}, base →`, domain: [0, 1], labelOffset: 42, grid: true, ticks: 5 },
    y: { label: `↑ ${measure}, trained`, domain: [0, 1], grid: true, ticks: 5 },
    r: { range: [0, 14], domain: [0, Math.max(25, ...data.map(({ count }) => count))] },
    marks: [
      Plot.line(
        [
          [0, 0],
          [1, 1],
        ],
        { stroke: 'currentColor', strokeOpacity: 0.5, strokeDasharray: '4 4' },
      ),
      Plot.dot(data, {
        ...{ x: 'base', y: 'trained', r: 'count', fill: color, fillOpacity: 0.55, stroke: color },
        title: ({ query, count, base, trained }) =>
          `${count > 1 ? `${count} queries` : plain(query)}: ${base.toFixed(3)} → ${trained.toFixed(3)}`,
      }),
    ],
  });
}

/** How many queries changed by how much. */
export function changePlot({ measure }: Difference, points: readonly QueryPoint[]): Markup {
  const changed = points.filter(({ base, trained }) => Math.abs(trained - base) > 1e-12);
  const bins = Array.from({ length: 20 }, (_, i) => ({ low: -1 + i / 10, high: -1 + (i + 1) / 10, count: 0 }));
  for (const { base, trained } of changed) {
    const bin = Math.min(19, Math.max(0, Math.floor((trained - base + 1) * 10)));
    bins[bin]!.count += 1;
  }
  return draw(`Histogram of the change of ${measure} by query, ${changed.length} queries that changed`, {
    width: 420,
    height: 400,
    x: { label: `change of ${measure} →`, labelOffset: 42, domain: [-1, 1], ticks: 5 },
    y: { label: '↑ queries', grid: true, ticks: 5, tickFormat: whole },
    marks: [
      Plot.rectY(bins, {
        ...{ x1: 'low', x2: 'high', y: 'count', insetLeft: 1, insetRight: 1 },
        fill: ({ low }) => (low >= -1e-9 ? COLORS.gain : COLORS.loss),
        title: ({ low, high, count }) => `${count} queries changed by ${signed(low)} to ${signed(high)}`,
      }),
      Plot.ruleY([0]),
    ],
  });
}

/** Losses over the steps of training: of each batch, and on dev with the weights that were kept. */
export function lossPlot(steps: readonly StepRecord[], evaluations: readonly EvaluationRecord[]): Markup {
  const best = evaluations.findLast(({ isBest }) => isBest);
  return draw(`Loss over ${steps.length} training steps, of batches and on dev`, {
    width: 420,
    height: 300,
    x: { label: 'step →', labelOffset: 42, ticks: 5, tickFormat: whole },
    y: { label: '↑ loss', grid: true, ticks: 5 },
    marks: [
      Plot.line(steps, { x: 'step', y: 'loss', stroke: COLORS.base, strokeWidth: 1.5 }),
      Plot.line(evaluations, { x: 'step', y: 'loss', stroke: COLORS.accent, strokeWidth: 2.5 }),
      Plot.dot(evaluations, {
        ...{ x: 'step', y: 'loss', fill: COLORS.accent, r: 3 },
        title: ({ step, loss }) => `dev after ${step} steps: ${loss.toFixed(4)}`,
      }),
      ...(best ? [Plot.dot([best], { x: 'step', y: 'loss', stroke: COLORS.accent, strokeWidth: 2, r: 8 })] : []),
    ],
  });
}

/** A number that training measures on dev, beside the loss. */
export function devPlot(label: string, values: readonly { step: number; value: number }[]): Markup {
  return draw(`${label} on dev over the steps of training`, {
    width: 420,
    height: 300,
    x: { label: 'step →', labelOffset: 42, ticks: 5, tickFormat: whole },
    y: { label: `↑ ${label}`, grid: true, ticks: 5 },
    marks: [
      Plot.line(values, { x: 'step', y: 'value', stroke: COLORS.accent, strokeWidth: 2.5 }),
      Plot.dot(values, { x: 'step', y: 'value', fill: COLORS.accent, r: 3 }),
    ],
  });
}

/** Types of queries that have a colour of their own; further ones share the last. */
const TYPE_COLORS = 8;

/** The number of a type's colour, from 1, as the page's sheet has them. */
export function typeColor(place: number): number {
  return Math.min(place + 1, TYPE_COLORS);
}

/** Queries left after each filter, stacked by type. */
export function funnelPlot(rows: readonly FunnelRow[]): Markup {
  const labels = rows[0]?.steps.map(({ label }) => label) ?? [];
  const totals = labels.map((label, i) => ({
    label,
    queries: rows.reduce((sum, { steps }) => sum + (steps[i]?.queries ?? 0), 0),
  }));
  const parts = rows.flatMap(({ type, steps }, place) =>
    steps.map(({ label, queries }) => ({ type, label, queries, place, color: `var(--type-${typeColor(place)})` })),
  );
  const told = totals.map(({ label, queries }) => `${label} ${queries}`).join(', ');
  return draw(`Queries left after each filter: ${told}`, {
    width: 520,
    height: 76 + 34 * labels.length,
    marginLeft: 150,
    marginRight: 76,
    x: { label: 'queries →', labelOffset: 42, grid: true, ticks: 3, tickFormat: whole },
    y: { label: null, domain: labels, tickSize: 0 },
    marks: [
      Plot.barX(parts, {
        ...{ y: 'label', x: 'queries', z: 'place', order: 'place', fill: 'color' },
        ...{ insetTop: 3, insetBottom: 3, insetRight: 0.5 },
        title: ({ type, label, queries }) => `${plain(type)}, ${label}: ${queries.toLocaleString('en')}`,
      }),
      Plot.text(totals, {
        ...{ y: 'label', x: 'queries', textAnchor: 'start', dx: 6, fill: 'currentColor' },
        text: ({ queries }) => queries.toLocaleString('en'),
      }),
    ],
  });
}

/** How the teacher's scores are spread: sources beside other candidates. */
export function scorePlot({ edges, sources, others }: ScoreHistogram): Markup {
  const bins = (values: readonly number[]) =>
    values.map((share, i) => ({ low: edges[i] as number, high: edges[i + 1] as number, share: 100 * share }));
  const area = (values: readonly number[], fill: string) =>
    Plot.rectY(bins(values), { x1: 'low', x2: 'high', y: 'share', fill, fillOpacity: 0.55 });
  return draw("Histogram of the teacher's scores: source passages beside other candidates", {
    width: 520,
    height: 260,
    x: { label: "teacher's score →", labelOffset: 42, ticks: 6 },
    y: { label: '↑ % of each kind', grid: true, ticks: 5 },
    marks: [area(others, COLORS.base), area(sources, COLORS.accent), Plot.ruleY([0])],
  });
}
