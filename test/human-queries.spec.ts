import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { selectCandidates } from '../lib/candidates/selection.js';
import { loadCorpus } from '../lib/corpus/corpus.js';
import { resemblance } from '../lib/corpus/resemblance.js';
import { readTrecRun } from '../lib/formats/trec.js';
import { buildLists } from '../lib/lists/build.js';
import { readLists } from '../lib/lists/file.js';
import { groupSources } from '../lib/lists/groups.js';
import { withoutNearDuplicates } from '../lib/lists/near-duplicates.js';
import { splitBySource } from '../lib/lists/split.js';
import { readHumanQueries } from '../lib/queries/human.js';
import { specialize } from '../lib/specialize/specialize.js';
import type { Query, TrainingList } from '../lib/types.js';
import { temporaryDirectory, writeTinyModel } from './helpers.js';
import { rejection } from './rejection.js';
import { jsonl, PASSAGES, tinyRun, writeCollection } from './tiny-run.js';

const lines = (file: string) => readFileSync(file, 'utf8').trimEnd().split('\n');

/** A BEIR directory of queries and judgements. */
function writeJudged(queries: Record<string, Record<string, number>>, split = 'train'): string {
  const directory = temporaryDirectory();
  mkdirSync(join(directory, 'qrels'));
  const records = Object.keys(queries).map((id) => ({ _id: id, text: `text of ${id}` }));
  writeFileSync(join(directory, 'queries.jsonl'), jsonl(records));
  const qrels = Object.entries(queries).flatMap(([id, grades]) =>
    Object.entries(grades).map(([passage, grade]) => `${id}\t${passage}\t${grade}`),
  );
  writeFileSync(join(directory, 'qrels', `${split}.tsv`), `query-id\tcorpus-id\tscore\n${qrels.join('\n')}\n`);
  return directory;
}

describe('readHumanQueries', () => {
  const corpus = loadCorpus(['a', 'b', 'c', 'd'].map((id) => ({ id, title: '', text: `passage ${id}` })));

  it('takes the usable relevant passages, best grade first, and says why a query has none', async () => {
    const directory = writeJudged({
      '1': { a: 1, b: 3, c: 0, d: 2 },
      '2': { a: 0 },
      '3': { nowhere: 1 },
      '4': { c: 1 },
      'of-test': { a: 1 },
    });
    const unusable = new Map([
      ['d', 'is too short'],
      ['c', 'is contained in a'],
    ]);
    const read = await readHumanQueries(directory, 'train', {
      ...{ corpus: await corpus, unusable, isTested: ({ id }) => id === 'of-test' },
    });
    expect(read.queries).to.deep.equal([{ id: 'human:1', type: 'human', text: 'text of 1', relevant: ['b', 'a'] }]);
    expect(read.unusable).to.deep.equal([
      { id: 'human:2', filter: 'no relevant passage', reason: 'no passage was judged relevant' },
      { id: 'human:3', filter: 'no relevant passage', reason: 'no relevant passage is in the corpus' },
      { id: 'human:4', filter: 'unusable source', reason: 'relevant passage c is contained in a' },
      { id: 'human:of-test', filter: 'test query', reason: 'it is a query of the test set' },
    ]);
  });

  it('says so when the judgements are of another corpus', async () => {
    const directory = writeJudged({ '1': { x: 1 } });
    const error = await rejection(readHumanQueries(directory, 'train', { corpus: await corpus, unusable: new Map() }));
    expect(error.message).to.contain('Expected relevant passages of split "train" in the corpus (4 passages)');
  });
});

describe('lists of human queries', () => {
  const query: Query = { id: 'human:1', text: 'x', type: 'human', relevant: ['r1', 'r2'] };
  const run = (...ids: string[]) => new Map([['human:1', ids.map((id, i) => ({ id, score: -i }))]]);

  it('are kept where any relevant passage is among the top', async () => {
    const options = { maxSourceRank: 2, minCandidates: 1 };
    const select = (...ids: string[]) =>
      selectCandidates({ queries: [query], runs: new Map([['dense', run(...ids)]]), unusable: new Set() }, options);
    expect((await select('a', 'r2', 'r1')).dropped).to.deep.equal([]);
    const { dropped } = await select('a', 'b', 'r1', 'r2');
    expect(dropped[0]).to.deep.include({
      filter: 'source rank',
      reason: 'no relevant passage is among the top 2 (dense: rank 3)',
    });
  });

  it('begin with the relevant passage that the teacher puts first, and leave others where it puts them', async () => {
    const build = (scores: Record<string, number>) =>
      buildLists(
        [query],
        [{ query: 'human:1', passages: Object.entries(scores).map(([id, score]) => ({ id, score })) }],
        { listLength: 3, devShare: 0, keepPercentile: 0 },
      );
    const built = await build({ a: 1, r1: 2, b: 3, r2: 9 });
    expect(built.train[0]).to.include({ id: 'human:1', type: 'human', source: 'r2' });
    expect(built.train[0]!.passages.map(({ id }) => id)).to.deep.equal(['r2', 'b', 'r1']);
    expect((await build({ a: 7, r1: 2, r2: 5 })).dropped[0]!.reason).to.equal(
      "the first relevant passage is number 2 by the teacher's score, not the first",
    );
    expect((await build({ a: 1, b: 2, c: 3 })).dropped[0]!.reason).to.equal('no relevant passage has a score');
  });
});

