import { expect } from 'chai';
import { InvalidArgumentError } from '../lib/errors.js';
import { Random } from '../lib/random.js';
import { searchEmbeddings, toRun } from '../lib/search.js';
import type { Progress } from '../lib/types.js';
import { rejection } from './rejection.js';

/** Rows of numbers in [-1, 1), with one decimal place where `coarse`, so that products are equal often. */
function matrix(
  rows: number,
  dimension: number,
  { seed, coarse = false }: { seed: number; coarse?: boolean },
): Float32Array {
  const random = new Random(seed);
  const number = () => (coarse ? random.integer(3) - 1 : random.float() * 2 - 1);
  return Float32Array.from({ length: rows * dimension }, number);
}

/** All products, sorted: best first, equal ones by row. */
function bruteForce(query: Float32Array, corpus: Float32Array, k: number): { row: number; score: number }[] {
  const scores: { row: number; score: number }[] = [];
  for (let row = 0; row * query.length < corpus.length; row++) {
    const passage = corpus.subarray(row * query.length, (row + 1) * query.length);
    scores.push({ row, score: query.reduce((sum, value, i) => sum + value * (passage[i] as number), 0) });
  }
  return scores.sort((a, b) => b.score - a.score || a.row - b.row).slice(0, k);
}

describe('searchEmbeddings', () => {
  it('finds the rows with the highest inner products, in order', async () => {
    const dimension = 12;
    const queries = matrix(7, dimension, { seed: 1 });
    const corpus = matrix(500, dimension, { seed: 2 });
    const { rows, scores } = await searchEmbeddings({ queries, corpus, dimension, k: 10 });
    for (let q = 0; q < 7; q++) {
      const expected = bruteForce(queries.subarray(q * dimension, (q + 1) * dimension), corpus, 10);
      expect([...rows.subarray(q * 10, (q + 1) * 10)]).to.deep.equal(expected.map(({ row }) => row));
      for (const [i, { score }] of expected.entries()) expect(scores[q * 10 + i]).to.be.closeTo(score, 1e-5);
    }
  });

  it('orders equal scores by row', async () => {
    const dimension = 3;
    const queries = matrix(5, dimension, { seed: 3, coarse: true });
    const corpus = matrix(200, dimension, { seed: 4, coarse: true });
    const { rows } = await searchEmbeddings({ queries, corpus, dimension, k: 40 });
    for (let q = 0; q < 5; q++) {
      const expected = bruteForce(queries.subarray(q * dimension, (q + 1) * dimension), corpus, 40);
      expect([...rows.subarray(q * 40, (q + 1) * 40)]).to.deep.equal(expected.map(({ row }) => row));
    }
  });

  it('gives the same over several blocks of queries and of the corpus as one query at a time', async () => {
    const dimension = 256;
    const queries = matrix(600, dimension, { seed: 5 });
    const corpus = matrix(40_000, dimension, { seed: 6 });
    const done: Progress[] = [];
    const onProgress = (progress: Progress) => done.push(progress);
    const { rows, scores } = await searchEmbeddings({ queries, corpus, dimension, k: 5, onProgress });
    expect(done.length, 'calls of the addon').to.be.greaterThan(2);
    expect(done.at(-1)).to.deep.equal({ stage: 'searching', done: 600, total: 600, unit: 'queries' });
    expect(done.map((progress) => progress.done)).to.deep.equal(
      done.map((progress) => progress.done).sort((a, b) => a - b),
    );
    for (const q of [0, 511, 512, 599]) {
      const expected = bruteForce(queries.subarray(q * dimension, (q + 1) * dimension), corpus, 5);
      expect([...rows.subarray(q * 5, (q + 1) * 5)]).to.deep.equal(expected.map(({ row }) => row));
      for (const [i, { score }] of expected.entries()) expect(scores[q * 5 + i]).to.be.closeTo(score, 1e-4);
    }
  });

  it('searches passages in bf16 as it does their numbers in fp32', async () => {
    const dimension = 40;
    const queries = matrix(9, dimension, { seed: 11 });
    const bf16 = Uint16Array.from(new Uint32Array(matrix(5000, dimension, { seed: 12 }).buffer), (bits) => bits >>> 16);
    const corpus = new Float32Array(Uint32Array.from(bf16, (bits) => bits << 16).buffer);
    const found = await searchEmbeddings({ queries, corpus: bf16, dimension, k: 20 });
    const expected = await searchEmbeddings({ queries, corpus, dimension, k: 20 });
    expect(found).to.deep.equal(expected);
    expect(found.scores[0]).to.be.greaterThan(1);
    bf16[3 * dimension] = 0x7f80;
    expect((await rejection(searchEmbeddings({ queries, corpus: bf16, dimension, k: 20 }))).message).to.equal(
      'Expected finite numbers for corpus (row 3) but received Infinity.',
    );
  });

  it('names the row of a number that is not finite, counted over all blocks, and a query that is none', async () => {
    const dimension = 4;
    const queries = Float32Array.of(1, 2, 3, 4, 1, Number.NEGATIVE_INFINITY, 3, 4);
    const corpus = matrix(10_000, dimension, { seed: 13 });
    expect((await rejection(searchEmbeddings({ queries, corpus, dimension, k: 1 }))).message).to.equal(
      'Expected finite numbers for queries (row 1) but received -Infinity.',
    );
    corpus[9000 * dimension + 2] = Number.NaN;
    const error = await rejection(searchEmbeddings({ queries: queries.subarray(0, 4), corpus, dimension, k: 1 }));
    expect(error.message).to.equal('Expected finite numbers for corpus (row 9000) but received NaN.');
    expect(error.code).to.equal('INVALID_ARGUMENT');
  });

  it('gives all rows where there are fewer than k, and nothing where there are no queries or passages', async () => {
    const queries = Float32Array.of(1, 0);
    const corpus = Float32Array.of(1, 0, 3, 0, 2, 0);
    const best = await searchEmbeddings({ queries, corpus, dimension: 2, k: 1_000_000_000 });
    expect([...best.rows]).to.deep.equal([1, 2, 0]);
    const none = new Float32Array(0);
    expect((await searchEmbeddings({ queries, corpus: none, dimension: 2, k: 5 })).rows).to.have.length(0);
    expect((await searchEmbeddings({ queries: none, corpus, dimension: 2, k: 5 })).rows).to.have.length(0);
  });

  it('refuses matrices that are not whole rows, numbers that are not finite, and a k below 1', async () => {
    const queries = new Float32Array(4);
    const corpus = new Float32Array(8);
    const whole = await rejection(searchEmbeddings({ queries, corpus: new Float32Array(7), dimension: 4, k: 1 }));
    expect(whole).to.be.instanceOf(InvalidArgumentError);
    expect(whole.message).to.equal(
      'Expected a Float32Array of whole rows of 4 numbers for corpus but received Float32Array(7).',
    );
    corpus[5] = Number.NaN;
    expect((await rejection(searchEmbeddings({ queries, corpus, dimension: 4, k: 1 }))).message).to.equal(
      'Expected finite numbers for corpus (row 1) but received NaN.',
    );
    const misspelt = { queries, corpus, dimension: 4, k: 1, dimensions: 4 };
    expect((await rejection(searchEmbeddings(misspelt))).message).to.equal(
      'searchEmbeddings has no option "dimensions"; did you mean "dimension"?',
    );
    const zero = await rejection(searchEmbeddings({ queries, corpus, dimension: 4, k: 0 }));
    expect(zero.message).to.equal('Expected a whole number from 1 for k but received 0.');
    const flat = await rejection(searchEmbeddings({ queries, corpus, dimension: 0, k: 1 }));
    expect(flat.message).to.contain('for dimension');
  });

  it('stops when aborted', async () => {
    const controller = new AbortController();
    const reason = new Error('enough');
    const search = searchEmbeddings({
      queries: matrix(600, 256, { seed: 7 }),
      corpus: matrix(40_000, 256, { seed: 8 }),
      dimension: 256,
      k: 5,
      signal: controller.signal,
      onProgress: () => controller.abort(reason),
    });
    expect(await rejection(search)).to.equal(reason);
  });
});

