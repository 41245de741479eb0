import { compareCodePoints } from '../corpus/code-point-order.js';
import { InvalidArgumentError } from '../errors.js';
import type { ScoredPassage } from '../types.js';

/**
 * Reciprocal rank fusion (Cormack, Clarke and Büttcher 2009) of one query's rankings: a passage's score is the sum of
 * 1 / (rrfK + rank) over the rankings that hold it, ranks from 1. Equal scores by id, in the order of code points.
 * @param rankings each best first
 * @param options.rrfK default 60
 * @throws InvalidArgumentError if rrfK is negative or not finite
 */
export function reciprocalRankFusion(
  rankings: readonly (readonly ScoredPassage[])[],
  { rrfK = 60 }: { rrfK?: number } = {},
): ScoredPassage[] {
  requireRrfK(rrfK);
  const scores = new Map<string, number>();
  for (const ranking of rankings) {
    for (const [place, { id }] of ranking.entries()) {
      scores.set(id, (scores.get(id) ?? 0) + 1 / (rrfK + place + 1));
    }
  }
  return Array.from(scores, ([id, score]) => ({ id, score })).sort(
    (a, b) => b.score - a.score || compareCodePoints(a.id, b.id),
  );
}

/** @throws InvalidArgumentError if it is negative or not finite */
export function requireRrfK(rrfK: number): void {
  if (!(rrfK >= 0 && Number.isFinite(rrfK))) throw new InvalidArgumentError('rrfK', 'a number of at least 0', rrfK);
}
