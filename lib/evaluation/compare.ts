import { InvalidArgumentError } from '../errors.js';
import { rejectUnknownOptions } from '../option-names.js';
import type { LongWork } from '../types.js';
import type { MeasureOptions } from './measure-names.js';
import { DEFAULT_MEASURES, evaluateRun, parseMeasures, type RunEvaluation } from './measures.js';
import {
  bootstrapTest,
  checkResampling,
  holm,
  type Interval,
  mean,
  pairedBootstrap,
  pairedTTest,
  randomizationTest,
} from './statistics.js';
import { type JudgementOptions, nameSystems, readJudgements, runOf, type System } from './systems.js';

export interface CompareOptions extends JudgementOptions, MeasureOptions, LongWork {
  /** What the others are compared with. */
  base: System;
  /** One system or more. */
  others: readonly System[];
  /** Names as parseMeasure reads them; nDCG@10, R@100, RR@10, AP and P@10 by default. */
  measures?: readonly string[];
  /** Resamples of the bootstrap and of the randomisation test; 10,000 by default. */
  resamples?: number;
  /** Of both; 1 by default. */
  seed?: number;
  /** Of the interval; 0.95 by default. */
  confidence?: number;
  /** How many queries that gained and that lost most are named; 5 of each by default. */
  examples?: number;
}

/** One query under two systems. */
export interface QueryChange {
  query: string;
  /** There when a collection was given. */
  text?: string;
  base: number;
  value: number;
  /** value - base. */
  difference: number;
}

/** One system against the base by one measure. */
export interface Difference {
  system: string;
  measure: string;
  /** Means over the judged queries. */
  base: number;
  value: number;
  /** value - base. */
  difference: number;
  /** Of the difference, by the paired bootstrap. */
  interval: Interval;
  /** Two-sided p of the paired randomisation test. */
  pRandomization: number;
  /** Two-sided p of the paired t-test. */
  pTTest: number;
  /** Two-sided p of the paired bootstrap test. */
  pBootstrap: number;
  /** pRandomization after Holm's correction over all measures and systems of the comparison. */
  pHolm: number;
  /** Queries with a higher, an equal and a lower value than the base's. */
  wins: number;
  ties: number;
  losses: number;
  /** The queries with the largest gains, largest first; and with the largest losses. */
  gained: QueryChange[];
  lost: QueryChange[];
}

/** Plain data: it can be written as JSON. */
export interface Comparison {
  base: string;
  /** The others' names. */
  others: string[];
  /** By ir_measures' names. */
  measures: string[];
  /** How many queries are judged. */
  queries: number;
  /** By system, the base included, and measure. */
  means: Record<string, Record<string, number>>;
  /** By measure, then by system, in the order given. */
  differences: Difference[];
  confidence: number;
  resamples: number;
  seed: number;
}

/** Values closer than this are equal: they come from different orders of the same sum. */
const EQUAL_VALUES = 1e-12;

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
 * Compares systems with a base, query by query, over all judged queries (one that a run lacks has 0).
 * @throws NotFoundError, DataError where a file cannot be read; InvalidArgumentError where there is nothing to compare,
 *   two systems have one name, a run has none of the judged queries, or an option is out of range
 * @throws `signal.reason` when aborted
 * @example
 * const result = await compare({ base: 'base.trec', others: ['trained.trec'], qrels: 'qrels/test.tsv' });
 * console.log(formatComparison(result));
 */
export async function compare(options: CompareOptions): Promise<Comparison> {
  rejectUnknownOptions(options, compareOptionNames, 'compare');
  const { base, others, resamples = 10_000, seed = 1, confidence = 0.95, signal } = options;
  const measures = checkOptions(options);
  const judgements = await readJudgements(options, signal);
  const systems = await nameSystems([base, ...others], judgements);
  const evaluations: RunEvaluation[] = [];
  for (const system of systems) {
    const run = await runOf(system, judgements, options);
    evaluations.push(await evaluateRun(judgements.qrels, run, measures, { signal }));
  }
  const names = systems.map(({ name }) => name);
  const texts = new Map(judgements.collection?.queries.map(({ id, text }) => [id, text]));
  const differences = await differ(
    { names, evaluations, measures, texts },
    { ...options, resamples, seed, confidence },
  );
  return {
    base: names[0] as string,
    others: names.slice(1),
    measures,
    queries: judgements.qrels.size,
    means: Object.fromEntries(names.map((name, i) => [name, (evaluations[i] as RunEvaluation).mean])),
    differences,
    confidence,
    resamples,
    seed,
  };
}

