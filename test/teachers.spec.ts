import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { Bm25Index } from '../lib/candidates/bm25.js';
import { Embeddings } from '../lib/candidates/embeddings.js';
import { loadCorpus } from '../lib/corpus/corpus.js';
import { Random } from '../lib/random.js';
import { FileTeacher } from '../lib/teachers/file.js';
import { FusedTeacher } from '../lib/teachers/fused.js';
import { InnerProductMoments, innerProduct, sparseMoments, zScore } from '../lib/teachers/moments.js';
import type { Teacher, TeacherRequest, TeacherScores } from '../lib/teachers/teacher.js';
import { temporaryDirectory } from './helpers.js';
import { rejection } from './rejection.js';

const random = new Random(5);
const DIMENSION = 7;

/** Vectors of unit length around one direction, as embeddings are. */
function vectors(prefix: string, count: number): Embeddings {
  const matrix = new Float32Array(count * DIMENSION);
  for (let row = 0; row < count; row++) {
    const vector = Array.from({ length: DIMENSION }, (_, i) => random.float() - 0.5 + (i === 0 ? 1 : 0));
    const length = Math.hypot(...vector);
    matrix.set(
      vector.map((value) => value / length),
      row * DIMENSION,
    );
  }
  return new Embeddings(
    Array.from({ length: count }, (_, i) => `${prefix}${i}`),
    matrix,
    DIMENSION,
  );
}

/** Population mean and deviation, number by number. */
function moments(values: number[]) {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
  return { mean, deviation: Math.sqrt(variance) };
}

/** Passages of a request, for teachers that read no text. */
const texts = (ids: string[]) => ids.map((id) => ({ id, text: '' }));

async function collect(teacher: Teacher, requests: TeacherRequest[]): Promise<TeacherScores[]> {
  const all: TeacherScores[] = [];
  for await (const scores of teacher.score(requests)) all.push(scores);
  return all;
}

describe('InnerProductMoments', () => {
  it('equals mean and deviation of the products computed one by one', async () => {
    const passages = vectors('p', 200);
    const all = await InnerProductMoments.of(passages);
    for (let i = 0; i < 5; i++) {
      const query = vectors('q', 1).row(0);
      const expected = moments(passages.ids.map((_, row) => innerProduct(query, passages.row(row))));
      const found = all.of(query);
      expect(expected.deviation).to.be.above(0.01);
      expect(found.mean).to.be.closeTo(expected.mean, 1e-12);
      expect(found.deviation).to.be.closeTo(expected.deviation, 1e-10);
    }
  });
});

describe('sparseMoments', () => {
  it('counts passages without a score as 0', () => {
    const expected = moments([3, 1, 0, 0, 0]);
    const found = sparseMoments(Float64Array.from([3, 1]), 5);
    expect(found.mean).to.be.closeTo(expected.mean, 1e-15);
    expect(found.deviation).to.be.closeTo(expected.deviation, 1e-15);
  });
});

describe('zScore', () => {
  it('is 0 where all scores are equal', () => {
    expect(zScore(3, { mean: 1, deviation: 2 })).to.equal(1);
    expect(zScore(3, { mean: 3, deviation: 0 })).to.equal(0);
  });
});

