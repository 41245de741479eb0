import { jaccard, shingles } from '../corpus/resemblance.js';

/** The passages that are not nearly the same as the positive; texts are looked up by id. */
export function withoutNearDuplicates<T extends { id: string }>(
  passages: readonly T[],
  positives: ReadonlySet<string>,
  { threshold, textOf }: { threshold: number; textOf: (id: string) => string },
): T[] {
  const known = passages.filter(({ id }) => positives.has(id)).map(({ id }) => shingles(textOf(id)));
  return passages.filter(({ id }) => {
    if (positives.has(id)) return true;
    const own = shingles(textOf(id));
    return known.every((positive) => jaccard(own, positive) < threshold);
  });
}
