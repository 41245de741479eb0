import { formatComparison } from '../evaluation/table.js';
import { oneLine } from '../terminal.js';
import { trainedSteps } from './markdown.js';
import type { StudyFacts } from './results.js';

/** A study as text for a terminal: base and teacher, a table for each comparison, and the findings. */
export function formatStudy(facts: StudyFacts, { width = 80 }: { width?: number } = {}): string {
  const tables = facts.tables.flatMap(({ title, comparison }) => [
    `${title}`,
    '',
    formatComparison(comparison, { width, examples: 0 }).trimEnd(),
    '',
  ]);
  const findings = facts.findings.flatMap(({ number, claim, outcome, text }) => [
    ...wrap(`${number}. ${claim}`, width),
    ...wrap(`${outcome.toUpperCase()}. ${text}`, width - 3).map((line) => `   ${line}`),
  ]);
  return [...references(facts), '', ...tables, ...trialLines(facts), '', ...findings, ''].join('\n');
}

function references({ base, teacher, measures, test }: StudyFacts): string[] {
  const shown = (values: Record<string, number>) =>
    measures.map((name) => `${name} ${values[name]!.toFixed(4)}`).join(', ');
  return [
    `${oneLine(test.name)}: ${test.queries} queries, ${test.passages.toLocaleString('en')} passages`,
    `base: ${shown(base)}`,
    ...(teacher ? [`the teacher's own ranking: ${shown(teacher)}`] : []),
  ];
}

/** A line a variant: lists, steps, and where there are several seeds the spread over them. */
function trialLines({ variants, leftOut, measures, seeds }: StudyFacts): string[] {
  const longest = Math.max(...variants.map(({ name }) => name.length));
  const measure = measures[0]!;
  const lines = variants.map(({ name, trials, measures: values }) => {
    const { lists } = trials[0]!;
    const steps = trials.map(trainedSteps).join(', ');
    const { deviation } = values[measure]!;
    const spread =
      deviation === undefined ? '' : `; over seeds ${seeds.join(', ')}: ${measure} ± ${deviation.toFixed(4)}`;
    return `${name.padEnd(longest)}  ${lists.train} lists (dev ${lists.dev}), steps ${steps}${spread}`;
  });
  return [...lines, ...leftOut.map(({ variant, reason }) => `left out: ${variant}, for ${reason}`)];
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= width) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}