describe('FusedTeacher', () => {
  const words = ['lift', 'drag', 'wing', 'flow', 'shock', 'plate', 'heat', 'cone'];
  const count = 40;
  const passageTexts = Array.from({ length: count }, () =>
    Array.from({ length: 12 }, () => words[random.integer(8)]).join(' '),
  );
  const passages = vectors('p', count);
  const queries = vectors('q', 2);
  const corpus = loadCorpus(passageTexts.map((text, i) => ({ id: `p${i}`, title: '', text })));
  const requests = [
    { query: { id: 'q0', text: 'shock on a cone' }, passages: texts(['p3', 'p17', 'p0']) },
    { query: { id: 'q1', text: 'nothing known' }, passages: texts(['p39']) },
  ];

  it('adds 0.7 of the dense and 0.3 of the BM25 z-score over the whole corpus', async () => {
    const bm25 = await Bm25Index.build(await corpus);
    const teacher = new FusedTeacher({ corpus: await corpus, bm25, passages, queries });
    const [first, second] = await collect(teacher, requests);

    const dense = passages.ids.map((_, row) => innerProduct(queries.row(0), passages.row(row)));
    const lexical = new Array<number>(count).fill(0);
    const sparse = await bm25.scores('shock on a cone');
    sparse.rows.forEach((row, i) => (lexical[row] = sparse.scores[i]!));
    expect(sparse.rows.length).to.be.within(1, count - 1);
    const expected = (row: number) =>
      0.7 * zScore(dense[row]!, moments(dense)) + 0.3 * zScore(lexical[row]!, moments(lexical));
    expect(first!.query).to.equal('q0');
    expect(first!.passages.map(({ id }) => id)).to.deep.equal(['p3', 'p17', 'p0']);
    [3, 17, 0].forEach((row, i) => expect(first!.passages[i]!.score).to.be.closeTo(expected(row), 1e-9));

    // BM25 knows no word of the second query: only the dense part is left.
    const alone = passages.ids.map((_, row) => innerProduct(queries.row(1), passages.row(row)));
    expect(second!.passages[0]!.score).to.be.closeTo(0.7 * zScore(alone[39]!, moments(alone)), 1e-9);
  });

  it('takes other weights, and refuses those that mean nothing', async () => {
    const options = { corpus: await corpus, bm25: await Bm25Index.build(await corpus), passages, queries };
    const score = async (denseWeight: number, bm25Weight: number) =>
      (await collect(new FusedTeacher({ ...options, denseWeight, bm25Weight }), requests))[0]!.passages[0]!.score;
    expect((await score(1, 0)) + 2 * (await score(0, 1))).to.be.closeTo(await score(1, 2), 1e-9);
    expect(() => new FusedTeacher({ ...options, denseWeight: -1 })).to.throw(
      'Expected a number of at least 0 for denseWeight but received -1.',
    );
    expect(() => new FusedTeacher({ ...options, denseWeight: 0, bm25Weight: 0 })).to.throw('bm25Weight');
  });

  it('names a candidate that is not in the corpus', async () => {
    const bm25 = await Bm25Index.build(await corpus);
    const teacher = new FusedTeacher({ corpus: await corpus, bm25, passages, queries });
    const error = await rejection(collect(teacher, [{ ...requests[0]!, passages: texts(['p3', 'nowhere']) }]));
    expect(error.message).to.equal(
      'Expected passages of the corpus for query "q0" for candidates but received "nowhere".',
    );
  });
});

describe('FileTeacher', () => {
  const requests = [
    { query: { id: '1:web', text: 'x' }, passages: texts(['a', 'b', 'c']) },
    { query: { id: '2:web', text: 'y' }, passages: texts(['b', 'a']) },
  ];
  const load = async (name: string, text: string) => {
    const file = join(temporaryDirectory(), name);
    await writeFile(file, text);
    return FileTeacher.load(file);
  };

  it('reads JSON Lines and TREC runs, in the order of the candidates, without those that have no score', async () => {
    const lines = [
      '{"query": "1:web", "passage": "c", "score": 2.5}',
      '{"query": "1:web", "passage": "a", "score": -1}',
      '{"query": "2:web", "passage": "b", "score": 0}',
      '{"query": "2:web", "passage": "other", "score": 9}',
    ];
    const expected = [
      {
        query: '1:web',
        passages: [
          { id: 'a', score: -1 },
          { id: 'c', score: 2.5 },
        ],
      },
      { query: '2:web', passages: [{ id: 'b', score: 0 }] },
    ];
    expect(await collect(await load('scores.jsonl', lines.join('\n')), requests)).to.deep.equal(expected);
    const run = '1:web Q0 c 1 2.5 t\n1:web Q0 a 2 -1 t\n2:web Q0 other 1 9 t\n2:web Q0 b 2 0 t\n';
    expect(await collect(await load('scores.trec', run), requests)).to.deep.equal(expected);
  });

  it('says so when the file is about other queries', async () => {
    const teacher = await load('scores.jsonl', '{"query": "7", "passage": "a", "score": 1}');
    const error = await rejection(collect(teacher, requests));
    expect(error.code).to.equal('BAD_DATA');
    expect(error.message).to.match(
      /scores\.jsonl: Expected scores of the candidates but found none of any; query ids here are like "1:web", passage ids like "a"/,
    );
  });

  it('names the line of a score that is none, or comes twice', async () => {
    const failure = async (...lines: string[]) => (await rejection(load('scores.jsonl', lines.join('\n')))).message;
    const good = '{"query": "1", "passage": "a", "score": 1}';
    expect(await failure(good, '{"query": "1", "passage": "b", "score": "high"}')).to.match(/:2 \(field "score"\)/);
    expect(await failure(good, good)).to.match(
      /:2: Expected one score a pair but query "1" and passage "a" had one before\.$/,
    );
    expect(await failure('')).to.contain('but found none');
  });
});
