import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { InvalidArgumentError } from '../lib/errors.js';
import { measureNames, parseMeasure } from '../lib/evaluation/measure-names.js';
import { DEFAULT_MEASURES, evaluateRun } from '../lib/evaluation/measures.js';
import type { Qrels, Run } from '../lib/types.js';
import { rejection } from './rejection.js';

const qrelsOf = (grades: Record<string, Record<string, number>>): Qrels =>
  new Map(Object.entries(grades).map(([query, judged]) => [query, new Map(Object.entries(judged))]));
const runOf = (scores: Record<string, Record<string, number>>): Run =>
  new Map(
    Object.entries(scores).map(([query, scored]) => [
      query,
      Object.entries(scored).map(([id, score]) => ({ id, score })),
    ]),
  );

describe('evaluateRun', () => {
  const reference = JSON.parse(
    readFileSync(fileURLToPath(new URL('fixtures/measures/trec-eval.json', import.meta.url)), 'utf8'),
  );
  const qrels = qrelsOf(reference.qrels);
  const run = runOf(reference.run);

  it('equals ir_measures on ties, grades below 0, ids beyond ASCII and missing queries', async () => {
    const names = Object.keys(reference.perQuery);
    const { mean, perQuery } = await evaluateRun(qrels, run, names);
    expect(mean).to.have.keys(...names);
    for (const name of names) {
      for (const [query, value] of Object.entries<number>(reference.perQuery[name])) {
        expect(perQuery[name]?.get(query), `${name} of ${query}`).to.be.closeTo(value, 1e-9);
      }
      expect(mean[name], name).to.be.closeTo(reference.mean[name], 1e-9);
    }
  });

  it('does not look at the order in which passages come', async () => {
    const reversed: Run = new Map([...run].map(([query, passages]) => [query, [...passages].reverse()]));
    expect(await evaluateRun(qrels, reversed)).to.deep.equal(await evaluateRun(qrels, run));
  });

  it('breaks ties by id in descending order, after rounding scores to 32 bits', async () => {
    const judged = qrelsOf({ q: { b: 1 } });
    const near = runOf({ q: { a: 0.5 + 1e-10, b: 0.5 } });
    expect((await evaluateRun(judged, near, ['RR'])).mean).to.deep.equal({ RR: 1 });
  });

  it('counts a judged query that the run lacks as 0, and no query without judgements', async () => {
    const judged = qrelsOf({ q1: { a: 1 }, q2: { a: 1 } });
    const { mean, perQuery } = await evaluateRun(judged, runOf({ q1: { a: 1 }, other: { a: 1 } }), ['P@1']);
    expect(mean).to.deep.equal({ 'P@1': 0.5 });
    expect([...(perQuery['P@1'] ?? [])]).to.deep.equal([
      ['q1', 1],
      ['q2', 0],
    ]);
  });

  it('computes nDCG from grades, log2(rank + 1) and the best ranking', async () => {
    const judged = qrelsOf({ q: { a: 3, b: 1, c: 2 } });
    const { mean } = await evaluateRun(judged, runOf({ q: { b: 0.9, x: 0.8, a: 0.7 } }), ['nDCG@10', 'nDCG@2']);
    const best = 3 + 2 / Math.log2(3);
    expect(mean['nDCG@10']).to.be.closeTo((1 + 3 / 2) / (best + 1 / 2), 1e-12);
    expect(mean['nDCG@2']).to.be.closeTo(1 / best, 1e-12);
  });

  it('applies a relevance level and judged-only to the measures that know them', async () => {
    const judged = qrelsOf({ q: { a: 1, b: 2 } });
    const results = runOf({ q: { x: 0.9, a: 0.8, b: 0.7 } });
    const options = { relevanceLevel: 2, judgedOnly: true };
    const { mean } = await evaluateRun(judged, results, ['RR', 'RR(rel=1)', 'nDCG', 'Judged@2'], options);
    expect(mean['RR(rel=2,judged_only=True)']).to.equal(1 / 2);
    expect(mean['RR(judged_only=True)']).to.equal(1);
    expect(mean['Judged@2']).to.equal(1 / 2);
    expect(mean).to.have.property('nDCG(judged_only=True)');
  });

  it('refuses a run whose scores are not numbers or whose passages repeat, naming them', async () => {
    const judged = qrelsOf({ q: { a: 1 } });
    const nan = await rejection(evaluateRun(judged, runOf({ q: { a: Number.NaN } })));
    expect(nan).to.be.instanceOf(InvalidArgumentError);
    expect(nan.message).to.equal('Expected a number as score for run (query "q", passage "a") but received NaN.');
    const twice: Run = new Map([
      [
        'q',
        [
          { id: 'a', score: 2 },
          { id: 'a', score: 1 },
        ],
      ],
    ]);
    expect((await rejection(evaluateRun(judged, twice))).message).to.contain(
      'Expected each passage once for run (query "q") but received "a"',
    );
  });

  it('refuses grades that are no whole numbers, and no judgements at all', async () => {
    const half = await rejection(evaluateRun(qrelsOf({ q: { a: 0.5 } }), new Map()));
    expect(half.message).to.equal('Expected a whole number for qrels (query "q", passage "a") but received 0.5.');
    expect((await rejection(evaluateRun(new Map(), new Map()))).message).to.contain('at least one query');
    const misspelt = evaluateRun(qrels, new Map(), ['AP'], { relevancelevel: 2 } as object);
    expect((await rejection(misspelt)).message).to.equal(
      'evaluateRun has no option "relevancelevel"; did you mean "relevanceLevel"?',
    );
  });

  it('lets the event loop run on a large run, and stops when aborted', async () => {
    const ids = Array.from({ length: 1000 }, (_, i) => `D${i}`);
    const large: Run = new Map();
    const judged: Qrels = new Map();
    for (let q = 0; q < 600; q++) {
      large.set(
        `q${q}`,
        ids.map((id, i) => ({ id, score: (i * 7919 + q) % 1000 })),
      );
      judged.set(`q${q}`, new Map([['D5', 1]]));
    }
    let turns = 0;
    const controller = new AbortController();
    const reason = new Error('enough');
    const timer = setInterval(() => {
      turns += 1;
      if (turns === 3) controller.abort(reason);
    }, 1);
    const error = await rejection(evaluateRun(judged, large, DEFAULT_MEASURES, { signal: controller.signal }));
    clearInterval(timer);
    expect(error).to.equal(reason);
    expect(turns).to.equal(3);
  });
});

