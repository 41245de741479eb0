import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { costsOf, costsTable } from '../lib/report/costs.js';
import type { RunFacts, StageFacts } from '../lib/report/facts.js';
import { adviceOf, findingsOf } from '../lib/report/findings.js';
import { lostTo, readFunnel } from '../lib/report/funnel.js';
import { reportPage } from '../lib/report/page.js';
import { intervalPlot } from '../lib/report/plots.js';
import { teacherName } from '../lib/report/teacher-name.js';
import type { Offer } from '../lib/specialize/mixture.js';
import type { Promotion } from '../lib/specialize/promotion-stage.js';
import { RunDirectory } from '../lib/specialize/run-directory.js';
import type { StageName } from '../lib/specialize/stages.js';
import type { EvaluationRecord } from '../lib/training/log.js';
import { temporaryDirectory } from './helpers.js';
import { jsonl } from './tiny-run.js';

const stage = (name: StageName, counts: object = {}): StageFacts =>
  ({
    name,
    complete: true,
    started: '2026-01-02T03:04:05.678Z',
    seconds: 75,
    options: {},
    inputs: {},
    versions: {},
    counts,
  }) as unknown as StageFacts;

const facts = (more: Partial<RunFacts> = {}): RunFacts => ({
  ...{ directory: '/runs/mine', model: 'me/base', stages: [], funnel: [], steps: [], evaluations: [], points: [] },
  ...more,
});

const verdict: Promotion['verdict'] = {
  ...{ measure: 'nDCG@10', base: 0.5, trained: 0.49, difference: -0.01, interval: { low: -0.03, high: 0.01 } },
  ...{ test: 'randomization', p: 0.3, looks: 1, outcome: 'undecided', significance: 0.05, text: 'No gain.' },
};
const failed: Promotion = { promoted: false, on: 'test', verdict, guards: [], objections: ['no gain'], text: '' };

describe('findingsOf', () => {
  const guard = { name: '/sets/nq', measure: 'nDCG@10', queries: 9, base: 0.5, value: 0.48, difference: -0.02 };
  const promotion = (more: Partial<Promotion>) => findingsOf(facts({ promotion: { ...failed, ...more } }));

  it('says that no difference is shown, by which chance, and on which queries', () => {
    expect(promotion({})[0]).to.deep.equal({
      tone: 'neutral',
      title: 'No difference is shown.',
      text:
        'The trained model is not clearly better or worse on queries that it never saw: were both equally good, a ' +
        'difference like this one would come about by chance in about 30 % of such comparisons. The run recommends the base.',
    });
    expect(promotion({ on: 'dev' })[0]!.text).to.contain('on held-out written queries');
    const sure = promotion({ verdict: { ...verdict, outcome: 'better', p: 0.00001 } })[0];
    expect(sure!.text).to.contain('by chance in less than 1 in 10,000 of such comparisons');
  });

  it('says of each guard set whether it suffered, or that it was not looked at', () => {
    const interval = { low: -0.03, high: -0.01 };
    const guards = [
      { ...guard, interval, allowedLoss: 0.01, holds: false },
      { ...guard, interval, allowedLoss: 0.05, holds: true },
    ];
    expect(promotion({ guards }).slice(1)).to.deep.equal([
      {
        tone: 'bad',
        title: 'It forgot something (nq).',
        text: 'nDCG@10 changed by −0.0200 on this guard set, where a loss of 0.01 is allowed.',
      },
      {
        tone: 'good',
        title: 'Other searches did not suffer (nq).',
        text: 'nDCG@10 changed by −0.0200 on this guard set, where a loss of 0.05 is allowed.',
      },
    ]);
    expect(promotion({ skippedGuards: ['/sets/nq', '/sets/fever'] })[1]).to.include({
      tone: 'neutral',
      title: 'Other searches were not looked at (nq, fever).',
    });
  });
});

describe('findingsOf with groups', () => {
  it('names the groups that gained and lost, a few of them, in short', () => {
    const group = (name: string, difference: number) => ({
      ...{ group: name, queries: 9, base: 0.5, value: 0.5 + difference, difference, wins: 1, ties: 1, losses: 1 },
      interval: { low: difference - 0.01, high: difference + 0.01 },
    });
    const of = (groups: object[]) => {
      const first = { measure: 'AP', ...group('all', 0.1), groups };
      const comparison = { differences: [first] };
      const [, finding] = findingsOf(
        facts({ evaluation: { on: 'test', comparison } as unknown as RunFacts['evaluation'] & {} }),
      );
      return finding!;
    };
    expect(of([group('a', 0.005), group('b', 0)])).to.deep.equal({
      tone: 'neutral',
      title: 'By kind of query.',
      text: 'No kind of query stands out: every group’s interval holds 0. Groups are small, so take this as a hint.',
    });
    const many = Array.from({ length: 8 }, (_, i) => group(`g${i}`, 0.1 + i / 100));
    expect(of([...many, group('x'.repeat(100_000), -0.2)])).to.include({
      tone: 'bad',
      text:
        'Gains that the intervals support: “g7” (+0.1700), “g6” (+0.1600), “g5” (+0.1500), “g4” (+0.1400), “g3” (+0.1300), ' +
        `“g2” (+0.1200) and 2 more. Losses that the intervals support: “${'x'.repeat(40)}…” (−0.2000). Groups are small, ` +
        'so take this as a hint.',
    });
  });
});

