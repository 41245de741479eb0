import { InvalidArgumentError } from '../errors.js';
import { rejectUnknownOptions } from '../option-names.js';
import { oneLine } from '../terminal.js';
import type { Comparison, Difference, QueryChange } from './compare.js';

export interface ComparisonTableOptions {
  /** Characters in a line; 80 by default. Names and texts are cut to fit. */
  width?: number;
  /** How many of the queries that gained and lost most are shown, by the first measure; 3 by default. */
  examples?: number;
}

const HEADINGS = ['mean', 'diff.', 'interval', 'p', 'p Holm', '+/=/-'];
const GAP = '  ';
const NARROWEST_NAME = 8;

/**
 * A comparison as text for a terminal: for each measure the base's mean and, for each other system, mean, difference,
 * interval, p-values, and how many queries won, tied and lost; then the queries that changed most.
 * @throws InvalidArgumentError if an option is no whole number, or ListwiseError INVALID_ARGUMENT if there is no such one
 */
export function formatComparison(comparison: Comparison, options: ComparisonTableOptions = {}): string {
  rejectUnknownOptions(options, ['width', 'examples'], 'formatComparison');
  const { width = 80, examples = 3 } = options;
  if (!Number.isSafeInteger(width) || width < 1)
    throw new InvalidArgumentError('width', 'a whole number from 1', width);
  if (!Number.isSafeInteger(examples) || examples < 0) {
    throw new InvalidArgumentError('examples', 'a whole number from 0', examples);
  }
  const lines = [...table(comparison, width), '', ...legend(comparison, width)];
  const shown = comparison.differences.filter(({ measure }) => measure === comparison.measures[0]);
  for (const difference of shown) lines.push(...changedMost(difference, { width, examples }));
  return `${lines.join('\n')}\n`;
}

function table(comparison: Comparison, width: number): string[] {
  const { base, measures, means, differences } = comparison;
  const rows = measures.map((measure) => [
    { name: base, cells: [fixed(means[base]?.[measure] as number)] },
    ...differences.filter((row) => row.measure === measure).map((row) => ({ name: row.system, cells: cellsOf(row) })),
  ]);
  const widths = HEADINGS.map((heading, column) =>
    Math.max(heading.length, ...rows.flat().map(({ cells }) => cells[column]?.length ?? 0)),
  );
  const room = width - widths.reduce((sum, cell) => sum + cell + GAP.length, 0);
  const longest = Math.max(...measures.map((name) => name.length), ...rows.flat().map(({ name }) => name.length + 2));
  const nameWidth = Math.max(NARROWEST_NAME, Math.min(room, longest));
  const line = (name: string, cells: string[]) =>
    [name.padEnd(nameWidth), ...cells.map((cell, column) => cell.padStart(widths[column] as number))]
      .join(GAP)
      .trimEnd();
  return measures.flatMap((measure, i) => [
    ...(i > 0 ? [''] : []),
    line(measure, i === 0 ? HEADINGS : []),
    ...(rows[i] ?? []).map(({ name, cells }) => line(`  ${cutFront(name, nameWidth - 2)}`, cells)),
  ]);
}

function cellsOf(row: Difference): string[] {
  return [
    fixed(row.value),
    signed(row.difference),
    `${signed(row.interval.low)} ${signed(row.interval.high)}`,
    probability(row.pRandomization),
    probability(row.pHolm),
    `${row.wins}/${row.ties}/${row.losses}`,
  ];
}

function legend({ queries, confidence, resamples, differences }: Comparison, width: number): string[] {
  const percent = Number((confidence * 100).toFixed(3));
  const tests = differences.length === 1 ? 'one test' : `the ${differences.length} tests above`;
  const text =
    `${queries} queries. diff.: against the first system of each group, with its ${percent} % interval by the paired ` +
    `bootstrap. p: paired randomisation test, two-sided; p Holm: corrected for ${tests}. ` +
    `+/=/-: queries that gained, stayed and lost. ${resamples.toLocaleString('en')} resamples.`;
  return wrap(text, width);
}

function changedMost(difference: Difference, { width, examples }: Required<ComparisonTableOptions>): string[] {
  const lines: string[] = [];
  for (const [word, changes] of [
    ['gained', difference.gained],
    ['lost', difference.lost],
  ] as const) {
    const shown = changes.slice(0, examples);
    if (shown.length === 0) continue;
    lines.push('', cutEnd(`${difference.system}: queries that ${word} most ${difference.measure}`, width));
    lines.push(...shown.map((change) => cutEnd(`  ${describeChange(change)}`, width)));
  }
  return lines;
}

function describeChange({ query, text, base, value }: QueryChange): string {
  return `${fixed(base)} -> ${fixed(value)}  ${oneLine(text === undefined ? query : `${query}: ${text}`)}`;
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else {
      line += line === '' ? word : ` ${word}`;
    }
  }
  return [...lines, line];
}

/** Keeps the end, where paths and model names differ. */
function cutFront(text: string, width: number): string {
  return text.length <= width ? text : `…${text.slice(text.length - width + 1)}`;
}

function cutEnd(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, width - 1)}…`;
}

function fixed(value: number): string {
  return value.toFixed(4);
}

function signed(value: number): string {
  const text = fixed(value);
  return value > 0 && Number(text) !== 0 ? `+${text}` : Number(text) === 0 ? fixed(0) : text;
}

function probability(p: number): string {
  return p < 0.0001 ? '<.0001' : fixed(p);
}
