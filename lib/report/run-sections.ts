import type { Json } from '../hashes.js';
import { HUMAN_MEASURE } from '../training/human-dev.js';
import { costsTable } from './costs.js';
import type { RunFacts } from './facts.js';
import { foreign, html, type Markup, plain } from './html.js';
import { duration, type Section } from './page.js';
import { devPlot, funnelPlot, lossPlot, scorePlot, typeColor } from './plots.js';
import { numberCell, table } from './table.js';

/** How the model came about: queries, teacher, training, and what was run. */
export function runSections(facts: RunFacts): Section[] {
  const sections: Section[] = [];
  if (facts.funnel.length > 0) sections.push({ id: 'funnel', title: 'Queries', body: funnel(facts) });
  if (facts.scores) sections.push({ id: 'teacher', title: 'Teacher', body: teacher(facts.scores) });
  if (facts.steps.length > 0) sections.push({ id: 'training', title: 'Training', body: training(facts) });
  sections.push({ id: 'run', title: 'What was run', body: whatWasRun(facts) });
  return sections;
}

function funnel({ funnel: rows }: RunFacts): Markup {
  const labels = rows[0]?.steps.map(({ label }) => label) ?? [];
  const at = (step: number) => rows.map(({ steps }) => steps[step]?.queries ?? 0);
  const sum = (counts: readonly number[]) => counts.reduce((total, queries) => total + queries, 0);
  const counted = (counts: readonly number[]) => [...counts, sum(counts)];
  const [first, last] = [counted(at(0)), counted(at(labels.length - 1))];
  const cells = [
    ...labels.map((label, i) => [label, ...counted(at(i)).map((count) => numberCell(count.toLocaleString('en')))]),
    ['left', ...last.map((count, i) => numberCell(shareOf(count, first[i]!)))],
  ];
  const columns = ['queries', ...rows.map(({ type }) => plain(type, 60)), 'all'];
  const keys = rows.map(({ type }, i) => html`<span class="key type-${typeColor(i)}"></span>${foreign(type, 30)} `);
  return html`<p class="soft">What was left of the queries after each filter that took any. <code>dropped.jsonl</code> has
the reason for each one.</p>
<figure><figcaption>By type: ${keys}</figcaption>${funnelPlot(rows)}</figure>
${table('Queries left after each filter, by type', columns, cells)}`;
}

function shareOf(part: number, whole: number): string {
  return whole > 0 ? `${Math.round((100 * part) / whole)} %` : '0 %';
}

function teacher(scores: NonNullable<RunFacts['scores']>): Markup {
  const { sources, others } = scores.counts;
  return html`<figure><figcaption>The teacher’s raw scores of <span class="key accent"></span>${sources.toLocaleString('en')}
source passages, which the queries were written for, and of <span class="key base"></span>${others.toLocaleString('en')}
other candidates. The further apart the two, the surer the teacher is.</figcaption>${scorePlot(scores)}</figure>`;
}

function training({ steps, evaluations, stages }: RunFacts): Markup {
  const counts = (stages.find(({ name }) => name === 'training')?.counts ?? {}) as Record<string, unknown>;
  const best = evaluations.findLast(({ isBest }) => isBest);
  const last = steps.at(-1);
  const listwise = evaluations.map((one) => ({ step: one.step, value: one.listwise }));
  const human = evaluations.flatMap((one) => (one.human ? [{ step: one.step, value: one.human[HUMAN_MEASURE] }] : []));
  const tokens = steps.reduce((sum, step) => sum + step.tokens, 0);
  const tiles: [string, string, string?][] = [
    ['steps', String(steps.length), `stopped: ${String(counts['stopped'] ?? 'no')}`],
    ['queries a step', String(last?.queries ?? 0), `${last?.slots ?? 0} slots`],
    [
      'tokens',
      tokens.toLocaleString('en', { notation: 'compact' }),
      `${Math.round(last?.tokensPerSecond ?? 0)} a second`,
    ],
    ['teacher temperature', shown(counts['teacherTemperature'])],
    ...(best ? [['best on dev', `step ${best.step}`, `loss ${best.loss.toFixed(4)}`] as [string, string, string]] : []),
  ];
  return html`<dl class="tiles">${tiles.map(
    ([name, value, more]) => html`<div><dt>${name}</dt><dd>${value}${more && html`<small>${more}</small>`}</dd></div>`,
  )}</dl>
<div class="pair"><figure><figcaption>Loss of <span class="key base"></span>each batch and
<span class="key accent"></span>of the dev lists; the ring marks the weights that were kept.</figcaption>
${lossPlot(steps, evaluations)}</figure>
${
  evaluations.length > 1 &&
  html`<figure><figcaption>How far the model’s rankings are from the teacher’s on the dev lists
(KL divergence, in nats).</figcaption>${devPlot('listwise loss', listwise)}</figure>`
}
${
  human.length > 1 &&
  html`<figure><figcaption>${HUMAN_MEASURE} on queries that people judged, over a part of the corpus: it compares the
weights of this run with each other, and is higher than over the whole.</figcaption>${devPlot(HUMAN_MEASURE, human)}</figure>`
}</div>`;
}

function shown(value: unknown): string {
  return typeof value === 'number' ? String(Number(value.toPrecision(4))) : String(value ?? 'unknown');
}

function whatWasRun(facts: RunFacts): Markup {
  const { stages } = facts;
  const rows = stages.map(({ name, seconds, started, counts }) => [
    name,
    numberCell(duration(seconds ?? 0)),
    started.slice(0, 16).replace('T', ' '),
    foreign(summary(counts), 300),
  ]);
  const options = stages.flatMap(({ name, options }) =>
    Object.entries(options)
      .filter(([, value]) => value !== undefined)
      .map(([option, value]) => [name, html`<code>${option}</code>`, foreign(JSON.stringify(value), 200)]),
  );
  const hashes = stages.flatMap(({ name, inputs }) =>
    Object.entries(inputs).map(([input, hash]) => [name, foreign(input, 120), html`<code>${hash.slice(0, 16)}</code>`]),
  );
  const made = Object.entries(stages.at(-1)?.versions ?? {}).map(([name, version]) => `${name} ${version}`);
  return html`<p>With ${made.join(', ')}.</p>
${table('Stages', ['stage', 'time', 'begun (UTC)', 'counts'], rows)}
<h3>Costs</h3>${costsTable(facts)}
<h3>Inputs</h3><p class="soft">The first 16 digits of each SHA-256; <code>manifest.json</code> has them whole.</p>
${table('Hashes of the inputs', ['stage', 'input', 'SHA-256'], hashes)}
<h3>Options</h3><p class="soft">What decides each stage’s result; an option that is not here has its default.</p>
${table('Options', ['stage', 'option', 'value'], options)}`;
}

/** The plain numbers and words among a stage's counts; what lies deeper has tables of its own. */
function summary(counts: Json | undefined): string {
  if (typeof counts !== 'object' || counts === null || Array.isArray(counts)) return '';
  return Object.entries(counts)
    .filter(([, value]) => ['number', 'string', 'boolean'].includes(typeof value))
    .map(([name, value]) => `${name} ${typeof value === 'number' ? Number(value.toPrecision(4)) : String(value)}`)
    .join(', ');
}
