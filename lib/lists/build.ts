import { type DropFilter, type DroppedQuery, typeName } from '../candidates/selection.js';
import { InvalidArgumentError } from '../errors.js';
import { breather } from '../event-loop.js';
import { positivesOf } from '../queries/positives.js';
import type { TeacherScores } from '../teachers/teacher.js';
import type { LongWork, Query, ScoredPassage, TrainingList } from '../types.js';
import { withoutNearDuplicates } from './near-duplicates.js';
import { percentile, sortedValues } from './percentile.js';
import { type SplitOptions, settleSplitOptions, splitBySource } from './split.js';

export interface ListOptions extends SplitOptions, Pick<LongWork, 'signal'> {
  /** Passages of a list, the source included. Default 20. */
  listLength?: number;
  /** The percentile of a type's scores that becomes 0. Default 1. */
  lowPercentile?: number;
  /** Queries whose top score is below this percentile of their type's scores are dropped. Default 25. */
  keepPercentile?: number;
  /** The percentile that becomes 1. Default 99. */
  highPercentile?: number;
  /**
   * Candidates whose resemblance to the positive (see `resemblance`) is at least this are taken out before all else: as
   * negatives they would teach the opposite of what is so. Above 0, at most 1. Default none are.
   */
  nearDuplicateThreshold?: number;
}

/** What a passage says, for finding near-duplicates. */
export type TextOf = (id: string) => string;

/** What became of the scored queries of one type. */
export interface ListCounts {
  scored: number;
  /** Candidates, not queries, that were taken out as near-duplicates of their query's positive. */
  nearDuplicates: number;
  /** Queries with fewer scores than a list has passages. */
  tooFewScores: number;
  sourceNotFirst: number;
  lowTopScore: number;
  /** Queries of a type whose scores are all the same. */
  flat: number;
  kept: number;
  /** The teacher's scores at the three percentiles; absent where no query of the type came that far. */
  percentiles?: { low: number; keep: number; high: number };
}

export interface BuiltLists {
  train: TrainingList[];
  dev: TrainingList[];
  dropped: DroppedQuery[];
  /** By query type; queries without a type are under 'untyped'. */
  counts: Record<string, ListCounts>;
}

interface Ranked {
  query: Query;
  /** Best first. */
  passages: ScoredPassage[];
}

/**
 * From teacher scores to training lists. Candidates are sorted by score (equal ones in the order they came in); a query
 * is kept only if its source comes first, or for a person's query a relevant passage, which then is the list's source;
 * further relevant ones stay where the teacher puts them. Over all scores of a type's kept queries the 1st, 25th and 99th percentiles
 * are taken; queries whose top score is below the 25th are dropped, and scores become
 * clip((s − p1) / (p99 − p1), 0, 1). The top 20 are kept. Lists of all types are pooled and split by source passage.
 * @throws InvalidArgumentError for options out of range, or scores of a query that is not among `queries`
 */
export async function buildLists(
  queries: readonly Query[],
  scores: Iterable<TeacherScores> | AsyncIterable<TeacherScores>,
  options: ListOptions & { textOf?: TextOf } = {},
): Promise<BuiltLists> {
  const { signal, textOf } = options;
  const { listLength, devShare, seed, nearDuplicateThreshold: threshold, ...places } = settleListOptions(options);
  const dropped: DroppedQuery[] = [];
  // Types are the user's words: in a plain object "constructor" is there already.
  const counts: Record<string, ListCounts> = Object.create(null);
  const byType = await rank(queries, scores, {
    listLength,
    dropped,
    counts,
    near: nearness(threshold, textOf),
    signal,
  });
  const pools: TrainingList[][] = [];
  for (const [type, ranked] of byType) {
    pools.push(await normalise(ranked, { places, listLength, dropped, counts: counts[type]!, signal }));
  }
  const lists = inOrder(pools, queries);
  const positives = new Map(queries.map((query) => [query.id, positivesOf(query)]));
  const sourcesOf = ({ id }: TrainingList) => positives.get(id)!;
  return { ...(await splitBySource(lists, { devShare, seed, sourcesOf })), dropped, counts };
}

interface Nearness {
  threshold: number;
  textOf: TextOf;
}

function nearness(threshold: number | undefined, textOf: TextOf | undefined): Nearness | undefined {
  if (threshold === undefined) return undefined;
  if (textOf) return { threshold, textOf };
  throw new InvalidArgumentError('textOf', 'the texts of passages where nearDuplicateThreshold is given', textOf);
}

/** The lists of all types in the order of their queries. */
function inOrder(pools: readonly TrainingList[][], queries: readonly Query[]): TrainingList[] {
  const byId = new Map(pools.flat().map((list) => [list.id, list]));
  return queries.flatMap(({ id }) => byId.get(id) ?? []);
}

type Percentiles = Required<Pick<ListOptions, 'lowPercentile' | 'keepPercentile' | 'highPercentile'>>;

type SettledListOptions = Required<Omit<ListOptions, 'signal' | 'nearDuplicateThreshold'>> &
  Pick<ListOptions, 'nearDuplicateThreshold'>;

