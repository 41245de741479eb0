import type { Comparison } from '../evaluation/compare.js';
import { corrected, type Difference, type Example, type TopPassage } from '../evaluation/differences.js';
import { signed } from '../specialize/verdict.js';
import type { RunFacts } from './facts.js';
import { shortName } from './findings.js';
import { foreign, html, type Markup, plain } from './html.js';
import type { Section } from './page.js';
import { changePlot, intervalPlot, scatterPlot } from './plots.js';
import { numberCell, table } from './table.js';

/** Base against trained model, by query and by kind of query. */
export function resultSections(facts: RunFacts): Section[] {
  const { evaluation, promotion, points } = facts;
  const first = evaluation?.comparison.differences[0];
  if (!evaluation || !first) return [];
  const { comparison } = evaluation;
  const sections: Section[] = [
    { id: 'results', title: 'Base against trained', body: results(facts, comparison) },
    { id: 'queries', title: 'Query by query', body: queryPlots(first, points) },
  ];
  if (first.groups && first.groups.length > 1) {
    sections.push({ id: 'kinds', title: 'By kind of query', body: groups(first, plain(comparison.by ?? 'group')) });
  }
  if (first.gained.length + first.lost.length > 0) {
    sections.push({ id: 'changes', title: 'Gains and losses', body: changes(first) });
  }
  if (promotion?.offer) sections.push({ id: 'offer', title: 'Mixtures of weights', body: offer(promotion.offer) });
  return sections;
}

function results({ promotion }: RunFacts, comparison: Comparison): Markup {
  const { differences, confidence, resamples } = comparison;
  const guards = promotion?.guards ?? [];
  const [first] = differences as [Difference];
  const bars = [
    ...differences.map((difference) => ({ ...difference, name: difference.measure })),
    ...guards.map((guard) => ({ ...guard, wins: 0, ties: 0, losses: 0, name: `guard ${shortName(guard.name)}` })),
  ];
  // Corrected again, since comparisons of earlier versions have no corrected t-test.
  const rows = corrected(differences).map((row) => [
    row.measure,
    ...[row.base, row.value].map((value) => numberCell(value.toFixed(4))),
    changeCell(row),
    numberCell(`${signed(row.interval.low)} to ${signed(row.interval.high)}`),
    numberCell(`${row.wins} / ${row.ties} / ${row.losses}`),
    ...[row.pRandomization, row.pHolm, row.pTTest, row.pTTestHolm, row.pBootstrap].map((p) =>
      numberCell(probability(p)),
    ),
  ]);
  const columns = ['measure', 'base', 'trained', 'difference', 'interval', '+ / = / −'];
  return html`<p class="soft">${first.queries.toLocaleString('en')} queries of ${foreign(first.set, 120)}. Intervals hold
${Number((100 * confidence).toFixed(2))} % of ${resamples.toLocaleString('en')} paired bootstrap resamples; p-values are
two-sided: of the paired randomisation test, t-test and bootstrap test; those after Holm’s correction over the table
stand beside the first two.
+ / = / − counts the queries that got better, stayed and got worse.</p>
<figure><figcaption>Each measure’s difference to the base with its interval. Right of 0 the trained model is better.</figcaption>
${intervalPlot('Difference of each measure to the base, with intervals', bars)}</figure>
${table('Measures of base and trained model', [...columns, ...TESTS], rows)}
${guards.length > 0 && guardTable(guards)}`;
}

const TESTS = ['p random.', 'Holm', 'p t-test', 'Holm', 'p boot.'];

function guardTable(guards: NonNullable<RunFacts['promotion']>['guards']): Markup {
  const rows = guards.map((guard) => [
    foreign(guard.name, 120),
    numberCell(String(guard.queries)),
    guard.measure,
    ...[guard.base, guard.value].map((value) => numberCell(value.toFixed(4))),
    changeCell(guard),
    numberCell(`${signed(guard.interval.low)} to ${signed(guard.interval.high)}`),
    guard.holds ? 'holds' : `loses more than ${guard.allowedLoss}`,
  ]);
  const columns = ['guard set', 'queries', 'measure', 'base', 'trained', 'difference', 'interval', 'gate'];
  return html`<h3>Guard sets</h3>${table('Guard sets', columns, rows)}`;
}

