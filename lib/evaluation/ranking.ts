import { compareCodePoints } from '../corpus/code-point-order.js';
import { InvalidArgumentError } from '../errors.js';
import type { ScoredPassage } from '../types.js';

/**
 * How a measure orders a query's passages.
 * - 'trec_eval': by score as a 32-bit float, equal ones by id, last first. The order of a run file does not count.
 * - 'ids-ascending': by score, equal ones by id, first first. That is what ir_measures does for the measures that
 *   trec_eval lacks.
 */
export type TieBreaking = 'trec_eval' | 'ids-ascending';

/** The grade of a passage that is not judged, or judged below 0, which trec_eval takes for the same. */
export const UNJUDGED = -1;

/** One query's results as a measure sees them. */
export interface GradedRanking {
  /** Grade by rank, best first; UNJUDGED where there is none. */
  grades: number[];
  /** By rank: whether the passage stands in the judgements, with whatever grade. */
  judged: boolean[];
  /** All the query's grades above 0, highest first: the best ranking there could be. */
  ideal: number[];
}

/** Grades above 0, highest first. @throws InvalidArgumentError if a grade is no whole number */
export function idealGrades(query: string, judgements: ReadonlyMap<string, number>): number[] {
  const ideal: number[] = [];
  for (const [passage, grade] of judgements) {
    if (!Number.isSafeInteger(grade)) {
      throw new InvalidArgumentError(`qrels (query "${query}", passage "${passage}")`, 'a whole number', grade);
    }
    if (grade > 0) ideal.push(grade);
  }
  return ideal.sort((a, b) => b - a);
}

/**
 * The passages in the order of a measure.
 * @throws InvalidArgumentError if a score is not a number or a passage stands twice
 */
export function sortPassages(query: string, passages: readonly ScoredPassage[], ties: TieBreaking): ScoredPassage[] {
  checkPassages(query, passages);
  if (ties === 'trec_eval') {
    return passages
      .map(({ id, score }) => ({ id, score: Math.fround(score) }))
      .sort((a, b) => compareNumbers(b.score, a.score) || compareCodePoints(b.id, a.id));
  }
  return [...passages].sort((a, b) => compareNumbers(b.score, a.score) || compareCodePoints(a.id, b.id));
}

function checkPassages(query: string, passages: readonly ScoredPassage[]): void {
  const seen = new Set<string>();
  for (const { id, score } of passages) {
    if (typeof score !== 'number' || Number.isNaN(score)) {
      throw new InvalidArgumentError(`run (query "${query}", passage "${id}")`, 'a number as score', score);
    }
    if (seen.has(id)) {
      throw new InvalidArgumentError(`run (query "${query}")`, 'each passage once', id, 'drop the second');
    }
    seen.add(id);
  }
}

/** Infinite scores are allowed, so no difference is taken. */
function compareNumbers(a: number, b: number): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
