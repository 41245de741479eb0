import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { Embeddings } from '../lib/candidates/embeddings.js';
import { LanceRetriever } from '../lib/candidates/lancedb.js';
import { loadCorpus } from '../lib/corpus/corpus.js';
import { Embedder } from '../lib/embedder.js';
import { recordOf } from '../lib/embeddings/file.js';
import { readTrecRun } from '../lib/formats/trec.js';
import { Random } from '../lib/random.js';
import { searchEmbeddings, toRun } from '../lib/search.js';
import { specialize } from '../lib/specialize/specialize.js';
import { randomTexts, temporaryDirectory, writeTinyModel } from './helpers.js';
import { rejection } from './rejection.js';

// Its types are not there where it is not.
const PACKAGE = '@lancedb/lancedb';
const lancedb = await import(PACKAGE).catch(() => undefined);

describe('LanceRetriever', () => {
  const dimension = 8;
  const random = new Random(3);
  const numbers = (rows: number) => Float32Array.from({ length: rows * dimension }, () => random.float() * 2 - 1);
  const passages = Array.from({ length: 400 }, (_, i) => ({
    id: `p${i}`,
    title: '',
    text: `passage ${i} about ${i % 40 === 0 ? 'flutter' : 'lift'}`,
  }));
  const matrix = numbers(passages.length);
  const queries = Array.from({ length: 20 }, (_, i) => ({ id: `q${i}`, text: i % 2 ? 'flutter' : `passage ${i}` }));
  const embedded = new Embeddings(
    queries.map(({ id }) => id),
    numbers(queries.length),
    dimension,
  );
  let directory: string;

  before(async function () {
    if (!lancedb) {
      console.log(`      needs ${PACKAGE}; .ci/run says how it is installed beside the others`);
      this.skip();
    }
    directory = temporaryDirectory();
    const database = await lancedb.connect(directory);
    const row = (i: number) => Array.from(matrix.subarray(i * dimension, (i + 1) * dimension));
    const table = await database.createTable(
      'passages',
      passages.map(({ id, text }, i) => ({ id, text, vector: row(i) })),
    );
    await table.createIndex('text', { config: lancedb.Index.fts() });
    await database.createTable('bare', [{ nr: 1, vector: [1, 2] }]);
  });

  it('finds by vectors what exact search finds', async () => {
    using table = await LanceRetriever.open(join(directory, 'passages'));
    const corpus = await loadCorpus(passages);
    const run = await table.search(queries, 10, { corpus, embedded });
    const best = await searchEmbeddings({ queries: embedded.matrix, corpus: matrix, dimension, k: 10 });
    const expected = await toRun(best, { queryIds: embedded.ids, passageIds: passages.map(({ id }) => id) });
    for (const { id } of queries) {
      expect(run.get(id)!.map((found) => found.id)).to.deep.equal(expected.get(id)!.map((found) => found.id));
      for (const [i, { score }] of run.get(id)!.entries())
        expect(score).to.be.closeTo(expected.get(id)![i]!.score, 1e-5);
    }
  });

  it('finds by text, best first', async () => {
    using table = await LanceRetriever.open(join(directory, 'passages'));
    const run = await table.search(queries, 10, { corpus: await loadCorpus(passages) });
    expect(run.get('q1')!.map(({ id }) => Number(id.slice(1)) % 40)).to.deep.equal(Array(10).fill(0));
    expect(run.get('q4')![0]!.id).to.equal('p4');
    const scores = run.get('q4')!.map(({ score }) => score);
    expect(scores).to.deep.equal([...scores].sort((a, b) => b - a));
  });

  it('names what does not fit', async () => {
    const message = async (place: string) => (await rejection(LanceRetriever.open(join(directory, place)))).message;
    expect(await message('nothing')).to.equal(
      `Expected a LanceDB table nothing in ${directory} but its tables are: bare, passages.`,
    );
    expect(await message('bare')).to.equal(
      `${directory}/bare: Expected a column "_id" or "id" but the table has nr, vector.`,
    );
    using table = await LanceRetriever.open(join(directory, 'passages'));
    const corpus = await loadCorpus(passages.slice(0, 5));
    expect((await rejection(table.search(queries, 10, { corpus, embedded }))).message).to.match(
      /passages: Expected passages of the corpus but for query "q0" it has "p\d+"; is it a table of another corpus\?$/,
    );
    const short = new Embeddings(['q0'], new Float32Array(3), 3);
    const refused = table.search(queries.slice(0, 1), 10, { corpus, embedded: short });
    expect((await rejection(refused)).message).to.match(/LanceDB refuses to search for query "q0": .*dimension: 3/);
  });

  it('is a retriever of specialize, with filters and counts like any other', async () => {
    const home = temporaryDirectory();
    const corpus = randomTexts(40, { longest: 12 }).map((text, i) => ({
      id: `p${i}`,
      title: '',
      text: `${text} ${i}`,
    }));
    const model = writeTinyModel(join(home, 'tiny'));
    const queries = join(home, 'written.jsonl');
    const written = corpus.slice(0, 8).map(({ id, text }) => ({ passage: id, type: 'question', query: text }));
    await writeFile(queries, written.map((query) => `${JSON.stringify(query)}\n`).join(''));
    await using embedder = await Embedder.load(model);
    const vectors = await embedder.encode(corpus.map(({ text }) => text));
    const size = embedder.dimension;
    const rows = corpus.map(({ id, text }, i) => ({
      id,
      text,
      vector: Array.from(vectors.subarray(i * size, (i + 1) * size)),
    }));
    const database = await lancedb.connect(join(home, 'db'));
    const table = await database.createTable('mine', rows);
    await table.createIndex('text', { config: lancedb.Index.fts() });
    const place = join(home, 'db', 'mine');
    const output = join(home, 'run');
    const options = { corpus, model, queries, output, depth: 10, minCandidates: 2, until: 'candidates' as const };
    await specialize({ ...options, retrievers: ['dense', `lancedb:${place}`, `lancedb-text:${place}`] });
    const dense = await readTrecRun(join(output, 'candidates', 'dense.trec'));
    const nearest = await readTrecRun(join(output, 'candidates', 'lancedb-mine.trec'));
    expect(dense.size).to.be.at.least(5);
    for (const [query, found] of dense) {
      for (const [i, { score }] of nearest.get(query)!.entries()) expect(score).to.be.closeTo(found[i]!.score, 1e-4);
    }
    expect((await readTrecRun(join(output, 'candidates', 'lancedb-text-mine.trec'))).size).to.equal(dense.size);
    const record = await recordOf(embedder, {
      model,
      kind: 'passage',
      texts: [],
      signal: new AbortController().signal,
    });
    const withRecord = async (change: object) => {
      await writeFile(`${place}.lance.json`, JSON.stringify({ ...record, ids: [], ...change }));
      const output = join(temporaryDirectory(), 'run');
      return specialize({ ...options, output, retrievers: [`lancedb:${place}`, `lancedb-text:${place}`] });
    };
    const other = await rejection(withRecord({ modelHash: 'f'.repeat(64), model: 'the/other' }));
    expect(other).to.have.property('code', 'BAD_DATA');
    expect(other.message)
      .to.contain(`${place}.lance.json (field "modelHash")`)
      .and.to.contain(`they have the/other and these ${model}`)
      .and.to.contain('write the table anew with this model (`encode`), or leave this retriever out');
    const prompts = { query: 'q: ', passage: '' };
    expect((await rejection(withRecord({ prompts }))).message).to.contain('(field "prompts")');
    await withRecord({ model: 'under/another/name' });
    const missing = specialize({ ...options, retrievers: [`lancedb:${home}/db/other`] });
    expect((await rejection(missing)).message).to.contain('but its tables are: mine.');
  });
});