describe('parseMeasure', () => {
  it('gives the name ir_measures uses', () => {
    const names = [
      'recall@100',
      'MRR@10',
      'map',
      'ndcg@10',
      'Precision@5',
      'AP( rel = 2 )@7',
      'P(judged_only=true,rel=2)@3',
    ];
    expect(names.map((name) => parseMeasure(name).name)).to.deep.equal([
      'R@100',
      'RR@10',
      'AP',
      'nDCG@10',
      'P@5',
      'AP(rel=2)@7',
      'P(rel=2,judged_only=True)@3',
    ]);
  });

  it('names the measures there are when it does not know one', () => {
    expect(() => parseMeasure('F1@10')).to.throw(
      InvalidArgumentError,
      'Expected one of nDCG[@k], R@k, RR[@k], AP[@k], P@k, Success@k, Rprec, Judged[@k] for measure but received ' +
        '"F1@10"; k is a whole number.',
    );
    expect(measureNames()).to.have.length(8);
  });

  it('refuses a missing, superfluous or zero cut-off, and parameters that the measure lacks', () => {
    expect(() => parseMeasure('R')).to.throw('Expected R with a cut-off from 1 for measure but received "R"');
    expect(() => parseMeasure('P@0')).to.throw('P with a cut-off from 1');
    expect(() => parseMeasure('Rprec@5')).to.throw('Expected Rprec without a cut-off');
    expect(() => parseMeasure('nDCG(rel=2)@5')).to.throw('no other parameters than judged_only=True or False');
    expect(() => parseMeasure('AP(rel=0)')).to.throw('Expected a whole number from 1 for relevanceLevel');
  });
});
