import { InvalidArgumentError } from '../errors.js';
import type { Comparison } from '../evaluation/compare.js';
import { SIGNIFICANCE_TESTS, signed, type Verdict } from './verdict.js';

/** What became of the first measure on a test collection that training should leave as it was. */
export interface GuardResult {
  /** The directory. */
  name: string;
  measure: string;
  queries: number;
  base: number;
  value: number;
  /** value - base. */
  difference: number;
  /** Of the difference, by the paired bootstrap. */
  interval: { low: number; high: number };
  /** Most that the measure was allowed to fall. */
  allowedLoss: number;
  holds: boolean;
}

/** Reads a guard's result off a comparison of one system with its base, by the first measure. */
export function guardResult(name: string, comparison: Comparison, allowedLoss: number): GuardResult {
  const { measure, queries, base, value, difference, interval } = comparison.differences[0]!;
  const holds = difference >= -allowedLoss;
  return { name, measure, queries, base, value, difference, interval, allowedLoss, holds };
}

/** Why a model does not pass, in sentences; empty if it does. */
export function objections(verdict: Verdict, guards: readonly GuardResult[]): string[] {
  const found: string[] = [];
  if (verdict.outcome !== 'better') {
    const meaning = verdict.outcome === 'worse' ? 'it is worse than the base' : 'no gain over the base is shown';
    found.push(`${meaning} on the held-out queries`);
  }
  for (const { name, measure, difference, allowedLoss, holds } of guards) {
    if (holds) continue;
    found.push(`it loses ${signed(difference)} ${measure} on the guard set ${name}, where ${allowedLoss} is allowed`);
  }
  return found;
}

interface GateOptions {
  significance: number;
  significanceTest: unknown;
  guards: unknown;
  guardLoss: number;
  mixingShares: unknown;
}

/** @throws InvalidArgumentError naming the first option that cannot be */
export function checkGateOptions(options: GateOptions): void {
  const { significance, significanceTest, guards, guardLoss, mixingShares } = options;
  if (!(significance > 0 && significance < 1)) {
    throw new InvalidArgumentError('significance', 'a number between 0 and 1', significance);
  }
  if (!Object.hasOwn(SIGNIFICANCE_TESTS, String(significanceTest))) {
    const names = Object.keys(SIGNIFICANCE_TESTS).map((name) => `'${name}'`);
    throw new InvalidArgumentError('significanceTest', `one of ${names.join(', ')}`, significanceTest);
  }
  if (!Array.isArray(guards) || !guards.every((path) => typeof path === 'string' && path !== '')) {
    throw new InvalidArgumentError('guards', 'an array of BEIR directories', guards);
  }
  if (!(guardLoss >= 0 && guardLoss <= 1)) {
    throw new InvalidArgumentError('guardLoss', 'a number from 0 to 1', guardLoss);
  }
  const isShare = (share: unknown) => typeof share === 'number' && share > 0 && share < 1;
  if (!Array.isArray(mixingShares) || !mixingShares.every(isShare)) {
    const wrong = Array.isArray(mixingShares) ? mixingShares.find((share) => !isShare(share)) : mixingShares;
    throw new InvalidArgumentError('mixingShares', 'numbers between 0 and 1', wrong);
  }
}
