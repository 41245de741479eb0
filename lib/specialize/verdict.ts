import type { Comparison } from '../evaluation/compare.js';

/** What the comparison says about the trained model, by its first measure. */
export interface Verdict {
  measure: string;
  base: number;
  trained: number;
  /** trained - base. */
  difference: number;
  /** 95 % interval of the difference, by the paired bootstrap. */
  interval: { low: number; high: number };
  /** Two-sided p of the paired randomisation test. */
  p: number;
  /** 'undecided' where p is not below `significance`: the difference may be chance. */
  outcome: 'better' | 'worse' | 'undecided';
  significance: number;
  /** The same in sentences. */
  text: string;
}

/** Reads a verdict off a comparison of one system with its base. The first measure decides, by its uncorrected p. */
export function judge(
  comparison: Comparison,
  { on, significance }: { on: 'test' | 'dev'; significance: number },
): Verdict {
  const { measure, base, value: trained, difference, interval, pRandomization: p } = comparison.differences[0]!;
  const isSignificant = p < significance;
  const outcome = !isSignificant ? 'undecided' : difference > 0 ? 'better' : 'worse';
  const facts = { measure, base, trained, difference, interval, p, outcome, significance } as const;
  return { ...facts, text: `${sentence(facts, comparison.queries)}${on === 'dev' ? ` ${DEV_WARNING}` : ''}` };
}

const DEV_WARNING =
  "No test set was given, so these are the dev lists' written queries with their source passages as the only relevant " +
  'ones: training stopped by the same lists, and queries whose source the base did not find were dropped before. Give ' +
  'a test set of human queries (data) for a fair answer.';

type Facts = Omit<Verdict, 'text'>;

function sentence(
  { measure, base, trained, difference, interval, p, outcome, significance }: Facts,
  queries: number,
): string {
  const change = `${measure} went from ${base.toFixed(4)} to ${trained.toFixed(4)} on ${queries} queries`;
  const sure =
    `${signed(difference)}, 95 % interval ${signed(interval.low)} to ${signed(interval.high)}, ` +
    (p < 0.0001 ? 'p < 0.0001' : `p = ${p.toFixed(4)}`);
  const meaning = {
    better: `A gain that chance alone would hardly give: significant at ${significance}.`,
    worse: `A loss, significant at ${significance}: keep the base model.`,
    undecided: `Not significant at ${significance}: chance alone may give as much, so nothing is shown either way.`,
  }[outcome];
  return `${change} (${sure}). ${meaning}`;
}

function signed(value: number): string {
  return `${value < 0 ? '−' : '+'}${Math.abs(value).toFixed(4)}`;
}