/** Checks what can be before any long work. @returns the measures' names, which say all their parameters */
function checkOptions(options: CompareOptions): string[] {
  const { others, measures = DEFAULT_MEASURES, relevanceLevel, judgedOnly, examples = 5 } = options;
  if (!Array.isArray(others) || others.length === 0) {
    throw new InvalidArgumentError('others', 'an array of at least one system to compare', others);
  }
  checkResampling(options);
  if (!Number.isSafeInteger(examples) || examples < 0) {
    throw new InvalidArgumentError('examples', 'a whole number from 0', examples);
  }
  return parseMeasures(measures, { relevanceLevel, judgedOnly }).map(({ name }) => name);
}

interface Evaluated {
  /** The base first. */
  names: string[];
  evaluations: RunEvaluation[];
  measures: string[];
  /** By query id. */
  texts: ReadonlyMap<string, string>;
}

async function differ(
  { names, evaluations, measures, texts }: Evaluated,
  options: CompareOptions,
): Promise<Difference[]> {
  const { examples = 5, onProgress } = options;
  const total = measures.length * (names.length - 1);
  const differences: Omit<Difference, 'pHolm'>[] = [];
  for (const measure of measures) {
    const base = (evaluations[0] as RunEvaluation).perQuery[measure] as Map<string, number>;
    for (const [i, evaluation] of evaluations.entries()) {
      if (i === 0) continue;
      const changes = queryChanges(base, evaluation.perQuery[measure] as Map<string, number>, texts);
      const system = names[i] as string;
      differences.push({ system, measure, ...(await test(changes, options)), ...extremes(changes, examples) });
      onProgress?.({ stage: 'comparing', done: differences.length, total, unit: 'differences' });
    }
  }
  const corrected = holm(differences.map(({ pRandomization }) => pRandomization));
  return differences.map((difference, i) => ({ ...difference, pHolm: corrected[i] as number }));
}

type QueryValues = ReadonlyMap<string, number>;

function queryChanges(base: QueryValues, values: QueryValues, texts: ReadonlyMap<string, string>): QueryChange[] {
  return [...base].map(([query, before]) => {
    const value = values.get(query) as number;
    const difference = Math.abs(value - before) < EQUAL_VALUES ? 0 : value - before;
    return { query, ...(texts.has(query) && { text: texts.get(query) }), base: before, value, difference };
  });
}

type Tested = Omit<Difference, 'system' | 'measure' | 'gained' | 'lost' | 'pHolm'>;

async function test(changes: QueryChange[], options: CompareOptions): Promise<Tested> {
  const { resamples, seed, confidence, signal } = options;
  const differences = changes.map(({ difference }) => difference);
  return {
    base: mean(changes.map(({ base }) => base)),
    value: mean(changes.map(({ value }) => value)),
    difference: mean(differences),
    interval: await pairedBootstrap(differences, { resamples, seed, confidence, signal }),
    pRandomization: await randomizationTest(differences, { resamples, seed, signal }),
    pTTest: pairedTTest(differences),
    pBootstrap: await bootstrapTest(differences, { resamples, seed, signal }),
    wins: differences.filter((difference) => difference > 0).length,
    ties: differences.filter((difference) => difference === 0).length,
    losses: differences.filter((difference) => difference < 0).length,
  };
}

/** The largest gains and losses; equal ones in the order of the judgements. */
function extremes(changes: QueryChange[], count: number): Pick<Difference, 'gained' | 'lost'> {
  const gains = changes.filter(({ difference }) => difference > 0).sort((a, b) => b.difference - a.difference);
  const losses = changes.filter(({ difference }) => difference < 0).sort((a, b) => a.difference - b.difference);
  return { gained: gains.slice(0, count), lost: losses.slice(0, count) };
}