describe('adviceOf', () => {
  const evaluation = (step: number, isBest: boolean) => ({ kind: 'evaluation', step, isBest }) as EvaluationRecord;

  it('has none where nothing calls for it', () => {
    expect(
      adviceOf(facts({ promotion: { ...failed, promoted: true }, evaluations: [evaluation(0, true)] })),
    ).to.deep.equal([]);
  });

  it('asks for queries of people where there are none', () => {
    const [advice] = adviceOf(facts({ evaluation: { on: 'dev' } as RunFacts['evaluation'] & {} }));
    expect(advice).to.match(
      /^Collect queries of real people .*, and give them with --data: written queries are easier/,
    );
  });

  it('asks for a lower rate where the dev loss never fell, and for longer training where it still did', () => {
    const never = [evaluation(0, true), evaluation(5, false)];
    expect(adviceOf(facts({ evaluations: never }))).to.deep.equal([
      'The dev loss never fell below the base model’s: try a lower learning rate, or better queries and teacher.',
    ]);
    const falling = [evaluation(0, true), evaluation(5, true)];
    expect(
      adviceOf(facts({ evaluations: falling, stages: [stage('training', { stopped: 'maxSteps' })] })),
    ).to.deep.equal([
      'The dev loss was still falling when training ended: train longer (--epochs, or no --max-steps).',
    ]);
    expect(
      adviceOf(facts({ evaluations: falling, stages: [stage('training', { stopped: 'patience' })] })),
    ).to.deep.equal([]);
  });

  it('says which filters took many queries', () => {
    const steps = [
      { label: 'written', queries: 100 },
      { label: 'source found', queries: 60, loss: 'source rank' as const },
      { label: 'source scored first', queries: 24, loss: 'source not first' as const },
    ];
    expect(adviceOf(facts({ funnel: [{ type: 'web', steps }] }))).to.deep.equal([
      'The base did not find the source passage of 40 % of the queries: add bm25 to --retrievers, or loosen ' +
        '--max-source-rank; these are queries to learn from.',
      'The teacher put another passage before the source for 60 % of the queries: look at dropped.jsonl whether queries ' +
        'are vague, passages repeat, or the teacher is weak here.',
    ]);
    const few = steps.map((step, i) => ({ ...step, queries: [100, 71, 36][i]! }));
    expect(adviceOf(facts({ funnel: [{ type: 'web', steps: few }] }))).to.deep.equal([]);
  });

  it('points at the mixture, and says whether it passes', () => {
    const offer = { share: 0.25, directory: 'promotion/interpolated', passes: false } as Offer;
    const of = (more: Partial<Offer>) => adviceOf(facts({ promotion: { ...failed, offer: { ...offer, ...more } } }));
    expect(of({ passes: true })).to.deep.equal([
      'Use the mixture of weights in promotion/interpolated (25 % trained): it passes the gate, which the trained model did not.',
    ]);
    expect(of({})).to.deep.equal([
      'The best that the weights offer is the mixture of weights in promotion/interpolated (25 % trained), which does not ' +
        'pass the gate either; lower --learning-rate to stay nearer to the base.',
    ]);
    expect(of({ directory: undefined })).to.deep.equal([]);
  });
});

describe('readFunnel', () => {
  it('has a step for each reason that took queries, the failures of a language model first', async () => {
    const place = temporaryDirectory();
    mkdirSync(join(place, 'queries'));
    const gone = (type: string, ...reasons: string[]) => reasons.map((reason) => ({ type, reason }));
    writeFileSync(
      join(place, 'queries', 'failed.jsonl'),
      jsonl([...gone('web', 'refusal', 'copy', 'copy', 'duplicate'), ...gone('claim', 'too long', 'no reply')]),
    );
    const drop = (type: string | undefined, at: string, ...filters: string[]) =>
      filters.map((filter) => ({ query: 'q', type, stage: at, filter, reason: 'why' }));
    writeFileSync(
      join(place, 'dropped.jsonl'),
      jsonl([
        ...drop('web', 'queries', 'unusable source', 'not sampled'),
        ...drop('web', 'candidates', 'source rank', 'few candidates'),
        ...drop('claim', 'lists', 'few scores', 'source not first', 'low top score'),
        ...drop(undefined, 'queries', 'empty query'),
      ]),
    );
    const byType = { web: { queries: 20 }, claim: { queries: 10 } };
    const stages = [stage('queries', { written: {} }), stage('candidates', { byType }), stage('lists')];
    const funnel = await readFunnel(stages, new RunDirectory(place));
    const shown = (type: string) =>
      funnel.find((row) => row.type === type)!.steps.map(({ label, queries }) => `${label} ${queries}`);
    expect(shown('web')).to.deep.equal([
      ...[
        'asked for or given 26',
        'answered 26',
        'not refused 25',
        'short enough 25',
        'not copied 23',
        'not repeated 22',
      ],
      ...[
        'not empty 22',
        'source usable 21',
        'sampled 20',
        'source found 19',
        'enough candidates 18',
        'enough scores 18',
      ],
      ...['source scored first 18', 'score high enough 18'],
    ]);
    expect(shown('claim').at(-1)).to.equal('score high enough 7');
    expect(shown('untyped').slice(0, 1)).to.deep.equal(['asked for or given 1']);
    expect(shown('untyped').at(-1)).to.equal('score high enough 0');
    expect(lostTo(funnel, 'source rank')).to.deep.equal({ before: 30, lost: 1 });
    expect(lostTo(funnel, 'equal scores')).to.deep.equal({ before: 0, lost: 0 });

    // Bars of all types lie on each other, and each has a tip.
    const page = reportPage(facts({ funnel }));
    expect(page).to.contain('class="key type-3"').and.to.contain('fill="var(--type-3)"');
    expect(page).to.contain('<title>claim, source scored first: 8</title>');
  });
});

