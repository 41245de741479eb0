import type { DropFilter } from '../candidates/selection.js';
import type { Corpus } from '../corpus/corpus.js';
import { DataError } from '../errors.js';
import { breather } from '../event-loop.js';
import { readQrels, readQueries } from '../formats/beir.js';
import type { LongWork, Query } from '../types.js';
import { duplicateKey } from './reply-check.js';

/** The type under which people's queries are counted and normalised. */
export const HUMAN = 'human';

/** A query of a person, with the ids of the passages that were judged relevant, best grade first. */
export interface HumanQuery extends Query {
  relevant: readonly string[];
}

export interface HumanQueries {
  queries: HumanQuery[];
  /** Judged queries that cannot be used, and why. */
  unusable: { id: string; filter: DropFilter; reason: string }[];
}

/** The queries that one split of a BEIR directory judges, and that are not to be trained on. */
export interface TestQueries {
  ids: ReadonlySet<string>;
  /** What they say, by `duplicateKey`. */
  texts: ReadonlySet<string>;
}

/** @throws NotFoundError or DataError as readQueries and readQrels do */
export async function readTestQueries(
  directory: string,
  split: string,
  { signal }: Pick<LongWork, 'signal'>,
): Promise<TestQueries> {
  const ids = new Set((await readQrels(directory, split, { signal })).keys());
  const queries = await readQueries(directory, { signal });
  return { ids, texts: new Set(queries.filter(({ id }) => ids.has(id)).map(({ text }) => duplicateKey(text))) };
}

/** Why passages are no candidates, by id: a map will do. */
export type Reasons = Pick<ReadonlyMap<string, string>, 'has' | 'get'>;

export interface HumanQueryOptions extends Pick<LongWork, 'signal'> {
  corpus: Corpus;
  /** Passages that are no candidates, and why. */
  unusable: Reasons;
  /** Whether a query is one of the test set, which must not be trained on. Default: none is. */
  isTested?: (query: Pick<Query, 'id' | 'text'>) => boolean;
}

/**
 * Queries that people wrote, with their relevant passages by one split of a BEIR directory: grades of 1 or more. Their
 * ids get the prefix `human:`, their type is 'human'.
 * @throws NotFoundError or DataError as readQueries and readQrels do, or if not one relevant passage is in the corpus
 */
export async function readHumanQueries(
  directory: string,
  split: string,
  { corpus, unusable, isTested = () => false, signal }: HumanQueryOptions,
): Promise<HumanQueries> {
  const qrels = await readQrels(directory, split, { signal });
  const result: HumanQueries = { queries: [], unusable: [] };
  const breathe = breather(signal);
  let known = 0;
  for (const { id, text } of await readQueries(directory, { signal })) {
    await breathe();
    const judged = qrels.get(id);
    if (!judged) continue;
    const relevant = [...judged].filter(([, grade]) => grade >= 1).sort((a, b) => b[1] - a[1]);
    const there = relevant.map(([passage]) => passage).filter((passage) => corpus.has(passage));
    known += there.length;
    const usable = there.filter((passage) => !unusable.has(passage));
    const name = `${HUMAN}:${id}`;
    const against = reasonAgainst({ isTested: isTested({ id, text }), relevant, there, usable, unusable });
    if (against) result.unusable.push({ id: name, ...against });
    else result.queries.push({ id: name, type: HUMAN, text, relevant: usable });
  }
  if (known > 0) return result;
  const problem = `Expected relevant passages of split "${split}" in the corpus (${corpus.size} passages) but found none; check that the ids are those of this corpus.`;
  throw new DataError({ file: directory }, problem);
}

interface Found {
  isTested: boolean;
  relevant: readonly unknown[];
  there: readonly string[];
  usable: readonly string[];
  unusable: Reasons;
}

function reasonAgainst({ isTested, relevant, there, usable, unusable }: Found) {
  const because = (filter: DropFilter, reason: string) => ({ filter, reason });
  if (isTested) return because('test query', 'it is a query of the test set');
  if (relevant.length === 0) return because('no relevant passage', 'no passage was judged relevant');
  if (there.length === 0) return because('no relevant passage', 'no relevant passage is in the corpus');
  if (usable.length > 0) return undefined;
  return because('unusable source', `relevant passage ${there[0]} ${unusable.get(there[0]!)}`);
}
