import { InvalidArgumentError } from '../errors.js';
import { breather } from '../event-loop.js';
import { positivesOf } from '../queries/positives.js';
import type { LongWork, Query, Run, ScoredPassage } from '../types.js';
import { reciprocalRankFusion, requireRrfK } from './fusion.js';

/** What a query can be dropped by. The reason has the details. */
export type DropFilter =
  | 'empty query'
  | 'test query'
  | 'no relevant passage'
  | 'unusable source'
  | 'not sampled'
  | 'source rank'
  | 'few candidates'
  | 'few scores'
  | 'source not first'
  | 'low top score'
  | 'equal scores';

/** A query that got no training list, and why. */
export interface DroppedQuery {
  query: string;
  type?: string;
  /** Which part of the pipeline dropped it. */
  stage: 'queries' | 'candidates' | 'teacher' | 'lists';
  filter: DropFilter;
  reason: string;
}

export interface SelectionOptions extends Pick<LongWork, 'signal'> {
  /**
   * A query is kept for a retriever only if its source, or for a person's query one of its relevant passages, is among
   * this many best passages. Default 20.
   */
  maxSourceRank?: number;
  /** A query with fewer fused candidates is dropped. Default 20. */
  minCandidates?: number;
  /** See `reciprocalRankFusion`. Default 60. */
  rrfK?: number;
}

export interface SelectionInput {
  queries: readonly Query[];
  /** What each retriever found, by its name. */
  runs: ReadonlyMap<string, Run>;
  /** Passages that are no candidates: excluded ones and duplicates. */
  unusable: Pick<ReadonlySet<string>, 'has'>;
}

/** What became of the queries of one type. */
export interface SelectionCounts {
  queries: number;
  /** Queries whose source a retriever did not have among the best, by retriever. */
  sourceTooLow: Record<string, number>;
  /** Queries that no retriever kept. */
  droppedByAll: number;
  tooFewCandidates: number;
  kept: number;
}

export interface Selection {
  /** Fused candidates of the queries kept, best first. */
  fused: Run;
  dropped: DroppedQuery[];
  /** By query type; queries without a type are under 'untyped'. */
  counts: Record<string, SelectionCounts>;
}

/** The name under which queries without a type are counted. */
export function typeName(query: { type?: string }): string {
  return query.type ?? 'untyped';
}

/**
 * From runs to candidates: takes unusable passages out and closes the ranks up, keeps a query for a retriever only if
 * its source is in the top 20 there, fuses what is kept by reciprocal rank, and drops queries with fewer than 20
 * candidates.
 */
export async function selectCandidates(input: SelectionInput, options: SelectionOptions = {}): Promise<Selection> {
  const { maxSourceRank, minCandidates, rrfK } = settleSelectionOptions(options);
  // Types are the user's words: in a plain object "constructor" is there already.
  const selection: Selection = { fused: new Map(), dropped: [], counts: Object.create(null) };
  const breathe = breather(options.signal);
  for (const query of input.queries) {
    await breathe();
    const counts = countsOf(selection, query, input.runs.keys());
    counts.queries += 1;
    const drop = (filter: DropFilter, reason: string) =>
      selection.dropped.push({ query: query.id, type: query.type, stage: 'candidates', filter, reason });
    const { kept, misses } = keepForRetrievers(query, input, maxSourceRank);
    for (const { retriever } of misses) counts.sourceTooLow[retriever]! += 1;
    if (kept.length === 0) {
      counts.droppedByAll += 1;
      drop('source rank', missed(query, misses, maxSourceRank));
      continue;
    }
    const candidates = reciprocalRankFusion(kept, { rrfK });
    if (candidates.length < minCandidates) {
      counts.tooFewCandidates += 1;
      drop('few candidates', `${candidates.length} candidates, fewer than ${minCandidates}`);
      continue;
    }
    counts.kept += 1;
    selection.fused.set(query.id, candidates);
  }
  return selection;
}

interface Miss {
  retriever: string;
  /** The source's rank, from 1, or 0 if it was not found. */
  rank: number;
}

function keepForRetrievers(query: Query, { runs, unusable }: SelectionInput, maxSourceRank: number) {
  const kept: ScoredPassage[][] = [];
  const misses: Miss[] = [];
  const positives = new Set(positivesOf(query));
  for (const [retriever, run] of runs) {
    const usable = (run.get(query.id) ?? []).filter(({ id }) => !unusable.has(id));
    const rank = usable.findIndex(({ id }) => positives.has(id)) + 1;
    if (rank >= 1 && rank <= maxSourceRank) kept.push(usable);
    else misses.push({ retriever, rank });
  }
  return { kept, misses };
}

function missed(query: Query, misses: readonly Miss[], maxSourceRank: number): string {
  const ranks = misses.map(({ retriever, rank }) => `${retriever}: ${rank === 0 ? 'not found' : `rank ${rank}`}`);
  const what = query.relevant ? 'no relevant passage is' : `source ${query.source} is not`;
  return `${what} among the top ${maxSourceRank} (${ranks.join(', ')})`;
}

function countsOf(selection: Selection, query: Query, retrievers: Iterable<string>): SelectionCounts {
  const type = typeName(query);
  const counts = selection.counts[type] ?? {
    queries: 0,
    sourceTooLow: Object.fromEntries(Array.from(retrievers, (name) => [name, 0])),
    droppedByAll: 0,
    tooFewCandidates: 0,
    kept: 0,
  };
  selection.counts[type] = counts;
  return counts;
}

/** Fills in defaults. @throws InvalidArgumentError for an option out of range */
export function settleSelectionOptions(options: SelectionOptions) {
  const { maxSourceRank = 20, minCandidates = 20, rrfK = 60 } = options;
  requireCount('maxSourceRank', maxSourceRank);
  requireCount('minCandidates', minCandidates);
  requireRrfK(rrfK);
  return { maxSourceRank, minCandidates, rrfK };
}

function requireCount(name: string, value: number): void {
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError(name, 'a whole number above 0', value);
}
