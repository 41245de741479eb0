import { InvalidArgumentError } from '../errors.js';
import { rejectUnknownOptions } from '../option-names.js';
import { oneLine } from '../terminal.js';
import type { ComparedSet, Comparison } from './compare.js';
import type { Change, Difference, Example, TopPassage } from './differences.js';

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
  const lines: string[] = [];
  for (const set of comparison.sets) {
    if (comparison.sets.length > 1) lines.push(cutEnd(`${oneLine(set.name)} (${set.queries} queries)`, width), '');
    lines.push(...table(comparison, set, width), '');
  }
  lines.push(...legend(comparison, width));
  const shown = comparison.differences.filter(({ measure }) => measure === comparison.measures[0]);
  for (const difference of shown) {
    lines.push(
      ...byGroup(difference, comparison.by, width),
      ...changedMost(difference, { width, examples, isOneOfSeveral: comparison.sets.length > 1 }),
    );
  }
  return `${lines.join('\n')}\n`;
}

interface Row {
  name: string;
  cells: string[];
}

function table({ base, measures, differences }: Comparison, set: ComparedSet, width: number): string[] {
  const groups = measures.map((measure) => ({
    title: measure,
    rows: [
      { name: base, cells: [fixed(set.means[base]?.[measure] as number)] },
      ...differences
        .filter((row) => row.measure === measure && row.set === set.name)
        .map((row) => ({ name: row.system, cells: cellsOf(row) })),
    ],
  }));
  return columns(HEADINGS, groups, width);
}

function byGroup(difference: Difference, by: string | undefined, width: number): string[] {
  const { groups, measure, system } = difference;
  if (!groups || by === undefined) return [];
  const rows = groups.map((group) => {
    const [value, changed, interval] = changeCells(group);
    const tally = `${group.wins}/${group.ties}/${group.losses}`;
    const cells = [String(group.queries), fixed(group.base), value!, changed!, interval!, tally];
    return { name: oneLine(group.group), cells };
  });
  const title = cutEnd(`${oneLine(system)}: ${measure} by ${oneLine(by)}`, width);
  return [
    '',
    title,
    ...columns(['queries', 'base', 'mean', 'diff.', 'interval', '+/=/-'], [{ title: '', rows }], width),
  ];
}

function columns(headings: string[], groups: { title: string; rows: Row[] }[], width: number): string[] {
  const all = groups.flatMap(({ rows }) => rows);
  const widths = headings.map((heading, column) =>
    Math.max(heading.length, ...all.map(({ cells }) => cells[column]?.length ?? 0)),
  );
  const room = width - widths.reduce((sum, cell) => sum + cell + GAP.length, 0);
  const longest = Math.max(...groups.map(({ title }) => title.length), ...all.map(({ name }) => name.length + 2));
  const nameWidth = Math.max(NARROWEST_NAME, Math.min(room, longest));
  const line = (name: string, cells: string[]) =>
    [name.padEnd(nameWidth), ...cells.map((cell, column) => cell.padStart(widths[column] as number))]
      .join(GAP)
      .trimEnd();
  return groups.flatMap(({ title, rows }, i) => [
    ...(i > 0 ? [''] : []),
    line(title, i === 0 ? headings : []),
    ...rows.map(({ name, cells }) => line(`  ${cutFront(name, nameWidth - 2)}`, cells)),
  ]);
}

function cellsOf(row: Difference): string[] {
  return [
    ...changeCells(row),
    probability(row.pRandomization),
    probability(row.pHolm),
    `${row.wins}/${row.ties}/${row.losses}`,
  ];
}

function changeCells({ value, difference, interval }: Change): string[] {
  return [fixed(value), signed(difference), `${signed(interval.low)} ${signed(interval.high)}`];
}

function legend({ sets, confidence, resamples, differences }: Comparison, width: number): string[] {
  const queries = sets.reduce((sum, set) => sum + set.queries, 0);
  const percent = Number((confidence * 100).toFixed(3));
  const tests = differences.length === 1 ? 'one test' : `the ${differences.length} tests above`;
  const text =
    `${queries} queries. diff.: against the first system of each group, with its ${percent} % interval by the paired ` +
    `bootstrap. p: paired randomisation test, two-sided; p Holm: corrected for ${tests}. ` +
    `+/=/-: queries that gained, stayed and lost. ${resamples.toLocaleString('en')} resamples.`;
  return wrap(text, width);
}

function changedMost(
  difference: Difference,
  { width, examples, isOneOfSeveral }: Required<ComparisonTableOptions> & { isOneOfSeveral: boolean },
): string[] {
  const lines: string[] = [];
  for (const [word, changes] of [
    ['gained', difference.gained],
    ['lost', difference.lost],
  ] as const) {
    const shown = changes.slice(0, examples);
    if (shown.length === 0) continue;
    const { system, set, measure } = difference;
    lines.push(
      '',
      cutEnd(
        `${oneLine(system)}: queries that ${word} most ${measure}${isOneOfSeveral ? ` (${oneLine(set)})` : ''}`,
        width,
      ),
    );
    lines.push(...shown.flatMap((change) => describeExample(change, width)));
  }
  return lines;
}

function describeExample({ query, text, base, value, before, after }: Example, width: number): string[] {
  const name = oneLine(text === undefined ? query : `${query}: ${text}`);
  return [
    cutEnd(`  ${fixed(base)} -> ${fixed(value)}  ${name}`, width),
    ...(before[0] ? [cutEnd(`    first before: ${describeTop(before[0])}`, width)] : []),
    ...(after[0] ? [cutEnd(`    first after:  ${describeTop(after[0])}`, width)] : []),
  ];
}

function describeTop({ id, grade, title, text }: TopPassage): string {
  const judged = grade === null ? 'not judged' : `grade ${grade}`;
  return oneLine(`${id} (${judged})  ${title || text || ''}`);
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