/** Fills in defaults. @throws InvalidArgumentError for an option out of range */
export function settleListOptions(options: ListOptions): SettledListOptions {
  const { listLength = 20, lowPercentile = 1, keepPercentile = 25, highPercentile = 99 } = options;
  const { nearDuplicateThreshold } = options;
  if (!Number.isInteger(listLength) || listLength < 2) {
    throw new InvalidArgumentError('listLength', 'a whole number of at least 2', listLength);
  }
  const places = { lowPercentile, keepPercentile, highPercentile };
  for (const [name, p] of Object.entries(places)) {
    if (!(p >= 0 && p <= 100)) throw new InvalidArgumentError(name, 'a percentile from 0 to 100', p);
  }
  if (lowPercentile >= highPercentile) {
    throw new InvalidArgumentError(
      'highPercentile',
      `a percentile above lowPercentile (${lowPercentile})`,
      highPercentile,
    );
  }
  if (nearDuplicateThreshold !== undefined && !(nearDuplicateThreshold > 0 && nearDuplicateThreshold <= 1)) {
    throw new InvalidArgumentError('nearDuplicateThreshold', 'a number above 0 and up to 1', nearDuplicateThreshold);
  }
  return { listLength, ...places, nearDuplicateThreshold, ...settleSplitOptions(options) };
}

interface Sieve {
  listLength: number;
  dropped: DroppedQuery[];
  signal?: AbortSignal;
}

interface RankOptions extends Sieve {
  counts: Record<string, ListCounts>;
  near: Nearness | undefined;
}

/** Sorts each query's candidates and keeps, by type, the queries whose positive comes first. */
async function rank(
  queries: readonly Query[],
  scores: Iterable<TeacherScores> | AsyncIterable<TeacherScores>,
  { listLength, dropped, counts, near, signal }: RankOptions,
): Promise<Map<string, Ranked[]>> {
  const byId = new Map(queries.map((query) => [query.id, query]));
  const byType = new Map<string, Ranked[]>();
  const breathe = breather(signal);
  for await (const scored of scores) {
    await breathe();
    const query = byId.get(scored.query);
    if (!query) throw new InvalidArgumentError('scores', 'scores of queries at hand', scored.query);
    const type = typeName(query);
    counts[type] ??= newCounts();
    const count = counts[type];
    const positives = new Set(positivesOf(query));
    const all = sorted(scored);
    const passages = near ? await withoutNearDuplicates(all, positives, { ...near, signal }) : all;
    const place = passages.findIndex(({ id }) => positives.has(id));
    count.scored += 1;
    count.nearDuplicates += all.length - passages.length;
    if (passages.length < listLength) {
      count.tooFewScores += 1;
      dropped.push(drop(query, 'few scores', `${passages.length} scored candidates, fewer than ${listLength}`));
    } else if (place !== 0) {
      count.sourceNotFirst += 1;
      dropped.push(drop(query, 'source not first', notFirst(query, place)));
    } else {
      const ranked = byType.get(type);
      if (ranked) ranked.push({ query, passages });
      else byType.set(type, [{ query, passages }]);
    }
  }
  return byType;
}

function newCounts(): ListCounts {
  return { scored: 0, nearDuplicates: 0, tooFewScores: 0, sourceNotFirst: 0, lowTopScore: 0, flat: 0, kept: 0 };
}

/** @param place of the first positive, from 0, or -1 */
function notFirst({ source, relevant }: Query, place: number): string {
  if (!relevant) {
    const where = place < 0 ? 'has no score' : `is number ${place + 1}`;
    return `source ${source} ${where} by the teacher's score, not the first`;
  }
  if (place < 0) return 'no relevant passage has a score';
  return `the first relevant passage is number ${place + 1} by the teacher's score, not the first`;
}

/** @throws InvalidArgumentError for a score that is not a finite number, which has no place in an order */
function sorted({ query, passages }: TeacherScores): ScoredPassage[] {
  for (const { id, score } of passages) {
    if (!Number.isFinite(score)) {
      throw new InvalidArgumentError('scores', `a finite score for query "${query}" and passage "${id}"`, score);
    }
  }
  return [...passages].sort((a, b) => b.score - a.score);
}

/** Drops queries with a low top score, maps the scores to [0, 1] and cuts the lists. */
async function normalise(
  ranked: readonly Ranked[],
  { places, listLength, dropped, counts, signal }: Sieve & { places: Percentiles; counts: ListCounts },
): Promise<TrainingList[]> {
  const values = await sortedValues(scoresOf(ranked), signal);
  const low = percentile(values, places.lowPercentile);
  const keep = percentile(values, places.keepPercentile);
  const high = percentile(values, places.highPercentile);
  counts.percentiles = { low, keep, high };
  if (high <= low) {
    // There is no order to learn, and no range to map to [0, 1].
    counts.flat = ranked.length;
    for (const { query } of ranked)
      dropped.push(drop(query, 'equal scores', `the teacher's scores of its type are all ${low}`));
    return [];
  }
  const scale = (score: number) => Math.min(1, Math.max(0, (score - low) / (high - low)));
  const breathe = breather(signal);
  const lists: TrainingList[] = [];
  for (const { query, passages } of ranked) {
    await breathe();
    const top = passages[0]!.score;
    if (top < keep) {
      counts.lowTopScore += 1;
      const name = `percentile ${places.keepPercentile} of its type (${keep.toPrecision(6)})`;
      dropped.push(drop(query, 'low top score', `top score ${top.toPrecision(6)} is below ${name}`));
      continue;
    }
    counts.kept += 1;
    const { id, text, type, source = passages[0]!.id } = query;
    const kept = passages.slice(0, listLength).map((passage) => ({ id: passage.id, score: scale(passage.score) }));
    lists.push({ id, query: text, type, source, passages: kept });
  }
  return lists;
}

function* scoresOf(ranked: readonly Ranked[]): Generator<number> {
  for (const { passages } of ranked) for (const { score } of passages) yield score;
}

function drop(query: Query, filter: DropFilter, reason: string): DroppedQuery {
  return { query: query.id, type: query.type, stage: 'lists', filter, reason };
}
