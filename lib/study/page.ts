import type { Change, Difference } from '../evaluation/differences.js';
import { shortName } from '../report/findings.js';
import { foreign, html, type Markup } from '../report/html.js';
import { framePage, modelName, type Section } from '../report/page.js';
import { intervalPlot } from '../report/plots.js';
import { numberCell, table } from '../report/table.js';
import { signed } from '../specialize/verdict.js';
import {
  chosenOptions,
  devChange,
  differenceIn,
  listOptions,
  probability,
  stepsOf,
  trainedSteps,
  weights,
} from './markdown.js';
import type { StudyFacts, StudyTable } from './results.js';

/** A study as a page for people: findings, a plot and a table for each comparison, and what was run. */
export function studyPage(facts: StudyFacts): string {
  const { test, versions } = facts;
  const model = modelName(facts.model);
  const sections: Section[] = [
    ...facts.tables.map((one) => ({ id: one.id, title: one.title, body: comparison(one, facts) })),
    { id: 'trainings', title: 'Each training', body: trainings(facts) },
    { id: 'run', title: 'What was run', body: whatWasRun(facts) },
  ];
  return framePage({
    title: `${model}: study of listwise`,
    heading: html`${foreign(model, 80)}, studied`,
    lead: html`A study of listwise ${versions['listwise']} on ${foreign(shortName(test.name), 120)}: ${test.queries} queries that
people judged, ${test.passages.toLocaleString('en')} passages.`,
    sections,
    before: findings(facts),
    footer: html`Made by <code>listwise study</code>; <code>study.json</code> has all figures.`,
  });
}

const TONES = { holds: 'good', 'does not hold': 'bad', 'cannot tell': 'neutral', 'not studied': 'neutral' } as const;

function findings({ findings: found, teacher, base, measures }: StudyFacts): Markup {
  const [measure] = measures as [string];
  const reference = teacher && html`; the teacher itself ranks at ${teacher[measure]!.toFixed(4)}`;
  return html`<section aria-labelledby="findings"><h2 id="findings">What the papers find, and what shows here</h2>
<p>The base has ${measure} ${base[measure]!.toFixed(4)}${reference}.</p>
<ul class="findings">${found.map(
    ({ claim, outcome, text, rule }) => html`<li class="${TONES[outcome]}"><strong>${claim}</strong>
<p><strong>${outcome[0]!.toUpperCase()}${outcome.slice(1)}.</strong> ${text}</p><p class="soft">Rule: ${rule}</p></li>`,
  )}</ul></section>`;
}

function comparison(one: StudyTable, facts: StudyFacts): Markup {
  const percent = Number((100 * facts.confidence).toFixed(3));
  const plots = facts.measures.map((measure) => {
    const rows = one.rows.map(({ variant, label }): Change & { name: string } => ({
      ...differenceIn(one.comparison.differences, variant, measure),
      name: label,
    }));
    const told = rows.map(({ name, difference }) => `${name} ${signed(difference)}`).join(', ');
    return html`<figure><figcaption>${measure}: difference to the base, with its ${percent} % interval.</figcaption>
${intervalPlot(`${one.title}, difference of ${measure} to the base: ${told}`, rows)}</figure>`;
  });
  return html`${plots}${comparisonTable(one, facts)}`;
}

function comparisonTable({ title, rows, comparison: compared }: StudyTable, facts: StudyFacts): Markup {
  const { measures, base, teacher, variants } = facts;
  const heads = ['system', 'lists', 'steps', ...measures.flatMap((measure) => [measure, 'difference', 'p (Holm)'])];
  const empty = numberCell('');
  const reference = (name: string, values: Record<string, number>) => [
    ...[name, empty, empty],
    ...measures.flatMap((measure) => [numberCell(values[measure]!.toFixed(4)), empty, empty]),
  ];
  const cells = rows.map(({ variant, label }) => {
    const { trials } = variants.find(({ name }) => name === variant)!;
    return [
      ...[foreign(label, 60), numberCell(String(trials[0]!.lists.train)), numberCell(stepsOf(trials))],
      ...measures.flatMap((measure) => differenceCells(differenceIn(compared.differences, variant, measure))),
    ];
  });
  const references = [reference('base', base), ...(teacher ? [reference('the teacher itself', teacher)] : [])];
  return table(`${title}: each variant beside the base`, heads, [...references, ...cells]);
}

/** Coloured only where the interval leaves no doubt about the direction. */
function differenceCells({ value, difference, interval, pRandomization, pHolm }: Difference): Markup[] {
  const tone = interval.low > 0 ? 'gain' : interval.high < 0 ? 'loss' : '';
  const range = `(${signed(interval.low)} to ${signed(interval.high)})`;
  return [
    numberCell(value.toFixed(4)),
    html`<td class="number"><span class="${tone}">${signed(difference)}</span> ${range}</td>`,
    numberCell(`${probability(pRandomization)} (${probability(pHolm)})`),
  ];
}

function trainings({ variants, measures }: StudyFacts): Markup {
  const heads = ['variant', 'weights', 'seed', 'lists', 'dev', 'steps', 'ended by', 'teacher temperature'];
  const rows = variants.flatMap((variant) =>
    variant.trials.map((trial) => [
      ...[foreign(variant.name, 60), weights(variant), numberCell(String(trial.seed))],
      ...[numberCell(String(trial.lists.train)), numberCell(String(trial.lists.dev))],
      ...[numberCell(trainedSteps(trial)), trial.stopped, numberCell(trial.teacherTemperature.toPrecision(3))],
      ...[numberCell(devChange(trial, 'listwise')), numberCell(devChange(trial, 'contrastive'))],
      numberCell(String(Math.round(trial.seconds))),
      ...measures.map((measure) => numberCell(trial.measures[measure]!.toFixed(4))),
    ]),
  );
  return table('Trainings of all variants', [...heads, 'KL on dev', 'InfoNCE on dev', 'seconds', ...measures], rows);
}

function whatWasRun(facts: StudyFacts): Markup {
  const { seeds, resamples, leftOut, versions, equalWithin } = facts;
  const chosen = Object.entries({ ...chosenOptions(facts), ...listOptions(facts) });
  const made = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  return html`<p>With ${made.join(', ')}; ${seeds.length === 1 ? 'seed' : 'seeds'} ${seeds.join(', ')};
${resamples.toLocaleString('en')} resamples; “about as well” means a loss of at most ${equalWithin}.</p>
${leftOut.map(({ variant, reason }) => html`<p>Left out: ${foreign(variant, 60)}, for ${foreign(reason)}.</p>`)}
<p>Options of every training, where they are not the defaults, and of the lists.</p>
${table(
  'Options of training',
  ['option', 'value'],
  chosen
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => [html`<code>${name}</code>`, foreign(JSON.stringify(value), 200)]),
)}`;
}
