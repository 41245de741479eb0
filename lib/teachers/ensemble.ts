import { typeName } from '../candidates/selection.js';
import { breather } from '../event-loop.js';
import { percentile, sortedValues } from '../lists/percentile.js';
import { positivesOf } from '../queries/positives.js';
import type { LongWork, Query } from '../types.js';
import type { TeacherScores } from './teacher.js';

/** One teacher of several: its scores of all requests, in their order, as often as they are asked for. */
export interface Member {
  scores: () => AsyncIterable<TeacherScores>;
  /** Above 0. */
  weight: number;
}

export interface EnsembleOptions extends Pick<LongWork, 'signal'> {
  /** The percentile of a teacher's scores that becomes 0. Default 1. */
  lowPercentile?: number;
  /** The percentile that becomes 1. Default 99. */
  highPercentile?: number;
}

/** By query type: the scores that become 0 and 1. */
type Range = Map<string, { low: number; high: number }>;

/**
 * Weighted means of several teachers' scores. First each teacher's scores are put on one scale as lists are later:
 * by query type, over the scores of the queries whose positive it puts first (of all queries if there is none), the
 * 1st percentile becomes 0 and the 99th 1. Beyond these nothing is clipped here: the best candidates of a query often
 * lie above the 99th percentile, and would become equal. Only passages that all teachers scored get a score.
 * @param queries those of the scores, by id
 */
export async function* combineTeachers(
  queries: ReadonlyMap<string, Query>,
  members: readonly Member[],
  options: EnsembleOptions = {},
): AsyncGenerator<TeacherScores> {
  const ranges: Range[] = [];
  for (const member of members) ranges.push(await rangesOf(member, queries, options));
  const total = members.reduce((sum, { weight }) => sum + weight, 0);
  const breathe = breather(options.signal);
  for await (const [query, answers] of together(members)) {
    const type = typeName(queries.get(query)!);
    const [first, ...others] = answers.map(
      (scores, i) =>
        new Map(scores.map(({ id, score }) => [id, members[i]!.weight * place(score, ranges[i]!.get(type))])),
    );
    const passages = Array.from(first!).flatMap(([id, share]) => {
      const shares = [share, ...others.map((scores) => scores.get(id))];
      if (shares.includes(undefined)) return [];
      return [{ id, score: (shares as number[]).reduce((sum, value) => sum + value, 0) / total }];
    });
    yield { query, passages };
    await breathe();
  }
}

/** A type whose scores are all the same says nothing about any passage. */
function place(score: number, range: { low: number; high: number } | undefined): number {
  return range && range.high > range.low ? (score - range.low) / (range.high - range.low) : 0;
}

async function rangesOf(
  { scores }: Member,
  queries: ReadonlyMap<string, Query>,
  { lowPercentile = 1, highPercentile = 99, signal }: EnsembleOptions,
): Promise<Range> {
  const all = new Map<string, { kept: number[]; others: number[] }>();
  const breathe = breather(signal);
  for await (const { query, passages } of scores()) {
    const asked = queries.get(query)!;
    const ofType = all.get(typeName(asked)) ?? { kept: [], others: [] };
    all.set(typeName(asked), ofType);
    const best = passages.reduce((top, passage) => (passage.score > top.score ? passage : top), passages[0]!);
    const into = best && positivesOf(asked).includes(best.id) ? ofType.kept : ofType.others;
    for (const { score } of passages) into.push(score);
    await breathe();
  }
  const ranges: Range = new Map();
  for (const [type, { kept, others }] of all) {
    const sorted = await sortedValues(kept.length > 0 ? kept : others, signal);
    if (sorted.length === 0) continue;
    ranges.set(type, { low: percentile(sorted, lowPercentile), high: percentile(sorted, highPercentile) });
  }
  return ranges;
}

/** Each query with the scores of all members, who give the same queries in the same order. */
async function* together(members: readonly Member[]): AsyncGenerator<[string, TeacherScores['passages'][]]> {
  const iterators = members.map(({ scores }) => scores()[Symbol.asyncIterator]());
  try {
    for (;;) {
      const next = await Promise.all(iterators.map((iterator) => iterator.next()));
      const given = next.flatMap(({ done, value }) => (done ? [] : [value as TeacherScores]));
      if (given.length === 0) return;
      if (given.length < members.length || given.some(({ query }) => query !== given[0]!.query)) {
        throw new Error('Teachers gave the scores of different queries. This is a bug.');
      }
      yield [given[0]!.query, given.map(({ passages }) => passages)];
    }
  } finally {
    for (const iterator of iterators) await iterator.return?.();
  }
}
