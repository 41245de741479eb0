import type { Difference } from '../evaluation/differences.js';
import type { Json } from '../hashes.js';
import { shortName } from '../report/findings.js';
import { modelName } from '../report/page.js';
import { signed } from '../specialize/verdict.js';
import { TRAINING_DEFAULTS } from '../training/options.js';
import { keptBase, type StudyFacts, type StudyTable, type TrialFacts, type VariantFacts } from './results.js';

/** A study's tables in Markdown, with all that it takes to read them: what was run, the findings and their rules. */
export function studyMarkdown(facts: StudyFacts): string {
  const sections = [
    ['## What was run', whatWasRun(facts)],
    ...facts.tables.map((table) => [`## ${cell(table.title)}`, comparisonTable(table, facts)]),
    ['## Findings', facts.findings.map(findingText).join('\n\n')],
    ['## Each training', trainingTable(facts)],
  ];
  const title = `# ${cell(modelName(facts.model))} on ${cell(shortName(facts.test.name))}: a study`;
  return `${[title, ...sections.flat()].join('\n\n')}\n`;
}

function whatWasRun(facts: StudyFacts): string {
  const { test, seeds, confidence, resamples, leftOut, versions } = facts;
  const percent = Number((100 * confidence).toFixed(3));
  const made = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  const many =
    seeds.length === 1 ? `seed ${seeds[0]}` : `seeds ${seeds.join(', ')} (a query counts with its mean over them)`;
  const reasons = leftOut.map(({ variant, reason }) => `${variant} (${cell(reason)})`);
  return [
    `Tested on ${test.queries} queries over ${test.passages.toLocaleString('en')} passages, after training with ${many}. ` +
      `Differences are to the base, with ${percent} % intervals by the paired bootstrap; p is that of the paired ` +
      'randomisation test, and in brackets after Holm’s correction over the table ' +
      `(${resamples.toLocaleString('en')} resamples). With ${made.join(', ')}.`,
    `Options of every training, where they are not the defaults: ${optionsText(chosenOptions(facts))}. The lists: ` +
      `${optionsText(listOptions(facts))}.`,
    ...(reasons.length > 0 ? [`Left out: ${reasons.join(', ')}.`] : []),
  ].join('\n\n');
}

/** Options of training that are not the defaults. */
export function chosenOptions({ options }: StudyFacts): Record<string, Json | undefined> {
  const defaults: Record<string, unknown> = TRAINING_DEFAULTS;
  const chosen = Object.entries(options).filter(
    ([name, value]) => JSON.stringify(value) !== JSON.stringify(defaults[name]),
  );
  return Object.fromEntries(chosen);
}

/** How the lists that all variants share came to be: options of candidates, teacher and lists, but for those of training. */
export function listOptions({ stages, options }: StudyFacts): Record<string, Json | undefined> {
  const all = { ...stages['candidates']!.options, ...stages['teacher']!.options, ...stages['lists']!.options };
  return Object.fromEntries(Object.entries(all).filter(([name]) => !(name in options)));
}

function optionsText(options: Record<string, Json | undefined>): string {
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  return given.map(([name, value]) => `\`${name}\` ${cell(JSON.stringify(value))}`).join(', ');
}

function comparisonTable({ rows, comparison }: StudyTable, facts: StudyFacts): string {
  const { measures, base, teacher, variants } = facts;
  const head = ['system', 'lists', 'steps', ...measures.flatMap((measure) => [measure, 'difference', 'p (Holm)'])];
  const reference = (name: string, values: Record<string, number>) => [
    ...[name, '', ''],
    ...measures.flatMap((measure) => [values[measure]!.toFixed(4), '', '']),
  ];
  const body = rows.map(({ variant, label }) => {
    const { trials } = variants.find(({ name }) => name === variant)!;
    const cells = measures.flatMap((measure) =>
      differenceCells(differenceIn(comparison.differences, variant, measure)),
    );
    return [label, String(trials[0]!.lists.train), stepsOf(trials), ...cells];
  });
  const references = [reference('base', base), ...(teacher ? [reference('*the teacher itself*', teacher)] : [])];
  return tableText(head, [...references, ...body]);
}

/** A system's row of a comparison by one measure. */
export function differenceIn(differences: readonly Difference[], system: string, measure: string): Difference {
  return differences.find((one) => one.system === system && one.measure === measure)!;
}

function differenceCells({ value, difference, interval, pRandomization, pHolm }: Difference): string[] {
  const range = `${signed(difference)} (${signed(interval.low)} to ${signed(interval.high)})`;
  return [value.toFixed(4), range, `${probability(pRandomization)} (${probability(pHolm)})`];
}

/** '20', or '12 to 20' where seeds differ. */
export function stepsOf(trials: readonly TrialFacts[]): string {
  const steps = trials.map((trial) => trial.steps);
  const [least, most] = [Math.min(...steps), Math.max(...steps)];
  return least === most ? String(most) : `${least} to ${most}`;
}

export function probability(p: number): string {
  return p < 0.0001 ? '< 0.0001' : p.toFixed(4);
}

function findingText({ number, claim, outcome, text, rule }: StudyFacts['findings'][number]): string {
  return `${number}. **${claim}** *${outcome}.* ${cell(text)}\n   Rule: ${rule}`;
}

function trainingTable({ variants, measures }: StudyFacts): string {
  const head = ['variant', 'weights', 'seed', 'lists', 'dev', 'steps', 'ended by', 'teacher temperature'];
  const rows = variants.flatMap((variant) =>
    variant.trials.map((trial) => [
      ...[cell(variant.name), weights(variant), String(trial.seed), String(trial.lists.train), String(trial.lists.dev)],
      ...[trainedSteps(trial), trial.stopped, String(Number(trial.teacherTemperature.toPrecision(3)))],
      ...[devChange(trial, 'listwise'), devChange(trial, 'contrastive')],
      ...[String(Math.round(trial.seconds)), ...measures.map((measure) => trial.measures[measure]!.toFixed(4))],
    ]),
  );
  return tableText([...head, 'KL on dev', 'InfoNCE on dev', 'seconds', ...measures], rows);
}

/** 'listwise 1, InfoNCE 0.1' */
export function weights({ listwiseWeight, contrastiveWeight }: VariantFacts): string {
  const parts = [listwiseWeight && `listwise ${listwiseWeight}`, contrastiveWeight && `InfoNCE ${contrastiveWeight}`];
  return parts.filter(Boolean).join(', ');
}

/** Steps taken, and after how many the weights that were kept, where that is not the same. */
export function trainedSteps(trial: TrialFacts): string {
  const { steps, devBest } = trial;
  if (keptBase(trial)) return `${steps} (kept: the base)`;
  return devBest && devBest.step !== steps ? `${steps} (kept: ${devBest.step})` : String(steps);
}

/** '0.341 → 0.276', before training and of the weights that were kept. */
export function devChange({ devBase, devBest }: TrialFacts, loss: 'listwise' | 'contrastive'): string {
  return devBase && devBest ? `${devBase[loss].toFixed(3)} → ${devBest[loss].toFixed(3)}` : '';
}

function tableText(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.map(cell).join(' | ')} |`;
  return [line(head), `|${' --- |'.repeat(head.length)}`, ...rows.map(line)].join('\n');
}

/** Other people's text, which must not act as Markdown's structure. */
function cell(text: string): string {
  return text.replace(/\s+/g, ' ').replace(/[\\`<>[\]|]/g, '\\$&');
}
