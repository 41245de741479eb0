import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { buildLists } from '../lib/lists/build.js';
import { readLists, writeLists } from '../lib/lists/file.js';
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

describe('readLists', () => {
  let file: string;
  const corpus = new Set(['a', 'b', 'c', '7']);

  before(async () => {
    file = join(await mkdtemp(join(tmpdir(), 'listwise-')), 'lists.jsonl');
  });

  const read = async (...lines: unknown[]) => {
    await writeFile(file, lines.map((line) => (typeof line === 'string' ? line : JSON.stringify(line))).join('\n'));
    return readLists(file, { corpus });
  };
  const message = async (...lines: unknown[]) => (await rejection(read(...lines))).message;
  const pair = (...ids: unknown[]) => ids.map((id, i) => ({ id, score: 1 - i / 4 }));

  it('gives back what writeLists wrote, with sources and types or without', async () => {
    const lists: TrainingList[] = [
      { id: 'x', query: 'lift "and"\ndrag', type: 'web', source: 'a', passages: pair('a', 'b') as never },
      { id: 'y', query: 'wing', passages: pair('c', '7') as never },
    ];
    await writeLists(file, lists);
    const back = await readLists(file, { corpus });
    expect(JSON.parse(JSON.stringify(back))).to.deep.equal(lists);
    expect((await readFile(file, 'utf8')).split('\n')).to.have.length(3);
  });

  it('reads lists that never saw the pipeline: no ids, numbers as ids, texts instead of a corpus', async () => {
    const text = (value: string, score: number) => ({ text: value, score });
    const [first, second, third] = await read(
      { query: 'x', passages: pair(7, 'a') },
      '',
      { query: 'y', passages: [text('one', 3), text('two', 1)] },
      { query: 'z', passages: [text('two', 3), { id: 'own', text: 'three', score: 1 }] },
    );
    expect(first!.id).to.equal('1');
    expect(first!.passages[0]!.id).to.equal('7');
    expect(second!.id).to.equal('3');
    expect(second!.passages[1]!.id).to.equal(third!.passages[0]!.id);
    expect(second!.passages[0]!.id).to.not.equal(second!.passages[1]!.id);
    expect(third!.passages[1]).to.deep.equal({ id: 'own', text: 'three', score: 1 });
  });

  it('names both lines of lists that differ in length', async () => {
    expect(
      await message({ query: 'x', passages: pair('a', 'b') }, { query: 'y', passages: pair('a', 'b', 'c') }),
    ).to.equal(
      `${file}:2 (field "passages"): Expected 2 passages, as on line 1, but found 3; ` +
        'give all lists as many, or cut them by listLength.',
    );
    expect(await message({ query: 'x', passages: pair('a') })).to.contain('Expected at least 2 passages');
  });

  it('cuts lists of any lengths to listLength, and names the line of one that is shorter', async () => {
    const lists = [pair('a', 'b'), pair('a', 'b', 'c'), pair('b', 'c', 'a', '7')].map((passages, i) => ({
      query: `q${i}`,
      passages,
    }));
    await writeFile(file, lists.map((list) => JSON.stringify(list)).join('\n'));
    const cut = await readLists(file, { corpus, listLength: 2 });
    expect(cut.map(({ passages }) => passages.map(({ id }) => id).join(' '))).to.deep.equal(['a b', 'a b', 'b c']);
    expect((await rejection(readLists(file, { corpus, listLength: 3 }))).message).to.equal(
      `${file}:1 (field "passages"): Expected at least 3 passages (listLength) but found 2.`,
    );
    expect((await rejection(readLists(file, { corpus, listLength: 1 }))).message).to.equal(
      'Expected a whole number of at least 2 for listLength but received 1.',
    );
  });

  it('names line and id of a passage that is not in the corpus', async () => {
    const good = { query: 'x', passages: pair('a', 'b') };
    expect(await message(good, { query: 'y', passages: pair('a', 'nowhere') })).to.equal(
      `${file}:2 (field "passages[1]"): Expected a passage of the corpus but "nowhere" is not there; ` +
        'check that the lists belong to this corpus.',
    );
    await writeFile(file, JSON.stringify(good));
    expect((await rejection(readLists(file))).message).to.contain('no corpus was given');
  });

  it('says that a score is NaN or infinite where JSON cannot hold it', async () => {
    for (const value of ['NaN', 'Infinity', '-Infinity']) {
      const line = `{"query": "x", "passages": [{"id": "a", "score": 1}, {"id": "b", "score": ${value}}]}`;
      expect(await message({ query: 'x', passages: pair('a', 'b') }, line), value).to.equal(
        `${file}:2: A score is NaN or infinite, which JSON cannot hold; every score must be a finite number.`,
      );
    }
    expect(
      await message('{"query": "x", "passages": [{"id": "a", "score": 1e999}, {"id": "b", "score": 0}]}'),
    ).to.equal(`${file}:1 (field "passages[0].score"): Expected a finite number but found Infinity.`);
  });

  it('names line and field of what is missing, wrong or broken', async () => {
    expect(await message({ passages: pair('a', 'b') })).to.match(/:1 \(field "query"\): Expected a string/);
    expect(await message({ query: ' ', passages: pair('a', 'b') })).to.match(/:1 \(field "query"\): .*white space/);
    expect(await message({ query: 'x' })).to.match(/:1 \(field "passages"\): Expected an array/);
    expect(await message({ query: 'x', passages: ['a', 'b'] })).to.match(/\(field "passages\[0\]"\): .* found "a"\.$/);
    expect(await message({ query: 'x', passages: [{ id: 'a' }] })).to.match(
      /\(field "passages\[0\]\.score"\): Expected a finite number but there is no such field\.$/,
    );
    expect(await message({ query: 'x', passages: [{ score: 1 }] })).to.match(
      /Expected an "id" or a "text" but there is neither/,
    );
    expect(await message({ query: 'x', passages: pair('a', null) })).to.match(
      /\(field "passages\[1\]\.id"\): .* found null\.$/,
    );
    expect(await message({ query: 'x', passages: [{ text: 3, score: 1 }] })).to.match(
      /\(field "passages\[0\]\.text"\)/,
    );
    expect(await message('{"query": "x", ')).to.match(/:1: Expected one JSON object on the line/);
    expect(await message('')).to.contain('Expected training lists');
  });

  it('refuses ids that come twice and one id with two texts', async () => {
    const list = { id: 'same', query: 'x', passages: pair('a', 'b') };
    expect(await message(list, list)).to.match(/:2 \(field "id"\): .* "same" is also the id of line 1\.$/);
    expect(await message({ query: 'x', passages: pair('a', 'b', 'a') })).to.match(
      /\(field "passages\[2\]"\): Expected each passage once in a list but "a" is also passages\[0\]\.$/,
    );
    const text = (value: string) => ({ id: 't', text: value, score: 1 });
    expect(
      await message(
        { query: 'x', passages: [text('one'), ...pair('a')] },
        { query: 'y', passages: [text('two'), ...pair('a')] },
      ),
    ).to.match(/:2 \(field "passages\[0\]"\): Expected one text an id but passage "t" has another text on line 1\.$/);
  });

  it('says what is missing when the file is not there', async () => {
    const error = await rejection(readLists(`${file}.no`, { corpus }));
    expect(error.code).to.equal('NOT_FOUND');
    expect(error.message).to.contain('Expected a JSON Lines file of training lists at');
  });
});
