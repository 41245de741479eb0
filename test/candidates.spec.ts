import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { Bm25Index, type Bm25Options } from '../lib/candidates/bm25.js';
import { Embeddings, embedCorpus, embedQueries } from '../lib/candidates/embeddings.js';
import { reciprocalRankFusion } from '../lib/candidates/fusion.js';
import { readNpy, writeNpy } from '../lib/candidates/npy.js';
import { selectCandidates } from '../lib/candidates/selection.js';
import { terms } from '../lib/candidates/terms.js';
import { loadCorpus } from '../lib/corpus/corpus.js';
import { Random } from '../lib/random.js';
import type { ScoredPassage } from '../lib/types.js';
import { temporaryDirectory } from './helpers.js';
import { rejection } from './rejection.js';

const ranking = (...ids: string[]): ScoredPassage[] => ids.map((id, i) => ({ id, score: 1 - i / 1000 }));

describe('terms', () => {
  it('lower-cases, drops stop words and possessives, and stems', () => {
    expect(terms("The Wing's boundary-layers are FLOWING, ½ élan")).to.deep.equal([
      'wing',
      'boundari',
      'layer',
      'flow',
      '1',
      '2',
      'élan',
    ]);
  });

  it('only cuts words and lower-cases without an analysis', () => {
    expect(terms("The Wing's layers", 'none')).to.deep.equal(['the', "wing's", 'layers']);
  });
});

describe('Bm25Index', () => {
  /** A corpus of made-up words, in which words repeat inside a passage and are common or rare among passages. */
  const texts = (() => {
    const random = new Random(11);
    const word = () => `w${Math.floor(30 * random.float() ** 2)}`;
    return Array.from({ length: 60 }, () => Array.from({ length: 1 + random.integer(40) }, word).join(' '));
  })();
  const corpus = loadCorpus(texts.map((text, i) => ({ id: `p${i}`, title: '', text })));

  function direct(query: string, { bm25K1 = 1.2, bm25B = 0.75, bm25Delta = 0 }: Bm25Options = {}): number[] {
    const passages = texts.map((text) => text.split(' '));
    const average = passages.reduce((sum, { length }) => sum + length, 0) / passages.length;
    return passages.map((words) => {
      let score = 0;
      for (const term of query.split(' ')) {
        const holding = passages.filter((other) => other.includes(term)).length;
        const frequency = words.filter((word) => word === term).length;
        if (frequency === 0) continue;
        const idf = Math.log(1 + (passages.length - holding + 0.5) / (holding + 0.5));
        const norm = bm25K1 * (1 - bm25B + (bm25B * words.length) / average);
        score += idf * (bm25Delta + (frequency * (bm25K1 + 1)) / (frequency + norm));
      }
      return score;
    });
  }

  for (const options of [{}, { bm25K1: 0.9, bm25B: 0.4 }, { bm25K1: 2, bm25B: 1, bm25Delta: 0.5 }]) {
    it(`scores as the formula says with ${JSON.stringify(options)}, terms repeated in the query too`, async () => {
      const index = await Bm25Index.build(await corpus, { ...options, bm25Analysis: 'none' });
      for (const query of ['w3', 'w1 w20 w28', 'w5 w5 w9 nowhere', 'w0 w1 w2 w3 w4 w5 w6']) {
        const expected = direct(query, options);
        const found = new Float64Array(texts.length);
        const { rows, scores } = await index.scores(query);
        rows.forEach((row, i) => (found[row] = scores[i]!));
        expect(rows.length).to.equal(expected.filter((score) => score > 0).length);
        expected.forEach((score, row) => expect(found[row]).to.be.closeTo(score, 1e-9));
      }
    });
  }

  it('returns the best passages, equal ones in the corpus order, and none where no term is known', async () => {
    const same = await loadCorpus(['x y', 'y x', 'y z', 'q'].map((text, i) => ({ id: `p${i}`, title: '', text })));
    const index = await Bm25Index.build(same);
    const run = await index.search(
      [
        { id: 'a', text: 'x y' },
        { id: 'b', text: 'unknown' },
      ],
      2,
    );
    expect(run.get('a')!.map(({ id }) => id)).to.deep.equal(['p0', 'p1']);
    expect(run.get('b')).to.deep.equal([]);
  });

  it('reads titles too, and no more of a passage than a model does', async () => {
    const long = await loadCorpus([{ id: 'p', title: 'Heading', text: `${'filler '.repeat(400)}ending` }]);
    const index = await Bm25Index.build(long);
    expect((await index.scores('heading')).rows).to.have.length(1);
    expect((await index.scores('ending')).rows).to.have.length(0);
  });

  it('refuses parameters out of range', async () => {
    const refused = async (options: Bm25Options) => (await rejection(Bm25Index.build(await corpus, options))).message;
    expect(await refused({ bm25K1: 0 })).to.equal('Expected a number above 0 for bm25K1 but received 0.');
    expect(await refused({ bm25B: 1.5 })).to.equal('Expected a number from 0 to 1 for bm25B but received 1.5.');
    expect(await refused({ bm25Delta: -1 })).to.equal('Expected a number of at least 0 for bm25Delta but received -1.');
  });

  it('stops when aborted', async () => {
    const aborted = AbortSignal.abort(new Error('enough'));
    expect((await rejection(Bm25Index.build(await corpus, { signal: aborted }))).message).to.equal('enough');
  });
});