describe('splitBySource with several sources a list', () => {
  it('puts no passage on both sides, whatever connects the lists', async () => {
    const sources: Record<string, string[]> = {};
    for (let i = 0; i < 40; i++) sources[`l${i}`] = [`s${i}`, ...(i % 4 === 0 ? [`s${i + 1}`, `s${i + 2}`] : [])];
    const lists: TrainingList[] = Object.keys(sources).map((id) => ({ id, query: id, passages: [] }));
    const { train, dev } = await splitBySource(lists, { devShare: 0.3, sourcesOf: ({ id }) => sources[id]! });
    expect(train.length + dev.length).to.equal(40);
    expect(dev.length).to.be.within(3, 25);
    const inTrain = new Set(train.flatMap(({ id }) => sources[id]!));
    for (const { id } of dev) for (const source of sources[id]!) expect(inTrain.has(source)).to.equal(false);
  });

  it('names a group by its first source', () => {
    const groups = groupSources(['a', 'b', 'c', 'd', 'e'], [['d', 'b'], ['c'], ['e', 'd']]);
    expect(Object.fromEntries(groups)).to.deep.equal({ a: 'a', b: 'b', c: 'c', d: 'b', e: 'b' });
  });
});

describe('resemblance', () => {
  it('is the share of three-word sequences in common, of the texts as compared', () => {
    // "one two three four" and "one two three five" share 1 of 3 sequences.
    expect(resemblance('One two, three four!', 'one two three five')).to.be.closeTo(1 / 3, 1e-12);
    expect(resemblance('Lift of wings (1958).', 'lift OF wings')).to.equal(1);
    expect(resemblance('drag', 'lift')).to.equal(0);
  });
});

describe('withoutNearDuplicates', () => {
  it('takes out what is nearly the positive, and never a positive', async () => {
    const texts: Record<string, string> = {
      s: 'the flow past a flat plate at high speed',
      t: 'the flow past a flat plate at high speeds',
      u: 'heat transfer to a cone',
      r: 'the flow past a flat plate at high speed',
    };
    const textOf = (id: string) => texts[id]!;
    const passages = ['u', 't', 's', 'r'].map((id) => ({ id }));
    const left = await withoutNearDuplicates(passages, new Set(['s', 'r']), { threshold: 0.7, textOf });
    expect(left.map(({ id }) => id)).to.deep.equal(['u', 's', 'r']);

    const query: Query = { id: 'q', text: 'x', source: 's' };
    const scores = { t: 9, s: 8, u: 1 };
    const scored = [{ query: 'q', passages: Object.entries(scores).map(([id, score]) => ({ id, score })) }];
    const options = { listLength: 2, devShare: 0, textOf };
    expect((await buildLists([query], scored, options)).counts.untyped).to.include({ sourceNotFirst: 1 });
    const built = await buildLists([query], scored, { ...options, nearDuplicateThreshold: 0.7 });
    expect(built.counts.untyped).to.include({ sourceNotFirst: 0, nearDuplicates: 1, kept: 1 });
    expect(built.train[0]!.passages.map(({ id }) => id)).to.deep.equal(['s', 'u']);
  });
});

