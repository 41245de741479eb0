import { jaccard, shingles } from '../corpus/resemblance.js';
import { breather } from '../event-loop.js';
import type { LongWork } from '../types.js';

export interface NearDuplicateOptions extends Pick<LongWork, 'signal'> {
  /** The resemblance from which a passage is taken out. */
  threshold: number;
  textOf: (id: string) => string;
}

/** The passages that are not nearly the same as a positive, and the positives; texts are looked up by id. */
export async function withoutNearDuplicates<T extends { id: string }>(
  passages: readonly T[],
  positives: ReadonlySet<string>,
  { threshold, textOf, signal }: NearDuplicateOptions,
): Promise<T[]> {
  const breathe = breather(signal);
  const known = passages.filter(({ id }) => positives.has(id)).map(({ id }) => shingles(textOf(id)));
  const kept: T[] = [];
  for (const passage of passages) {
    const own = positives.has(passage.id) ? undefined : shingles(textOf(passage.id));
    if (!own || known.every((positive) => jaccard(own, positive) < threshold)) kept.push(passage);
    await breathe();
  }
  return kept;
}
