import { expect } from 'chai';
import { buildLists } from '../lib/lists/build.js';
import { percentile, sortedValues } from '../lib/lists/percentile.js';
import { splitBySource } from '../lib/lists/split.js';
import type { WrittenQuery } from '../lib/queries/written.js';
import { Random } from '../lib/random.js';
import type { TeacherScores } from '../lib/teachers/teacher.js';
import type { TrainingList } from '../lib/types.js';
import { rejection } from './rejection.js';

describe('percentile', () => {
  it('interpolates as NumPy does', () => {
    // numpy.percentile([-2, 0.5, 1, 4, 10], [0, 1, 25, 60, 99, 100])
    const expected: [number, number][] = [
      [0, -2],
      [1, -1.9],
      [25, 0.5],
      [60, 2.2],
      [99, 9.76],
      [100, 10],
    ];
    for (const [p, value] of expected) expect(percentile([-2, 0.5, 1, 4, 10], p)).to.be.closeTo(value, 1e-12);
    expect(percentile([3], 25)).to.equal(3);
  });

  it('refuses no values and percentiles out of range', () => {
    expect(() => percentile([], 5)).to.throw('Expected at least one value for sorted but received "none".');
    expect(() => percentile([1], 101)).to.throw('Expected a percentile from 0 to 100 for p but received 101.');
  });
});

describe('sortedValues', () => {
  it('sorts over several merged runs', async () => {
    const random = new Random(1);
    const values = Array.from({ length: 200_000 }, () => random.float() - 0.5);
    expect(await sortedValues(values)).to.deep.equal(Float64Array.from(values).sort());
  });
});

/** Queries q0, q1, ... of one type with sources s0, s1, ... */
const written = (count: number, type = 'web'): WrittenQuery[] =>
  Array.from({ length: count }, (_, i) => ({ id: `${type}${i}`, text: `${type} query ${i}`, type, source: `s${i}` }));

/** Scores in which the source has `top` and the others stand below it in steps of 1. */
const scoresOf = (query: WrittenQuery, top: number, others = 4): TeacherScores => ({
  query: query.id,
  passages: [
    ...Array.from({ length: others }, (_, i) => ({ id: `p${i}`, score: top - 1 - i })),
    { id: query.source, score: top },
  ],
});

