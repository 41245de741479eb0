import { readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { EmbeddingsFile, encodeCorpus } from '../lib/candidates/embeddings-file.js';
import { narrowed, readNpy, widened } from '../lib/candidates/npy.js';
import { parseRetrievers, RunRetriever } from '../lib/candidates/retrievers.js';
import { type Corpus, loadCorpus } from '../lib/corpus/corpus.js';
import type { EncodeTexts, TextEmbedder } from '../lib/evaluation/retrieval.js';
import { hash32, Random } from '../lib/random.js';
import { searchEmbeddings } from '../lib/search.js';
import { specialize } from '../lib/specialize/specialize.js';
import { randomTexts, temporaryDirectory, writeTinyModel } from './helpers.js';
import { rejection } from './rejection.js';

const dimension = 8;

/** Numbers that follow from the text; counts texts, and fails after some. */
class FakeEmbedder implements TextEmbedder {
  readonly dimension = dimension;
  encoded = 0;
  constructor(readonly failAfter = Number.POSITIVE_INFINITY) {}

  async encode(texts: readonly string[], { onProgress }: EncodeTexts): Promise<Float32Array> {
    if (this.encoded >= this.failAfter) throw new Error('power cut');
    this.encoded += texts.length;
    onProgress?.({ stage: 'encoding', done: texts.length, total: texts.length, unit: 'passages' });
    const rows = texts.map((text) => {
      const random = new Random(hash32(text));
      return Array.from({ length: dimension }, () => random.float() * 2 - 1);
    });
    return Float32Array.from(rows.flat());
  }
}

const corpusOf = (count: number): Promise<Corpus> =>
  loadCorpus(Array.from({ length: count }, (_, i) => ({ id: `p${i}`, title: '', text: `text ${i}` })));

describe('narrowed', () => {
  it('rounds to the nearest bf16 number, halfway to the even one, and keeps what is not finite', () => {
    const random = new Random(4);
    const values = Float32Array.from({ length: 5000 }, () => (random.float() - 0.5) * 10 ** (random.integer(20) - 10));
    for (const [i, value] of values.entries()) {
      const found = widened(narrowed(values.subarray(i, i + 1)))[0]!;
      const below = widened(Uint16Array.of(new Uint32Array(Float32Array.of(value).buffer)[0]! >>> 16))[0]!;
      const above = widened(Uint16Array.of((new Uint32Array(Float32Array.of(value).buffer)[0]! >>> 16) + 1))[0]!;
      expect([below, above]).to.include(found);
      expect(Math.abs(found - value)).to.equal(Math.min(Math.abs(below - value), Math.abs(above - value)));
    }
    const bits = (number: number) => Float32Array.from(new Float32Array(Uint32Array.of(number).buffer));
    expect([...narrowed(bits(0x3f808000)), ...narrowed(bits(0x3f818000))]).to.deep.equal([0x3f80, 0x3f82]);
    expect([...widened(narrowed(Float32Array.of(Infinity, -Infinity, NaN)))]).to.deep.equal([Infinity, -Infinity, NaN]);
  });
});

describe('encodeCorpus', () => {
  it('goes on with the shard that was not finished, and gives the file of a run without a stop', async () => {
    const corpus = await corpusOf(40_000);
    const directory = temporaryDirectory();
    const [whole, stopped] = [join(directory, 'whole.npy'), join(directory, 'stopped.npy')];
    for (const type of ['fp32', 'bf16'] as const) {
      await encodeCorpus(whole, { embedder: new FakeEmbedder(), corpus, type, key: 'k' });
      const cut = new FakeEmbedder(20_000);
      expect((await rejection(encodeCorpus(stopped, { embedder: cut, corpus, type, key: 'k' }))).message).to.equal(
        'power cut',
      );
      expect(await readdir(directory))
        .to.include('stopped.npy.partial')
        .and.to.not.include('stopped.npy');
      // What the disk did not get whole is done again.
      const again = new FakeEmbedder();
      await encodeCorpus(stopped, { embedder: again, corpus, type, key: 'k' });
      expect(cut.encoded).to.equal(5 * 4096);
      expect(again.encoded).to.equal(40_000 - cut.encoded);
      expect((await readFile(stopped)).equals(await readFile(whole))).to.equal(true);
      expect((await readdir(directory)).sort()).to.deep.equal(['stopped.npy', 'whole.npy']);
      await rm(stopped);
    }
  });

  it('begins anew under another key, and where the begun file has lost bytes', async () => {
    const corpus = await corpusOf(20_000);
    const file = join(temporaryDirectory(), 'a.npy');
    const begin = (key: string) => rejection(encodeCorpus(file, { embedder: new FakeEmbedder(16_384), corpus, key }));
    await begin('one');
    const other = new FakeEmbedder();
    await encodeCorpus(file, { embedder: other, corpus, key: 'two' });
    expect(other.encoded).to.equal(20_000);
    await begin('three');
    await truncate(`${file}.partial`, 1000);
    const short = new FakeEmbedder();
    await encodeCorpus(file, { embedder: short, corpus, key: 'three' });
    expect(short.encoded).to.equal(20_000);
  });
});

describe('EmbeddingsFile', () => {
  it('finds what a search in memory finds, over several blocks, in fp32 and bf16', async () => {
    const corpus = await corpusOf(5000);
    const queries = await new FakeEmbedder().encode(['one', 'two', 'three'], { kind: 'query' });
    for (const type of ['fp32', 'bf16'] as const) {
      const file = join(temporaryDirectory(), 'all.npy');
      await encodeCorpus(file, { embedder: new FakeEmbedder(), corpus, type, key: 'k' });
      await using passages = await EmbeddingsFile.open(file);
      expect([passages.rows, passages.dimension, passages.type]).to.deep.equal([5000, dimension, type]);
      const { values } = await readNpy(file);
      const done: number[] = [];
      const onProgress = (progress: { done: number }) => done.push(progress.done);
      const found = await passages.search(queries, 50, { blockRows: 1700, onProgress });
      expect(done).to.deep.equal([1, 2, 3]);
      expect(found).to.deep.equal(await searchEmbeddings({ queries, corpus: values, dimension, k: 50 }));
      expect(await passages.search(queries, 50)).to.deep.equal(found);
      expect(passages.row(4999)).to.deep.equal(values.subarray(4999 * dimension));
    }
  });

  it('searches some of the rows, in whatever order, over several blocks', async () => {
    const corpus = await corpusOf(5000);
    const queries = await new FakeEmbedder().encode(['one', 'two'], { kind: 'query' });
    const all = Array.from({ length: 5000 }, (_, row) => row);
    const orders = [all.filter((row) => row % 7 > 1), new Random(3).shuffle(all).slice(0, 900), [17]];
    for (const type of ['fp32', 'bf16'] as const) {
      const file = join(temporaryDirectory(), 'some.npy');
      await encodeCorpus(file, { embedder: new FakeEmbedder(), corpus, type, key: 'k' });
      const { values } = await readNpy(file);
      await using passages = await EmbeddingsFile.open(file);
      for (const rows of orders) {
        const picked = Float32Array.from(
          rows.flatMap((row) => [...values.subarray(row * dimension, (row + 1) * dimension)]),
        );
        const blocks: Float32Array[] = [];
        for await (const block of passages.pick(rows, { blockRows: 256 })) blocks.push(widened(block));
        expect(blocks).to.have.length(Math.ceil(rows.length / 256));
        expect(Float32Array.from(blocks.flatMap((block) => [...block]))).to.deep.equal(picked);
        const found = await passages.search(queries, 20, { rows });
        expect(found).to.deep.equal(await searchEmbeddings({ queries, corpus: picked, dimension, k: 20 }));
      }
    }
  });

  it('refuses a file that is shorter than its header says', async () => {
    const file = join(temporaryDirectory(), 'a.npy');
    await encodeCorpus(file, { embedder: new FakeEmbedder(), corpus: await corpusOf(10), key: 'k' });
    const { size } = await stat(file);
    await truncate(file, size - 4);
    expect((await rejection(EmbeddingsFile.open(file))).message).to.equal(
      `${file}: Expected ${size} bytes for 10 × 8 numbers but the file has ${size - 4}.`,
    );
  });
});

describe('parseRetrievers', () => {
  it('gives each a name for its files', () => {
    const names = parseRetrievers(['dense', 'bm25', 'model:BAAI/bge-small', 'run:a/my run.trec', 'run:b/my run.trec']);
    expect(names.map(({ name }) => name)).to.deep.equal([
      ...['dense', 'bm25', 'model-bge-small', 'run-my_run.trec', 'run-my_run.trec+2'],
    ]);
  });

  it('refuses what is none, and one that comes twice', () => {
    for (const wrong of [[], 'dense', ['splade'], ['model:'], [3]]) {
      expect(() => parseRetrievers(wrong)).to.throw(/^Expected one or more of 'dense', 'bm25', 'model:/);
    }
    expect(() => parseRetrievers(['bm25', 'bm25'])).to.throw(
      'Expected each retriever once for retrievers but received "bm25".',
    );
  });
});

describe('RunRetriever', () => {
  it('takes the first passages of each query, and names what does not fit', async () => {
    const file = join(temporaryDirectory(), 'r.trec');
    await writeFile(file, 'q Q0 p1 1 9 x\nq Q0 p2 2 8 x\nq Q0 p0 3 7 x\nother Q0 p0 1 1 x\n');
    const queries = [
      { id: 'q', text: '' },
      { id: 'r', text: '' },
    ];
    const run = await new RunRetriever(file).search(queries, 2, { corpus: await corpusOf(3) });
    expect([...run]).to.deep.equal([
      [
        'q',
        [
          { id: 'p1', score: 9 },
          { id: 'p2', score: 8 },
        ],
      ],
    ]);
    expect(
      (await rejection(new RunRetriever(file).search(queries, 2, { corpus: await corpusOf(2) }))).message,
    ).to.equal(
      `${file}: Expected passages of the corpus but for query "q" it has "p2"; is it a run over another corpus?`,
    );
    expect(
      (await rejection(new RunRetriever(file).search(queries.slice(1), 2, { corpus: await corpusOf(3) }))).message,
    ).to.equal(`${file}: Expected results for the queries of queries.jsonl (such as "r") but has none.`);
  });
});

describe('specialize with several retrievers', () => {
  it('fuses the model, a further embedder, BM25 and a run from a file, each with its own filter and counts', async () => {
    const home = temporaryDirectory();
    const corpus = randomTexts(60, { longest: 12 }).map((text, i) => ({
      id: `p${i}`,
      title: '',
      text: `${text} x${'abcdefghij'[i % 10]}`,
    }));
    const written = corpus.slice(0, 12).map(({ id, text }, i) => ({
      passage: id,
      type: i % 2 ? 'keywords' : 'question',
      query: text.split(' ').slice(0, 4).join(' '),
    }));
    const queries = join(home, 'written.jsonl');
    await writeFile(queries, written.map((query) => `${JSON.stringify(query)}\n`).join(''));
    const model = writeTinyModel(join(home, 'tiny'));
    const other = writeTinyModel(join(home, 'other'), { seed: 2 });
    const options = { corpus, model, queries, output: join(home, 'run'), until: 'candidates' as const };
    const common = { ...options, depth: 30, minCandidates: 5, maxSourceRank: 10, embeddingsType: 'bf16' as const };
    await specialize({ ...common, retrievers: ['dense'] });
    const ids = (await readFile(join(home, 'run', 'queries.jsonl'), 'utf8'))
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line).id);
    const run = join(home, 'mine.trec');
    await writeFile(run, ids.map((id: string, i: number) => (i === 0 ? '' : `${id} Q0 p${i} 1 1 mine\n`)).join(''));
    const retrievers = ['dense', 'bm25', `model:${other}`, `run:${run}`] as const;
    const nowhere = await rejection(specialize({ ...common, retrievers: ['dense', 'model:nowhere'] }));
    expect(nowhere.message).to.equal(
      'Expected a directory or a Hub name "owner/name" for retrievers but received "nowhere"; give the owner as well, ' +
        'such as sentence-transformers/nowhere, or a path such as ./nowhere.',
    );
    const { stages } = await specialize({ ...common, retrievers });
    const { byType } = stages.candidates!.counts as {
      byType: Record<string, { sourceTooLow: Record<string, number>; queries: number }>;
    };
    for (const counts of Object.values(byType)) {
      expect(Object.keys(counts.sourceTooLow)).to.deep.equal(['dense', 'bm25', 'model-other', 'run-mine.trec']);
      expect(counts.queries).to.equal(6);
    }
    // The first query, a question, is not in the run from the file.
    expect(byType['question']!.sourceTooLow['run-mine.trec']).to.equal(1);
    expect(byType['keywords']!.sourceTooLow['run-mine.trec']).to.equal(0);
    const files = await readdir(join(home, 'run', 'candidates'));
    expect(files).to.include.members([
      'dense.trec',
      'bm25.trec',
      'model-other.trec',
      'run-mine.trec.trec',
      'fused.trec',
    ]);
    const kept = join(home, 'run', 'embeddings', 'model-other.npy');
    const { mtimeMs, size } = await stat(kept);
    expect(size).to.be.lessThan(60 * 32 * 4 + 200);
    await specialize({ ...common, retrievers, depth: 20 });
    expect((await stat(kept)).mtimeMs).to.equal(mtimeMs);
    await writeFile(run, 'nobody Q0 p1 1 1 mine\n');
    expect((await rejection(specialize({ ...common, retrievers }))).message).to.contain('but has none.');
  });
});
