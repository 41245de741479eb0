import type { CompareOptions } from '../lib/evaluation/compare.js';
import { Random } from '../lib/random.js';
import type { Passage, Qrels, Query, Run } from '../lib/types.js';

export const corpus: Passage[] = Array.from({ length: 30 }, (_, i) => ({
  id: `D${i}`,
  title: '',
  text: `passage ${i}`,
}));
export const queries: Query[] = Array.from({ length: 60 }, (_, i) => ({ id: `q${i}`, text: `what about ${i}?` }));
const random = new Random(17);
export const qrels: Qrels = new Map(
  queries.map(({ id }) => [id, new Map([1, 2, 3].map((grade) => [`D${random.integer(30)}`, grade]))]),
);

/** A run that knows the grades under some noise: less noise, better run. */
export function noisyRun(noise: number, seed: number): Run {
  const source = new Random(seed);
  return new Map(
    queries.map(({ id }) => {
      const scored = corpus.map((passage) => ({
        id: passage.id,
        score: (qrels.get(id)?.get(passage.id) ?? 0) + noise * source.float(),
      }));
      return [id, scored.sort((a, b) => b.score - a.score)];
    }),
  );
}

export const base = noisyRun(6, 1);
export const better = noisyRun(3, 2);
const alike = noisyRun(6, 3);
export const options: CompareOptions = {
  base: { name: 'base', run: base },
  others: [
    { name: 'better', run: better },
    { name: 'alike', run: alike },
  ],
  qrels,
  measures: ['nDCG@10', 'MRR@10'],
  resamples: 2000,
  seed: 5,
};
