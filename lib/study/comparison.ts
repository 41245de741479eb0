import type { Comparison } from '../evaluation/compare.js';
import { type ChangeOptions, corrected, type Difference, queryChanges, testChange } from '../evaluation/differences.js';
import type { RunEvaluation } from '../evaluation/measures.js';

/** A system of a table with what it measured; that of a variant is the mean over its seeds. */
export interface Measured {
  name: string;
  evaluation: RunEvaluation;
}

/** Each query's mean over several evaluations of the same queries, and the means of these. */
export function meanEvaluation(evaluations: readonly RunEvaluation[]): RunEvaluation {
  const [first] = evaluations as [RunEvaluation];
  const count = evaluations.length;
  if (count === 1) return first;
  const mean: RunEvaluation['mean'] = {};
  const perQuery: RunEvaluation['perQuery'] = {};
  for (const [measure, values] of Object.entries(first.perQuery)) {
    mean[measure] = evaluations.reduce((sum, one) => sum + one.mean[measure]!, 0) / count;
    const averages = Array.from(values.keys(), (query): [string, number] => [
      query,
      evaluations.reduce((sum, one) => sum + one.perQuery[measure]!.get(query)!, 0) / count,
    ]);
    perQuery[measure] = new Map(averages);
  }
  return { mean, perQuery };
}

export interface TableComparisonOptions extends ChangeOptions {
  /** Name of the test set. */
  set: string;
  measures: readonly string[];
}

/**
 * Variants beside the base, query by query, in the shape of `compare`: interval by the paired bootstrap, p by the paired
 * randomisation test, corrected by Holm over all variants and measures.
 */
export async function compareMeasured(
  base: Measured,
  others: readonly Measured[],
  options: TableComparisonOptions,
): Promise<Comparison> {
  const { set, measures, confidence, resamples, seed } = options;
  const differences: Difference[] = [];
  for (const measure of measures) {
    for (const other of others) {
      const change = await differenceOf(base, other, { ...options, measure });
      differences.push({ set, system: other.name, measure, ...change, pHolm: 1, pTTestHolm: 1, gained: [], lost: [] });
    }
  }
  const systems = [base, ...others];
  const means = Object.fromEntries(systems.map(({ name, evaluation }) => [name, pick(evaluation.mean, measures)]));
  return {
    base: base.name,
    others: others.map(({ name }) => name),
    measures: [...measures],
    sets: [{ name: set, queries: base.evaluation.perQuery[measures[0]!]!.size, means }],
    differences: corrected(differences),
    ...{ confidence, resamples, seed },
  };
}

/** One system against another by one measure. */
export function differenceOf(
  base: Measured,
  other: Measured,
  { measure, ...options }: ChangeOptions & { measure: string },
): ReturnType<typeof testChange> {
  const pair = { base: base.evaluation, other: other.evaluation };
  return testChange(queryChanges(pair, measure, { texts: new Map() }), options);
}

function pick(values: Record<string, number>, names: readonly string[]): Record<string, number> {
  return Object.fromEntries(names.map((name) => [name, values[name]!]));
}
