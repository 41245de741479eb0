import type { Comparison } from '../evaluation/compare.js';
import type { Difference } from '../evaluation/differences.js';

/** The paired tests that may decide, and where a comparison keeps each one's p-value. */
export const SIGNIFICANCE_TESTS = {
  randomization: 'pRandomization',
  't-test': 'pTTest',
  bootstrap: 'pBootstrap',
} as const satisfies Record<string, keyof Difference>;

export type SignificanceTest = keyof typeof SIGNIFICANCE_TESTS;

/** What the comparison says about a model beside the base, by its first measure. */
export interface Verdict {
  measure: string;
  base: number;
  /** Of the model. */
  trained: number;
  /** trained - base. */
  difference: number;
  /** 95 % interval of the difference, by the paired bootstrap. */
  interval: { low: number; high: number };
  /** Which paired test `p` is of. */
  test: SignificanceTest;
  /** Two-sided; multiplied by `looks`, at most 1. */
  p: number;
  /** How many models were tried on these queries so far, this one included. */
  looks: number;
  /** 'undecided' where p is not below `significance`: the difference may be chance. */
  outcome: 'better' | 'worse' | 'undecided';
  significance: number;
  /** The same in sentences. */
  text: string;
}

export interface JudgeOptions {
  /** Whether people judged the queries ('test') or they are the dev lists' written ones. */
  on: 'test' | 'dev';
  significance: number;
  /** Default 'randomization'. */
  test?: SignificanceTest;
  /** Bonferroni's factor: how many models were tried on these queries, this one included. Default 1. */
  looks?: number;
}

/** Reads a verdict off a comparison of one system with its base. The first measure decides, by the named test's p. */
export function judge(comparison: Comparison, options: JudgeOptions): Verdict {
  const { on, significance, test = 'randomization', looks = 1 } = options;
  const first = comparison.differences[0]!;
  const { measure, base, value: trained, difference, interval } = first;
  const p = Math.min(1, first[SIGNIFICANCE_TESTS[test]] * looks);
  const isSignificant = p < significance;
  const outcome = !isSignificant ? 'undecided' : difference > 0 ? 'better' : 'worse';
  const facts = { measure, base, trained, difference, interval, test, p, looks, outcome, significance } as const;
  return { ...facts, text: `${sentence(facts, first.queries)}${on === 'dev' ? ` ${DEV_WARNING}` : ''}` };
}

const DEV_WARNING =
  "No test set was given, so these are the dev lists' written queries with their source passages as the only relevant " +
  'ones: training stopped by the same lists, and queries whose source the base did not find were dropped before. Give ' +
  'a test set of human queries (data) for a fair answer.';

type Facts = Omit<Verdict, 'text'>;

const TEST_NAMES: Record<SignificanceTest, string> = {
  randomization: 'randomisation test',
  't-test': 't-test',
  bootstrap: 'bootstrap test',
};

function sentence(
  { measure, base, trained, difference, interval, test, p, looks, outcome, significance }: Facts,
  queries: number,
): string {
  const change = `${measure} went from ${base.toFixed(4)} to ${trained.toFixed(4)} on ${queries} queries`;
  const many = looks > 1 ? `, times ${looks} for as many models tried on these queries` : '';
  const sure =
    `${signed(difference)}, 95 % interval ${signed(interval.low)} to ${signed(interval.high)}, ` +
    `${p < 0.0001 ? 'p < 0.0001' : `p = ${p.toFixed(4)}`} by the paired ${TEST_NAMES[test]}${many}`;
  const meaning = {
    better: `A gain that chance alone would hardly give: significant at ${significance}.`,
    worse: `A loss, significant at ${significance}: keep the base model.`,
    undecided: `Not significant at ${significance}: chance alone may give as much, so nothing is shown either way.`,
  }[outcome];
  return `${change} (${sure}). ${meaning}`;
}

/** A difference with its sign and four decimals. */
export function signed(value: number): string {
  return `${value < 0 ? '−' : '+'}${Math.abs(value).toFixed(4)}`;
}
