import { InvalidArgumentError } from '../errors.js';
import { rejectUnknownOptions } from '../option-names.js';
import type { LongWork, Run } from '../types.js';
import {
  addTexts,
  type ChangeOptions,
  corrected,
  type Difference,
  type Example,
  groupChanges,
  largestChanges,
  type QueryChange,
  queryChanges,
  testChange,
  toExample,
} from './differences.js';
import type { MeasureOptions } from './measure-names.js';
import { checkReach, DEFAULT_MEASURES, evaluateRun, parseMeasures, type RunEvaluation } from './measures.js';
import { checkResampling } from './statistics.js';
import {
  checkScorers,
  type JudgedSet,
  type JudgementOptions,
  type KnownRuns,
  type NamedSystem,
  nameSystems,
  readJudgements,
  rejectIdle,
  runsOf,
  type System,
} from './systems.js';

export interface CompareOptions extends JudgementOptions, MeasureOptions, LongWork {
  /** What the others are compared with. */
  base: System;
  /** One system or more. */
  others: readonly System[];
  /** Names as parseMeasure reads them; nDCG@10, R@100, RR@10, AP and P@10 by default. */
  measures?: readonly string[];
  /** Field of the queries to group them by, such as `type` or `metadata.kind`; none by default. */
  by?: string;
  /** Resamples of the bootstrap and of the randomisation test; 10,000 by default. */
  resamples?: number;
  /** Of both; 1 by default. */
  seed?: number;
  /** Of the interval; 0.95 by default. */
  confidence?: number;
  /** How many queries that gained and that lost most are shown; 5 of each by default. */
  examples?: number;
}

/** A test set with each system's means on it. */
export interface ComparedSet {
  name: string;
  /** How many queries are judged. */
  queries: number;
  /** By system, the base included, and measure. */
  means: Record<string, Record<string, number>>;
}

/** Plain data: it can be written as JSON. */
export interface Comparison {
  base: string;
  /** The others' names. */
  others: string[];
  /** By ir_measures' names. */
  measures: string[];
  sets: ComparedSet[];
  /** The field that queries were grouped by, if any. */
  by?: string;
  /** By set, then measure, then system, in the order given. */
  differences: Difference[];
  confidence: number;
  resamples: number;
  seed: number;
}

export const compareOptionNames: readonly string[] = [
  'base',
  'others',
  'data',
  'qrels',
  'split',
  'modelOptions',
  'k',
  'maxLength',
  'measures',
  'by',
  'relevanceLevel',
  'judgedOnly',
  'resamples',
  'seed',
  'confidence',
  'examples',
  'signal',
  'onProgress',
] satisfies (keyof CompareOptions)[];

/**
 * Compares systems with a base, query by query, over all judged queries (one that a run lacks has 0), on one test set
 * or several.
 * @throws NotFoundError, DataError where a file cannot be read; InvalidArgumentError where there is nothing to compare,
 *   two systems or sets have one name, a run has none of the judged queries, or an option is out of range or would have
 *   no effect, such as `k` where all systems are runs
 * @throws `signal.reason` when aborted
 * @example
 * const result = await compare({ base: 'base.trec', others: ['trained.trec'], qrels: 'qrels/test.tsv' });
 * console.log(formatComparison(result));
 */
export async function compare(options: CompareOptions): Promise<Comparison> {
  rejectUnknownOptions(options, compareOptionNames, 'compare');
  const { base, others, by, resamples = 10_000, seed = 1, confidence = 0.95, signal } = options;
  const measures = checkOptions(options);
  const sets = await readJudgements(options, signal);
  const systems = await nameSystems([base, ...others], sets);
  rejectIdle(systems, options);
  const groups = by === undefined ? [] : await Promise.all(sets.map((set) => groupsOf(set, by, signal)));
  const evaluated = await evaluateSystems(systems, sets, { ...options, measures });
  const work: Work = { ...options, measures, resamples, seed, confidence, done: 0 };
  const names = systems.map(({ name }) => name);
  const differences: Difference[] = [];
  for (const [i, set] of sets.entries()) {
    const results = evaluated.map((runs) => runs[i] as Evaluated);
    differences.push(...(await differOn({ set, names, results, groups: groups[i] }, work)));
  }
  return {
    base: names[0] as string,
    others: names.slice(1),
    measures,
    sets: sets.map(({ name, qrels }, i) => ({
      name,
      queries: qrels.size,
      means: Object.fromEntries(names.map((system, s) => [system, evaluated[s]?.[i]?.evaluation.mean ?? {}])),
    })),
    ...(by !== undefined && { by }),
    differences: corrected(differences),
    ...{ confidence, resamples, seed },
  };
}