describe('intervalPlot', () => {
  const change = (name: string, low: number, high: number) => ({
    ...{ name, queries: 5, base: 0.5, value: 0.5, difference: (low + high) / 2, interval: { low, high } },
    ...{ wins: 0, ties: 5, losses: 0 },
  });
  /** Where the lines of the intervals begin and end. */
  const lines = (text: string) =>
    [...text.matchAll(/<line [^>]*x1="([\d.]+)" x2="([\d.]+)"/g)].map(([, from, to]) => Number(to) - Number(from));

  it('draws an interval of no width as none', () => {
    const { text } = intervalPlot('x', [change('AP', 0, 0)]);
    expect(text).to.contain('>0.010<');
    expect(Math.max(...lines(text))).to.equal(0);
    expect(Math.max(...lines(intervalPlot('x', [change('AP', 0.1, 0.2)]).text))).to.be.above(100);
  });

  it('gives names that are cut to the same a line each', () => {
    const long = 'a name that is longer than there is room';
    const { text } = intervalPlot('x', [change(`${long} 1`, 0, 0.1), change(`${long} 2`, 0, 0.2)]);
    expect(text.match(/>a name that is longe…</g)).to.have.length(2);
  });
});

describe('costsOf', () => {
  const written = { queries: 9, models: { 'gpt-x': 9 }, requests: 1200, promptTokens: 300_000, completionTokens: 9000 };
  const asked = [{ teacher: 'llm judge', requests: 77, pairs: 700, tokens: 0 }];

  it('are what the language model and teachers on servers were asked', () => {
    const stages = [stage('queries', { written: { ...written, cost: 1.23456 } }), stage('teacher', { asked })];
    expect(costsOf({ stages })).to.deep.equal([
      { name: 'gpt-x', purpose: 'writing queries', requests: 1200, tokens: 309_000, cost: 1.23456 },
      { name: 'llm judge', purpose: 'scoring passages', requests: 77, tokens: 0 },
    ]);
    const cells = costsTable({ stages }).text.replaceAll(/<[^>]+>/g, '|');
    expect(cells).to.match(/gpt-x\|+writing queries\|+1,200\|+309,000\|+1\.235\|/);
    expect(cells).to.match(/llm judge\|+scoring passages\|+77\|+unknown\|+unknown\|/);
    expect(reportPage(facts({ stages })))
      .to.contain('<h3>Costs</h3>')
      .and.to.contain('309,000');
  });

  it('are none where all was computed here', () => {
    expect(costsOf({ stages: [stage('queries', { read: 5 })] })).to.deep.equal([]);
    expect(costsTable({ stages: [] }).text).to.contain('No language model and no server was asked');
  });
});

describe('teacherName', () => {
  it('names kind and model, and neither addresses nor places on this machine', async () => {
    const place = join(temporaryDirectory(), 'my-reranker');
    mkdirSync(place);
    expect(await teacherName({ kind: 'fused' })).to.equal('fused (dense and BM25 scores)');
    expect(await teacherName({ kind: 'file', scores: '/home/me/scores.trec' })).to.equal('scores from a file');
    expect(await teacherName({ kind: 'cross-encoder', model: place })).to.equal('cross-encoder my-reranker');
    expect(await teacherName({ kind: 'cross-encoder', model: 'BAAI/bge-reranker-base' })).to.equal(
      'cross-encoder BAAI/bge-reranker-base',
    );
    expect(await teacherName({ kind: 'llm', url: 'http://10.0.0.1/v1', model: '/models/qwen' })).to.equal('llm qwen');
    expect(await teacherName({ kind: 'tei', url: 'http://10.0.0.1' })).to.equal('a model on a server (tei)');
    const members = [
      { teacher: { kind: 'fused' } as const, weight: 1 },
      { teacher: { kind: 'cross-encoder', model: 'a/b' } as const, weight: 2 },
    ];
    expect(await teacherName({ kind: 'ensemble', members })).to.equal(
      'fused (dense and BM25 scores) (weight 1) + cross-encoder a/b (weight 2)',
    );
  });
});
