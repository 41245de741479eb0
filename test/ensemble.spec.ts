import { expect } from 'chai';
import { percentile } from '../lib/lists/percentile.js';
import { Random } from '../lib/random.js';
import { combineTeachers, type Member } from '../lib/teachers/ensemble.js';
import type { TeacherScores } from '../lib/teachers/teacher.js';
import type { Query } from '../lib/types.js';

describe('combineTeachers', () => {
  const random = new Random(2);
  const queries = new Map<string, Query>(
    Array.from({ length: 12 }, (_, i) => [
      `q${i}`,
      { id: `q${i}`, text: '', type: i < 6 ? 'web' : 'title', source: 'p0' },
    ]),
  );
  /** Scores of any scale; the source first in all but each third. */
  const scoresBy = (scale: number, shift: number): TeacherScores[] =>
    [...queries.keys()].map((query, i) => ({
      query,
      passages: Array.from({ length: 8 }, (_, p) => ({
        id: `p${p}`,
        score: shift + scale * (random.float() + (p === 0 && i % 3 !== 0 ? 1 : 0)),
      })),
    }));
  const member = (scores: TeacherScores[], weight: number): Member => ({
    weight,
    scores: async function* () {
      yield* scores;
    },
  });
  const collect = async (members: Member[]) => {
    const all: TeacherScores[] = [];
    for await (const scores of combineTeachers(queries, members)) all.push(scores);
    return all;
  };

  /** A teacher's scores on the scale of its type, as the method has it. */
  const normalised = (all: TeacherScores[], place: number, passage: number) => {
    const type = queries.get(`q${place}`)!.type;
    const values = all
      .filter(({ query }) => queries.get(query)!.type === type)
      .filter(({ passages }) => passages.every(({ score }) => score <= passages[0]!.score))
      .flatMap(({ passages }) => passages.map(({ score }) => score))
      .sort((a, b) => a - b);
    const [low, high] = [percentile(values, 1), percentile(values, 99)];
    return (all[place]!.passages[passage]!.score - low) / (high - low);
  };

  it('is the weighted mean of scores that are each normalised by type', async () => {
    const [one, two] = [scoresBy(1, 0), scoresBy(200, -50)];
    const combined = await collect([member(one, 1), member(two, 3)]);
    expect(combined.map(({ query }) => query)).to.deep.equal([...queries.keys()]);
    for (const [i, { passages }] of combined.entries()) {
      expect(passages.length).to.equal(8);
      for (const [p, { id, score }] of passages.entries()) {
        expect(id).to.equal(`p${p}`);
        expect(score).to.be.closeTo((normalised(one, i, p) + 3 * normalised(two, i, p)) / 4, 1e-12);
      }
    }
  });

  it('does not depend on the scales of the teachers', async () => {
    const [one, two] = [scoresBy(1, 0), scoresBy(1, 0)];
    const stretched = two.map(({ query, passages }) => ({
      query,
      passages: passages.map(({ id, score }) => ({ id, score: 1000 * score - 7 })),
    }));
    const [a, b] = [
      await collect([member(one, 1), member(two, 1)]),
      await collect([member(one, 1), member(stretched, 1)]),
    ];
    for (const [i, { passages }] of a.entries()) {
      for (const [p, { score }] of passages.entries()) expect(b[i]!.passages[p]!.score).to.be.closeTo(score, 1e-9);
    }
  });

  it('leaves out passages that not all teachers scored, and lets a teacher that says nothing change no order', async () => {
    const one = scoresBy(1, 0);
    const flat = one.map(({ query, passages }) => ({
      query,
      passages: passages.slice(1).map(({ id }) => ({ id, score: 5 })),
    }));
    const combined = await collect([member(one, 1), member(flat, 1)]);
    const order = (passages: TeacherScores['passages']) =>
      [...passages].sort((a, b) => b.score - a.score).map(({ id }) => id);
    for (const [i, { passages }] of combined.entries()) {
      expect(order(passages)).to.deep.equal(order(one[i]!.passages.slice(1)));
    }
  });
});