describe('buildLists', () => {
  it('puts the source first, normalises by the percentiles of the type and keeps the best', async () => {
    const queries = written(4);
    const tops = [10, 8, 9, 12];
    const scores = queries.map((query, i) => scoresOf(query, tops[i]!));
    const built = await buildLists(queries, scores, { listLength: 3, devShare: 0 });
    // numpy.percentile of all 20 scores at 1, 25 and 99
    const [low, keep, high] = [4.19, 6, 11.81] as const;
    expect(built.counts.web!.percentiles!.low).to.be.closeTo(low, 1e-12);
    expect(built.counts.web!.percentiles!.keep).to.be.closeTo(keep, 1e-12);
    expect(built.counts.web!.percentiles!.high).to.be.closeTo(high, 1e-12);
    expect(built.train.map(({ id }) => id)).to.deep.equal(queries.map(({ id }) => id));
    const [first] = built.train;
    expect(first).to.include({ query: 'web query 0', type: 'web', source: 's0' });
    expect(first!.passages.map(({ id }) => id)).to.deep.equal(['s0', 'p0', 'p1']);
    [10, 9, 8].forEach((score, i) =>
      expect(first!.passages[i]!.score).to.be.closeTo((score - low) / (high - low), 1e-12),
    );
    expect(built.train[3]!.passages[0]!.score).to.equal(1);
    expect(built.dev).to.deep.equal([]);
    expect(built.dropped).to.deep.equal([]);
  });

  it('drops queries whose source is not first, ties included, before it takes percentiles', async () => {
    const queries = written(3);
    const scores = queries.map((query) => scoresOf(query, 10));
    scores[1]!.passages[2]!.score = 1000;
    scores[2]!.passages[0]!.score = 10;
    const built = await buildLists(queries, scores, { listLength: 3 });
    expect(built.counts.web).to.deep.include({ scored: 3, sourceNotFirst: 2, kept: 1 });
    expect(built.counts.web!.percentiles!.high).to.be.below(11);
    expect(built.dropped).to.deep.equal([
      {
        query: 'web1',
        type: 'web',
        stage: 'lists',
        filter: 'source not first',
        reason: "source s1 is number 2 by the teacher's score, not the first",
      },
      {
        query: 'web2',
        type: 'web',
        stage: 'lists',
        filter: 'source not first',
        reason: "source s2 is number 2 by the teacher's score, not the first",
      },
    ]);
  });

  it('drops queries whose top score is below the 25th percentile of their type', async () => {
    const queries = written(5);
    const scores = queries.map((query, i) => scoresOf(query, i === 2 ? -20 : 10));
    const built = await buildLists(queries, scores, { listLength: 3 });
    expect(built.dropped).to.deep.equal([
      {
        query: 'web2',
        type: 'web',
        stage: 'lists',
        filter: 'low top score',
        reason: 'top score -20.0000 is below percentile 25 of its type (6.00000)',
      },
    ]);
    expect(built.counts.web).to.deep.include({ lowTopScore: 1, kept: 4 });
    const all = await buildLists(queries, scores, { listLength: 3, keepPercentile: 0 });
    expect(all.dropped).to.deep.equal([]);
  });

  it('takes percentiles per type and pools the lists in the order of the queries', async () => {
    const [a, b] = [written(3, 'web'), written(3, 'claim')];
    const queries = [a[0]!, b[0]!, a[1]!, b[1]!, a[2]!, b[2]!];
    const scores = queries.map((query) => scoresOf(query, query.type === 'web' ? 10 : 1000));
    const built = await buildLists(queries, scores, { listLength: 2, devShare: 0 });
    expect(built.train.map(({ id }) => id)).to.deep.equal(['web0', 'claim0', 'web1', 'claim1', 'web2', 'claim2']);
    for (const list of built.train) expect(list.passages[1]!.score).to.be.within(0.7, 0.8);
  });

  it('drops queries with fewer scores than a list has passages, or without a score of the source', async () => {
    const queries = written(3);
    const scores = [scoresOf(queries[0]!, 5), scoresOf(queries[1]!, 5, 3), scoresOf(queries[2]!, 5, 6)];
    scores[2]!.passages.pop();
    const built = await buildLists(queries, scores, { listLength: 5 });
    expect(built.dropped.map(({ reason }) => reason)).to.deep.equal([
      '4 scored candidates, fewer than 5',
      "source s2 has no score by the teacher's score, not the first",
    ]);
  });

  it('drops a type whose scores are all equal', async () => {
    const queries = written(2);
    const scores = queries.map(({ id, source }) => ({
      query: id,
      passages: [
        { id: source, score: 1 },
        { id: 'p', score: 1 },
      ],
    }));
    const built = await buildLists(queries, scores, { listLength: 2 });
    expect(built.train).to.deep.equal([]);
    expect(built.counts.web!.flat).to.equal(2);
    expect(built.dropped[0]!.reason).to.equal("the teacher's scores of its type are all 1");
  });

  it('names a score that is NaN, and options out of range', async () => {
    const queries = written(1);
    const scores = [scoresOf(queries[0]!, 5)];
    const refused = async (options: object) => (await rejection(buildLists(queries, scores, options))).message;
    expect(await refused({ listLength: 1 })).to.equal(
      'Expected a whole number of at least 2 for listLength but received 1.',
    );
    expect(await refused({ keepPercentile: 120 })).to.contain('for keepPercentile but received 120');
    expect(await refused({ lowPercentile: 99 })).to.contain('a percentile above lowPercentile (99)');
    expect(await refused({ listLength: 3, devShare: 1 })).to.contain('for devShare but received 1');
    scores[0]!.passages[1]!.score = NaN;
    expect(await refused({ listLength: 3 })).to.equal(
      'Expected a finite score for query "web0" and passage "p1" for scores but received NaN.',
    );
  });
});

describe('splitBySource', () => {
  const lists = (count: number): TrainingList[] =>
    Array.from({ length: count }, (_, i) => ({ id: `l${i}`, query: 'x', source: `s${i % 50}`, passages: [] }));

  it('keeps all queries of a passage on one side, a tenth of the passages for dev', async () => {
    const { train, dev } = await splitBySource(lists(200));
    expect(train.length + dev.length).to.equal(200);
    const [trained, held] = [train, dev].map((side) => new Set(side.map(({ source }) => source)));
    expect(held!.size).to.equal(5);
    for (const source of held!) expect(trained!.has(source)).to.equal(false);
  });

  it('depends on the seed and not on the order', async () => {
    const sources = async (given: TrainingList[], seed: number) =>
      [...new Set((await splitBySource(given, { seed })).dev.map(({ source }) => source))].sort();
    const drawn = await sources(lists(200), 1);
    expect(await sources(lists(200).reverse(), 1)).to.deep.equal(drawn);
    expect(await sources(lists(200), 2)).to.not.deep.equal(drawn);
  });

  it('keeps at least one passage for dev, and none where none is asked for', async () => {
    expect((await splitBySource(lists(3))).dev).to.have.length(1);
    expect((await splitBySource(lists(3), { devShare: 0 })).dev).to.have.length(0);
    expect((await splitBySource(lists(1))).dev).to.have.length(0);
  });
});