function queryPlots(first: Difference, points: RunFacts['points']): Markup {
  return html`<div class="pair">
<figure><figcaption>A point is a query, a large one several. Above the dashed line the trained model is better.</figcaption>
${scatterPlot(first, points)}</figure>
<figure><figcaption>How far queries moved; ${first.ties} of ${first.queries} did not move and are not shown.</figcaption>
${changePlot(first, points)}</figure></div>`;
}

function groups({ groups: found = [], measure }: Difference, by: string): Markup {
  const rows = found.map((group) => [
    foreign(group.group, 80),
    numberCell(String(group.queries)),
    ...[group.base, group.value].map((value) => numberCell(value.toFixed(4))),
    changeCell(group),
    numberCell(`${signed(group.interval.low)} to ${signed(group.interval.high)}`),
    numberCell(`${group.wins} / ${group.ties} / ${group.losses}`),
  ]);
  const columns = [by, 'queries', 'base', 'trained', 'difference', 'interval', '+ / = / −'];
  return html`<figure><figcaption>The difference of ${measure} by ${by}.</figcaption>
${intervalPlot(
  `Difference of ${measure} by ${by}`,
  found.slice(0, 30).map((group) => ({ ...group, name: group.group })),
)}</figure>
${table(`${measure} by ${by}`, columns, rows)}`;
}

function changes({ gained, lost, measure }: Difference): Markup {
  const list = (title: string, examples: readonly Example[]) =>
    examples.length > 0 && html`<h3>${title}</h3>${examples.map((example) => describe(example, measure))}`;
  return html`<p class="soft">What stood first before and after training. A grade is what people judged; most passages
are not judged, which does not make them wrong.</p>
${list('Gained most', gained)}${list('Lost most', lost)}`;
}

function describe({ query, text, base, value, before, after }: Example, measure: string): Markup {
  const change = value > base ? 'gain' : 'loss';
  return html`<article class="example"><h4>${foreign(text ?? query)}</h4>
<p class="soft">Query ${foreign(query, 60)}: ${measure} <span class="${change}">${base.toFixed(3)} → ${value.toFixed(3)}</span></p>
<div class="pair"><div><h5>Before</h5>${tops(before)}</div><div><h5>After</h5>${tops(after)}</div></div></article>`;
}

function tops(passages: readonly TopPassage[]): Markup {
  if (passages.length === 0) return html`<p class="soft">Nothing was found.</p>`;
  const items = passages.map(({ id, grade, title, text }) => {
    const judged =
      grade === null ? '' : html` <span class="grade ${grade > 0 ? 'gain' : 'loss'}">grade ${grade}</span>`;
    const body = text && html`<br><span class="soft">${foreign(text, 200)}</span>`;
    return html`<li>${foreign(title || id, 160)}${judged}${body}</li>`;
  });
  return html`<ol>${items}</ol>`;
}

function offer({
  share,
  directory,
  chosenOn,
  choices,
  verdict,
  passes,
}: NonNullable<RunFacts['promotion']>['offer'] & {}): Markup {
  const rows = choices.map((choice) => [
    numberCell(`${Math.round(100 * choice.share)} %`),
    numberCell(choice.value.toFixed(4)),
    choice.share === share ? 'chosen' : '',
  ]);
  const where =
    chosenOn === 'half' ? 'a half of the queries, which the test below leaves out' : 'the dev lists’ queries';
  const judged = directory
    ? html`It is in <code>${directory}</code>.`
    : 'None holds on all guard sets, so none is kept.';
  return html`<p>As the trained model was not promoted, mixtures of its weights with the base’s were tried. They were
chosen by ${where}, and the best was then tested as the trained model was. ${judged}</p>
<p>${verdict.text} ${passes ? 'It passes the gate.' : 'It does not pass the gate.'}</p>
${table('Mixtures', ['trained share', `${verdict.measure} where chosen`, ''], rows)}`;
}

/** Coloured only where the interval leaves no doubt about the direction. */
function changeCell({ difference, interval }: Pick<Difference, 'difference' | 'interval'>): Markup {
  const tone = interval.low > 0 ? 'gain' : interval.high < 0 ? 'loss' : '';
  return html`<td class="number ${tone}">${signed(difference)}</td>`;
}

function probability(p: number): string {
  return p < 0.0001 ? '< 0.0001' : p.toFixed(4);
}
