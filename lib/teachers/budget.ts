import { BudgetError, InvalidArgumentError } from '../errors.js';
import type { Spent } from './teacher.js';

/** Limits to what a teacher may ask of a server, counted over all runs on one run directory. Default none. */
export interface BudgetLimits {
  /** Most requests that are answered; repeats of those that failed do not count. */
  maxRequests?: number;
  /** Most pairs of a query and a passage. */
  maxPairs?: number;
  /** Most tokens, as the server counts them. Known only with the answer, so requests under way may go beyond. */
  maxTokens?: number;
}

const LIMITS = { requests: 'maxRequests', pairs: 'maxPairs', tokens: 'maxTokens' } as const;

/** Counts what is spent and refuses what would go beyond. */
export class Budget {
  readonly #limits: BudgetLimits;
  readonly #spent: Spent;

  constructor(limits: BudgetLimits, spent: Spent = { requests: 0, pairs: 0, tokens: 0 }) {
    this.#limits = limits;
    this.#spent = { ...spent };
  }

  /** Before a request. @throws BudgetError if a limit does not allow it */
  take(pairs: number): void {
    const next = {
      requests: this.#spent.requests + 1,
      pairs: this.#spent.pairs + pairs,
      tokens: this.#spent.tokens + 1,
    };
    for (const [what, option] of Object.entries(LIMITS) as [keyof Spent, keyof BudgetLimits][]) {
      const limit = this.#limits[option];
      if (limit === undefined || next[what] <= limit) continue;
      throw new BudgetError(
        `The teacher's budget is used up: ${this.#spent[what]} ${what} of ${option} ${limit}. What is scored is kept; ` +
          `raise ${option} and start again to go on.`,
      );
    }
    this.#spent.requests = next.requests;
    this.#spent.pairs = next.pairs;
  }

  /** After the answer. */
  add(tokens: number): void {
    this.#spent.tokens += tokens;
  }
}

/** @throws InvalidArgumentError for a limit that is no whole number above 0 */
export function checkBudget(limits: BudgetLimits): void {
  for (const option of Object.values(LIMITS)) {
    const limit = limits[option];
    if (limit === undefined || (Number.isSafeInteger(limit) && limit > 0)) continue;
    throw new InvalidArgumentError(option, 'a whole number above 0, or none for no limit', limit);
  }
}
