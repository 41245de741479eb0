import type { Run } from '../types.js';
import type { JudgedCollection } from './collection.js';
import type { RunEvaluation } from './measures.js';
import {
  bootstrapTest,
  holm,
  type Interval,
  mean,
  pairedBootstrap,
  pairedTTest,
  randomizationTest,
} from './statistics.js';

/** A passage at the top of a ranking. */
export interface TopPassage {
  id: string;
  /** Its judged grade; null if it is not judged for the query. */
  grade: number | null;
  /** There when a collection was given that has the passage; `text` is its beginning. */
  title?: string;
  text?: string;
}

/** One query under two systems. */
export interface QueryChange {
  query: string;
  /** There when a collection was given. */
  text?: string;
  /** There when queries were grouped. */
  group?: string;
  base: number;
  value: number;
  /** value - base. */
  difference: number;
}

/** A query that gained or lost much, with what stood at the top under the base and under the other system. */
export interface Example extends QueryChange {
  before: TopPassage[];
  after: TopPassage[];
}

/** How a difference came about: means, interval, and how many queries went which way. */
export interface Change {
  queries: number;
  /** Means over the judged queries. */
  base: number;
  value: number;
  /** value - base. */
  difference: number;
  /** Of the difference, by the paired bootstrap. */
  interval: Interval;
  /** Queries with a higher, an equal and a lower value than the base's. */
  wins: number;
  ties: number;
  losses: number;
}

/** The queries of one group. Groups are not tested: there may be many, of few queries each. */
export interface GroupChange extends Change {
  group: string;
}

/** One system against the base by one measure on one test set. */
export interface Difference extends Change {
  set: string;
  system: string;
  measure: string;
  /** Two-sided p of the paired randomisation test. */
  pRandomization: number;
  /** Two-sided p of the paired t-test. */
  pTTest: number;
  /** Two-sided p of the paired bootstrap test. */
  pBootstrap: number;
  /** pRandomization after Holm's correction over all sets, measures and systems of the comparison. */
  pHolm: number;
  /** pTTest after the same correction over the same comparisons. */
  pTTestHolm: number;
  /** The queries with the largest gains, largest first; and with the largest losses. */
  gained: Example[];
  lost: Example[];
  /** By group, when queries were grouped; in the order of the groups' names. */
  groups?: GroupChange[];
}

export interface ChangeOptions {
  resamples: number;
  seed: number;
  confidence: number;
  signal?: AbortSignal | undefined;
}

/** Values closer than this are equal: they come from different orders of the same sum. */
const EQUAL_VALUES = 1e-12;

export interface QueryFacts {
  /** By query id. */
  texts: ReadonlyMap<string, string>;
  groups?: ReadonlyMap<string, string> | undefined;
}

/** Each judged query's values under two systems by one measure. */
export function queryChanges(
  { base, other }: { base: RunEvaluation; other: RunEvaluation },
  measure: string,
  { texts, groups }: QueryFacts,
): QueryChange[] {
  const values = other.perQuery[measure] as Map<string, number>;
  return [...(base.perQuery[measure] as Map<string, number>)].map(([query, before]) => {
    const value = values.get(query) as number;
    const difference = Math.abs(value - before) < EQUAL_VALUES ? 0 : value - before;
    return {
      query,
      ...(texts.has(query) && { text: texts.get(query) as string }),
      ...(groups && { group: groups.get(query) ?? '(none)' }),
      ...{ base: before, value, difference },
    };
  });
}

async function changeOf(changes: readonly QueryChange[], options: ChangeOptions): Promise<Change> {
  const differences = changes.map(({ difference }) => difference);
  return {
    queries: changes.length,
    base: mean(changes.map(({ base }) => base)),
    value: mean(changes.map(({ value }) => value)),
    difference: mean(differences),
    interval: await pairedBootstrap(differences, options),
    wins: differences.filter((difference) => difference > 0).length,
    ties: differences.filter((difference) => difference === 0).length,
    losses: differences.filter((difference) => difference < 0).length,
  };
}

type Tested = Change & Pick<Difference, 'pRandomization' | 'pTTest' | 'pBootstrap'>;

/** The change with its p-values. */
export async function testChange(changes: readonly QueryChange[], options: ChangeOptions): Promise<Tested> {
  const differences = changes.map(({ difference }) => difference);
  return {
    ...(await changeOf(changes, options)),
    pRandomization: await randomizationTest(differences, options),
    pTTest: pairedTTest(differences),
    pBootstrap: await bootstrapTest(differences, options),
  };
}

/** The differences with p-values after Holm's correction over all of them, of each test by itself. */
export function corrected(differences: readonly Difference[]): Difference[] {
  const randomization = holm(differences.map(({ pRandomization }) => pRandomization));
  const tTest = holm(differences.map(({ pTTest }) => pTTest));
  return differences.map((difference, i) => ({
    ...difference,
    ...{ pHolm: randomization[i] as number, pTTestHolm: tTest[i] as number },
  }));
}

/** The change within each group. */
export async function groupChanges(changes: readonly QueryChange[], options: ChangeOptions): Promise<GroupChange[]> {
  const groups = new Map<string, QueryChange[]>();
  for (const change of changes) {
    const group = change.group ?? '(none)';
    const members = groups.get(group) ?? [];
    members.push(change);
    groups.set(group, members);
  }
  const found: GroupChange[] = [];
  for (const [group, members] of [...groups].sort(([a], [b]) => (a < b ? -1 : 1))) {
    found.push({ group, ...(await changeOf(members, options)) });
  }
  return found;
}

/** The queries with the largest gains and losses; equal ones in the order of the judgements. */
export function largestChanges(
  changes: readonly QueryChange[],
  count: number,
): { gained: QueryChange[]; lost: QueryChange[] } {
  const gains = changes.filter(({ difference }) => difference > 0).sort((a, b) => b.difference - a.difference);
  const losses = changes.filter(({ difference }) => difference < 0).sort((a, b) => a.difference - b.difference);
  return { gained: gains.slice(0, count), lost: losses.slice(0, count) };
}

/** Passages of a ranking that an example shows, and characters of each. */
const TOP = 3;
const SNIPPET = 300;

interface Rankings {
  qrels: ReadonlyMap<string, ReadonlyMap<string, number>>;
  base: Run;
  other: Run;
}

/** What stood at the top before and after, by ids alone. */
export function toExample(change: QueryChange, { qrels, base, other }: Rankings): Example {
  const top = (run: Run) =>
    (run.get(change.query) ?? []).slice(0, TOP).map(({ id }) => ({
      id,
      grade: qrels.get(change.query)?.get(id) ?? null,
    }));
  return { ...change, before: top(base), after: top(other) };
}

/** Adds titles and the beginnings of texts to all examples, by one pass over the corpus. */
export async function addTexts(
  examples: readonly Example[],
  collection: JudgedCollection,
  signal?: AbortSignal,
): Promise<void> {
  const tops = examples.flatMap(({ before, after }) => [...before, ...after]);
  const passages = await collection.passages(new Set(tops.map(({ id }) => id)), signal);
  for (const top of tops) {
    const passage = passages.get(top.id);
    if (!passage) continue;
    top.title = passage.title;
    top.text = beginning(passage.text);
  }
}

/** Not cut inside of a character. */
function beginning(text: string): string {
  if (text.length <= SNIPPET) return text;
  const end = /[\ud800-\udbff]/.test(text[SNIPPET - 1] as string) ? SNIPPET - 1 : SNIPPET;
  return `${text.slice(0, end)}…`;
}