describe('specialize with human queries', function () {
  this.timeout(60_000);
  let collection: string;
  let model: string;

  before(() => {
    collection = writeCollection();
    model = writeTinyModel();
    // Training judgements of other queries, one of which is a test query too.
    const corpus = lines(join(collection, 'corpus.jsonl')).map((line) => JSON.parse(line));
    const judged = [3, 8, 13, 18, 23, 28, 38, 43, 48, 53];
    const queries = judged.map((i) => ({ _id: `h${i}`, text: corpus[i].text.split(' ').slice(0, 6).join(' ') }));
    writeFileSync(join(collection, 'queries.jsonl'), jsonl(queries), { flag: 'a' });
    const qrels = [...judged.map((i) => `h${i}\tp${i}\t1`), 'h3\tp4\t2', 't7\tp7\t1'];
    writeFileSync(join(collection, 'qrels', 'train.tsv'), qrels.join('\n'));
  });

  it('trains on them alone', async () => {
    const given = tinyRun({ collection, model, queries: undefined, humanQueries: collection, data: collection });
    const { stages, directory } = await specialize({ ...given, keepPercentile: 0 });
    expect(stages.queries!.counts).to.include({ read: 11, kept: 10, dropped: 1, human: 10 });
    const corpus = new Set(Array.from({ length: PASSAGES }, (_, i) => `p${i}`));
    const train = await readLists(join(directory, 'lists.train.jsonl'), { corpus });
    expect(train.length).to.be.above(1);
    for (const { id, type, source, passages } of train) {
      expect(type).to.equal('human');
      expect(passages[0]!.id).to.equal(source);
      expect(id === 'human:h3' ? ['p3', 'p4'] : [`p${id.slice('human:h'.length)}`]).to.include(source);
    }
    const dropped = lines(join(directory, 'dropped.jsonl')).map((line) => JSON.parse(line));
    expect(dropped.find(({ query }) => query === 'human:t7')).to.include({ filter: 'test query' });
    expect((stages.training!.counts as { steps: number }).steps).to.equal(3);
  });

  it('does not train on what another directory tests, which it knows by its words', async () => {
    const data = join(temporaryDirectory(), 'data');
    cpSync(collection, data, { recursive: true });
    const [tested, other] = lines(join(collection, 'queries.jsonl'))
      .map((line) => JSON.parse(line))
      .filter(({ _id }) => _id.startsWith('h'));
    // The second is not judged, so it is not tested.
    const inData = [
      { _id: 'q1', text: `${tested.text.toUpperCase()} ?` },
      { _id: 'q2', text: other.text },
    ];
    writeFileSync(join(data, 'queries.jsonl'), jsonl(inData));
    writeFileSync(join(data, 'qrels', 'test.tsv'), 'query-id\tcorpus-id\tscore\nq1\tp1\t1\n');
    const given = tinyRun({ collection, model, queries: undefined, humanQueries: collection, data, until: 'queries' });
    const { directory, stages } = await specialize(given);
    const dropped = lines(join(directory, 'queries.dropped.jsonl')).map((line) => JSON.parse(line));
    expect(dropped.filter(({ filter }) => filter === 'test query').map(({ query }) => query)).to.deep.equal([
      `human:${tested._id}`,
    ]);
    const kept = lines(join(directory, 'queries.jsonl')).map((line) => JSON.parse(line).id);
    expect(kept).to.include(`human:${other._id}`);
    // Another test set, other queries to train on.
    writeFileSync(join(data, 'queries.jsonl'), jsonl([{ _id: 'q1', text: other.text }]));
    const again = await specialize(given);
    expect(again.stages.queries!.counts).to.deep.equal(stages.queries!.counts);
    const left = lines(join(directory, 'queries.jsonl')).map((line) => JSON.parse(line).id);
    expect(left).to.include(`human:${tested._id}`).and.to.not.include(`human:${other._id}`);
  });

  it('mixes them with written ones', async () => {
    const given = tinyRun({ collection, model, humanQueries: collection, until: 'lists' });
    const { stages, directory } = await specialize(given);
    const { byType } = stages.lists!.counts as { byType: Record<string, { scored: number }> };
    expect(Object.keys(byType).sort()).to.deep.equal(['human', 'title', 'web']);
    const fused = await readTrecRun(join(directory, 'candidates', 'fused.trec'));
    expect([...fused.keys()].filter((id) => id.startsWith('human:')).length).to.be.above(5);
  });

  it('refuses to train on what it tests on, and to train on nothing', async () => {
    const given = tinyRun({ collection, model, humanQueries: collection, data: collection, humanSplit: 'test' });
    expect((await rejection(specialize(given))).message).to.equal(
      'Expected another split than the one that it is tested on for humanSplit but received "test"; ' +
        'the model would be tested on what it was trained on.',
    );
    expect((await rejection(specialize(tinyRun({ collection, model, queries: undefined })))).message).to.equal(
      'Expected a file of written queries, or humanQueries, or a language model (llmModel, llmGguf, llmEndpoints), for queries but received undefined.',
    );
    const threshold = tinyRun({ collection, model, nearDuplicateThreshold: 2 });
    expect((await rejection(specialize(threshold))).message).to.contain('for nearDuplicateThreshold but received 2');
  });
});