/** Checks what can be before any long work. @returns the measures' names, which say all their parameters */
function checkOptions(options: CompareOptions): string[] {
  const { others, measures = DEFAULT_MEASURES, relevanceLevel, judgedOnly, examples = 5, by } = options;
  if (!Array.isArray(others) || others.length === 0) {
    throw new InvalidArgumentError('others', 'an array of at least one system to compare', others);
  }
  checkResampling(options);
  if (!Number.isSafeInteger(examples) || examples < 0) {
    throw new InvalidArgumentError('examples', 'a whole number from 0', examples);
  }
  if (by !== undefined && (typeof by !== 'string' || by === '')) {
    throw new InvalidArgumentError('by', 'the name of a field', by);
  }
  const parsed = parseMeasures(measures, { relevanceLevel, judgedOnly });
  checkReach(parsed, options.k);
  return parsed.map(({ name }) => name);
}

function groupsOf({ collection }: JudgedSet, by: string, signal?: AbortSignal): Promise<Map<string, string>> {
  if (collection) return collection.groups(by, signal);
  const remedy = 'only a collection has the queries whose field that is';
  throw new InvalidArgumentError('data', 'a collection where queries are grouped (by)', undefined, remedy);
}

interface Evaluated {
  run: Run;
  evaluation: RunEvaluation;
}

type Work = CompareOptions & ChangeOptions & { measures: readonly string[]; done: number };

/** By system, then set. */
async function evaluateSystems(
  systems: readonly NamedSystem[],
  sets: readonly JudgedSet[],
  options: CompareOptions & { measures: readonly string[] },
): Promise<Evaluated[][]> {
  const { measures, signal } = options;
  const evaluated: Evaluated[][] = [];
  const known: KnownRuns = new Map();
  await checkScorers(systems, options);
  for (const system of systems) {
    const runs = await runsOf(system, sets, { ...options, known });
    const ofSets: Evaluated[] = [];
    for (const [i, { qrels }] of sets.entries()) {
      const run = runs[i] as Run;
      ofSets.push({ run, evaluation: await evaluateRun(qrels, run, measures, { signal }) });
    }
    evaluated.push(ofSets);
  }
  return evaluated;
}

interface OnSet {
  set: JudgedSet;
  /** Of the systems, the base first. */
  names: string[];
  results: Evaluated[];
  groups: ReadonlyMap<string, string> | undefined;
}

async function differOn({ set, names, results, groups }: OnSet, work: Work): Promise<Difference[]> {
  const { measures, others, signal, onProgress } = work;
  const texts = new Map(set.collection?.queries.map(({ id, text }) => [id, text]));
  const [base] = results as [Evaluated];
  const found: Difference[] = [];
  for (const measure of measures) {
    for (const [i, other] of results.entries()) {
      if (i === 0) continue;
      const pair = { base: base.evaluation, other: other.evaluation };
      const changes = queryChanges(pair, measure, { texts, groups });
      const rankings = { qrels: set.qrels, base: base.run, other: other.run };
      const difference = await differenceOf(changes, rankings, work);
      found.push({ set: set.name, system: names[i] as string, measure, ...difference });
      work.done += 1;
      const total = measures.length * others.length * Math.max(1, setCount(work));
      onProgress?.({ stage: 'comparing', done: work.done, total, unit: 'differences' });
    }
  }
  if (set.collection) {
    const examples: Example[] = found.flatMap(({ gained, lost }) => [...gained, ...lost]);
    await addTexts(examples, set.collection, signal);
  }
  return found;
}

function setCount({ data }: CompareOptions): number {
  return Array.isArray(data) ? data.length : 1;
}

async function differenceOf(
  changes: QueryChange[],
  rankings: Parameters<typeof toExample>[1],
  options: Work,
): Promise<Omit<Difference, 'set' | 'system' | 'measure'>> {
  const { examples = 5, by } = options;
  const { gained, lost } = largestChanges(changes, examples);
  return {
    ...(await testChange(changes, options)),
    // Known once all differences are.
    ...{ pHolm: 1, pTTestHolm: 1 },
    gained: gained.map((change) => toExample(change, rankings)),
    lost: lost.map((change) => toExample(change, rankings)),
    ...(by !== undefined && { groups: await groupChanges(changes, options) }),
  };
}
