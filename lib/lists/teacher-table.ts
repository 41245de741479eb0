import { oneLine } from '../terminal.js';
import type { Distribution } from './distribution.js';
import type { TeacherReport, TypeReport } from './teacher-report.js';

/** A row for all types: its name, and what each type has there. */
type Row = [name: string, of: (type: TypeReport) => string];

const NONE = '-';

/** A teacher's report as text for a terminal: a column a query type, then the temperatures, then warnings. */
export function formatTeacherReport(report: TeacherReport): string {
  const types = Object.entries(report.types);
  const filters = [...new Set(types.flatMap(([, { dropped }]) => Object.keys(dropped)))];
  const rows: Row[] = [
    ['queries', ({ queries }) => String(queries)],
    ...filters.map((filter): Row => [`- ${filter}`, ({ dropped }) => String(dropped[filter] ?? 0)]),
    ['lists', ({ lists }) => String(lists)],
    ['positive first', ({ scored, positiveFirst }) => (scored > 0 ? `${(100 * positiveFirst).toFixed(0)} %` : NONE)],
    ['scores: lowest', ({ scores }) => at(scores, 'p0')],
    ['  1st percentile', ({ scores }) => at(scores, 'p1')],
    ['  median', ({ scores }) => at(scores, 'p50')],
    ['  99th percentile', ({ scores }) => at(scores, 'p99')],
    ['  highest', ({ scores }) => at(scores, 'p100')],
    ['in lists: 25th', ({ normalised }) => at(normalised, 'p25')],
    ['  median', ({ normalised }) => at(normalised, 'p50')],
    ['  75th', ({ normalised }) => at(normalised, 'p75')],
    ['entropy: teacher', ({ entropy }) => entropy?.teacher.toFixed(2) ?? NONE],
    ['  model', ({ entropy }) => entropy?.student.toFixed(2) ?? NONE],
  ];
  const names = types.map(([name]) => oneLine(name));
  const lines = table(
    ['', ...names],
    rows.map(([name, of]) => [name, ...types.map(([, type]) => of(type))]),
  );
  return [...lines, '', ...temperatures(report), ...report.warnings.flatMap(warning)].join('\n');
}

function at(distribution: Distribution | undefined, place: keyof Distribution['percentiles']): string {
  return distribution ? String(Number(distribution.percentiles[place].toPrecision(3))) : NONE;
}

function temperatures({ teacherTemperature, studentTemperature, match, highestEntropy }: TeacherReport): string[] {
  if (teacherTemperature === undefined || !match) return ['no list is left, so there is no temperature to choose'];
  const used = teacherTemperature.toPrecision(3);
  const matched = match.temperature.toPrecision(3);
  const chosen = teacherTemperature === match.temperature ? 'as "match" chooses' : `"match" would choose ${matched}`;
  return [
    `teacher temperature ${used} (${chosen}), the model's ${studentTemperature}; ` +
      `entropy in nats, at most ${highestEntropy.toFixed(2)}`,
  ];
}

function warning({ type, problem, remedy }: TeacherReport['warnings'][number]): string[] {
  const what = type === undefined ? '' : `${oneLine(type)}: `;
  return [`warning: ${what}${problem}.`, `         -> ${remedy}`];
}

function table(heads: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const widths = heads.map((head, i) => Math.max(head.length, ...rows.map((row) => row[i]!.length)));
  const line = (cells: readonly string[]) =>
    cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join('  ');
  return [heads, ...rows].map((cells) => line(cells).trimEnd());
}