describe('reciprocalRankFusion', () => {
  it('sums 1 / (60 + rank) over the rankings and breaks ties by id', () => {
    const fused = reciprocalRankFusion([ranking('a', 'b', 'c'), ranking('b', 'd', 'c')]);
    expect(fused.map(({ id }) => id)).to.deep.equal(['b', 'c', 'a', 'd']);
    expect(fused[0]!.score).to.be.closeTo(1 / 62 + 1 / 61, 1e-15);
    expect(fused[1]!.score).to.be.closeTo(2 / 63, 1e-15);
    expect(reciprocalRankFusion([ranking('z'), ranking('b')]).map(({ id }) => id)).to.deep.equal(['b', 'z']);
  });

  it('takes another constant', () => {
    expect(reciprocalRankFusion([ranking('a')], { rrfK: 1 })[0]!.score).to.equal(0.5);
    expect(() => reciprocalRankFusion([], { rrfK: -1 })).to.throw(
      'Expected a number of at least 0 for rrfK but received -1.',
    );
  });
});

describe('selectCandidates', () => {
  const ids = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => `p${from + i}`);
  const query = { id: 'q', text: 'x', source: 'p3', type: 'web' };
  const select = (runs: Record<string, string[]>, unusable: string[] = [], options = {}) =>
    selectCandidates(
      {
        queries: [query],
        runs: new Map(Object.entries(runs).map(([name, found]) => [name, new Map([['q', ranking(...found)]])])),
        unusable: new Set(unusable),
      },
      options,
    );

  it('closes ranks up over unusable passages before it looks where the source is', async () => {
    const found = [...ids(100, 119), 'p3', ...ids(200, 220)];
    expect((await select({ dense: found })).dropped[0]!.reason).to.equal(
      'source p3 is not among the top 20 (dense: rank 21)',
    );
    const { fused, dropped } = await select({ dense: found }, ['p100']);
    expect(dropped).to.deep.equal([]);
    expect(fused.get('q')!.map(({ id }) => id)).to.deep.equal(found.slice(1));
    expect(fused.get('q')![0]!.score).to.equal(1 / 61);
  });

  it('fuses only the retrievers that have the source among the best', async () => {
    const { fused, counts } = await select({ dense: ids(1, 25), bm25: ids(30, 60) });
    expect(fused.get('q')!.map(({ id }) => id)).to.deep.equal(ids(1, 25));
    expect(counts).to.deep.equal({
      web: { queries: 1, sourceTooLow: { dense: 0, bm25: 1 }, droppedByAll: 0, tooFewCandidates: 0, kept: 1 },
    });
  });

  it('drops a query that no retriever keeps, with where its source was in each', async () => {
    const { fused, dropped, counts } = await select({ dense: ids(4, 60), bm25: [...ids(10, 49), 'p3'] });
    expect(fused.size).to.equal(0);
    expect(dropped).to.deep.equal([
      {
        query: 'q',
        type: 'web',
        stage: 'candidates',
        filter: 'source rank',
        reason: 'source p3 is not among the top 20 (dense: not found, bm25: rank 41)',
      },
    ]);
    expect(counts.web).to.include({ droppedByAll: 1, kept: 0 });
  });

  it('drops a query with fewer than 20 candidates', async () => {
    expect((await select({ dense: ids(1, 20) })).dropped).to.deep.equal([]);
    const { dropped, counts } = await select({ dense: ids(1, 20) }, ['p20']);
    expect(dropped[0]!.reason).to.equal('19 candidates, fewer than 20');
    expect(counts.web!.tooFewCandidates).to.equal(1);
  });

  it('reads its options', async () => {
    expect((await select({ dense: ids(1, 5) }, [], { minCandidates: 5 })).dropped).to.deep.equal([]);
    expect((await select({ dense: ids(1, 30) }, [], { maxSourceRank: 2 })).dropped[0]!.reason).to.contain('the top 2 ');
    expect((await select({ dense: ids(1, 30) }, [], { rrfK: 1 })).fused.get('q')![0]!.score).to.equal(0.5);
    expect((await rejection(select({}, [], { maxSourceRank: 0 }))).message).to.equal(
      'Expected a whole number above 0 for maxSourceRank but received 0.',
    );
  });
});