describe('toRun', () => {
  const best = { rows: Int32Array.of(1, 0, 0, -1), scores: Float32Array.of(0.5, 0.25, 1, -Infinity) };

  it('puts ids in the place of rows and leaves out rows of -1', async () => {
    const run = await toRun(best, { queryIds: ['q', 'b'], passageIds: ['a', 'b'] });
    expect([...run]).to.deep.equal([
      [
        'q',
        [
          { id: 'b', score: 0.5 },
          { id: 'a', score: 0.25 },
        ],
      ],
      ['b', [{ id: 'a', score: 1 }]],
    ]);
  });

  it('leaves out the passage that has the id of the query, where asked to', async () => {
    const run = await toRun(best, { queryIds: ['b', 'a'], passageIds: ['a', 'b'], dropSelf: true });
    expect([...run]).to.deep.equal([
      ['b', [{ id: 'a', score: 0.25 }]],
      ['a', []],
    ]);
  });

  it('refuses an option that there is not', async () => {
    const options = { queryIds: ['q', 'r'], passageIds: ['a', 'b'], dropself: true };
    expect((await rejection(toRun(best, options))).message).to.equal(
      'toRun has no option "dropself"; did you mean "dropSelf"?',
    );
  });

  it('refuses ids that do not fit the result', async () => {
    const wrong: [string[], string[], string][] = [
      [
        ['q', 'r', 's'],
        ['a', 'b'],
        'Expected an id for each query of the 4 results for queryIds but received an array of 3.',
      ],
      [['q', 'r'], ['a'], 'Expected an id for row 1 for passageIds but received an array of 1.'],
      [['q', 'q'], ['a', 'b'], 'Expected each id once for queryIds but received "q".'],
      [[], [], 'Expected an id for each query of the 4 results for queryIds but received an array of 0.'],
    ];
    for (const [queryIds, passageIds, message] of wrong) {
      const error = await rejection(toRun(best, { queryIds, passageIds }));
      expect(error).to.be.instanceOf(InvalidArgumentError);
      expect(error.message).to.equal(message);
    }
  });
});