describe('Embeddings', () => {
  const encoder = {
    dimension: 2,
    asked: [] as string[],
    async encode(texts: readonly string[], { kind }: { kind?: string } = {}) {
      this.asked.push(...texts.map((text) => `${kind}: ${text}`));
      return Float32Array.from(texts.flatMap((text) => [text.length, 1]));
    },
  };

  it('holds passages by id and row, read as a model reads them', async () => {
    const corpus = await loadCorpus([
      { id: 'a', title: 'T', text: 'one' },
      { id: 'b', title: '', text: 'x\ny' },
    ]);
    const passages = await embedCorpus(encoder, corpus);
    expect(encoder.asked.splice(0)).to.deep.equal(['passage: T one', 'passage: x y']);
    expect(Array.from(passages.get('b'))).to.deep.equal([3, 1]);
    expect(Array.from(passages.row(0))).to.deep.equal([5, 1]);
    const queries = await embedQueries(encoder, [{ id: 'q', text: 'why' }]);
    expect(encoder.asked).to.deep.equal(['query: why']);
    expect(Array.from(queries.get('q'))).to.deep.equal([3, 1]);
    expect(() => queries.get('r')).to.throw('Expected one of 1 embedded texts for id but received "r".');
  });

  it('refuses a matrix of another size', () => {
    expect(() => new Embeddings(['a'], new Float32Array(3), 2)).to.throw(
      'Expected 1 × 2 numbers for matrix but received Float32Array(3).',
    );
  });
});

describe('writeNpy', () => {
  it('writes what readNpy reads, bit for bit, with the numbers at a multiple of 64 bytes', async () => {
    const file = join(temporaryDirectory(), 'deep', 'm.npy');
    const values = Float32Array.from([1.5, -0, 3e-42, Number.MAX_VALUE, 0.1, 7]);
    await writeNpy(file, { rows: 2, columns: 3, values });
    const back = await readNpy(file);
    expect([back.rows, back.columns]).to.deep.equal([2, 3]);
    expect(Buffer.from(back.values.buffer).equals(Buffer.from(values.buffer))).to.equal(true);
    const bytes = await readFile(file);
    expect((bytes.length - values.byteLength) % 64).to.equal(0);
    expect(bytes.toString('latin1', 10, 69)).to.contain("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }");
  });

  it('makes a file that readNpy refuses once it is cut short, or is none at all', async () => {
    const file = join(temporaryDirectory(), 'm.npy');
    await writeNpy(file, { rows: 2, columns: 3, values: new Float32Array(6) });
    const bytes = await readFile(file);
    await writeFile(file, bytes.subarray(0, bytes.length - 4));
    expect((await rejection(readNpy(file))).message).to.contain(
      'Expected 2 × 3 numbers but the file ends after 20 bytes',
    );
    await writeFile(file, 'something else');
    expect((await rejection(readNpy(file))).message).to.contain('the first bytes are others');
    expect((await rejection(readNpy(`${file}.no`))).code).to.equal('NOT_FOUND');
  });
});
