import { setMaxListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import PQueue from 'p-queue';
import pRetry from 'p-retry';
import { InvalidArgumentError, RemoteError } from '../errors.js';

export interface PacingOptions {
  /** Most requests at a time; fewer while the server is overloaded. Default 16. */
  concurrency?: number;
  /** How often a request is tried again after a failure that may pass. Default 10. */
  retries?: number;
  /** Seconds before the first retry; doubled for each further one up to 30, and up to doubled again by chance. Default 0.5. */
  backoff?: number;
  /** Default no limit. */
  requestsPerMinute?: number;
  /** Of the tokens that `run` is told of. Default no limit. */
  tokensPerMinute?: number;
}

export interface PacedWork {
  /** Tokens that the request will use, for `tokensPerMinute`. Default 0. */
  tokens?: number;
  signal?: AbortSignal;
}

const LONGEST_BACKOFF = 30_000;
/** A server that asks to wait longer has a quota by the hour or day, for which nobody should keep a process waiting. */
const LONGEST_WAIT = 15 * 60_000;
/** Tries at an address that never answered: it is more likely wrong than busy. */
const FIRST_TRIES = 3;
/** Requests that may start at once before an answer or an overload has shown what the server bears. */
const FIRST_CONCURRENCY = 4;

/**
 * Paces requests to one server: limits how many run at a time and a minute, and repeats those that fail in a way that
 * may pass. As in TCP, concurrency grows by one with each answer until the server is overloaded, then is halved, and
 * grows by one a round; a server's Retry-After holds all requests back, not only the one that got it.
 */
export class Pacer {
  readonly concurrency: number;
  readonly #options: Required<Pick<PacingOptions, 'retries' | 'backoff'>>;
  readonly #queue: PQueue;
  readonly #tokens: TokenRate | undefined;
  #pausedUntil = 0;
  #lastOverload = Number.NEGATIVE_INFINITY;
  #answers = 0;
  #answersSinceChange = 0;
  #retries = 0;

  /** @throws InvalidArgumentError for an option out of range */
  constructor(options: PacingOptions = {}) {
    const { concurrency, retries, backoff, requestsPerMinute, tokensPerMinute } = settlePacing(options);
    this.concurrency = concurrency;
    this.#options = { retries, backoff };
    this.#queue = new PQueue({ concurrency: Math.min(FIRST_CONCURRENCY, concurrency), ...windows(requestsPerMinute) });
    this.#tokens = tokensPerMinute === undefined ? undefined : new TokenRate(tokensPerMinute);
  }

  /** Requests that failed and were tried again, so far. */
  get retries(): number {
    return this.#retries;
  }

  /** How many requests may run at the moment. */
  get allowed(): number {
    return this.#queue.concurrency;
  }

  /**
   * Runs a request when its turn comes, and again after failures that may pass.
   * @param attempt one request; it tells a failure of the server by a RemoteError, and anything else it throws is final
   * @throws the last failure of the attempt; `signal.reason` when aborted
   */
  async run<T>(attempt: () => Promise<T>, { tokens = 0, signal }: PacedWork = {}): Promise<T> {
    signal?.throwIfAborted();
    // Each waiting request listens to the signal; Node's warning of a leak begins at 11.
    if (signal) setMaxListeners(0, signal);
    const { retries, backoff } = this.#options;
    const oneByOne = (tried: number) =>
      this.#queue.add(() => this.#attempt(attempt, { tokens, signal }), { signal, priority: tried });
    try {
      return await pRetry(oneByOne, {
        retries,
        minTimeout: backoff * 1000,
        maxTimeout: LONGEST_BACKOFF,
        randomize: true,
        signal,
        shouldRetry: ({ error, attemptNumber }) => this.#mayPass(error, attemptNumber),
      });
    } catch (error) {
      // The libraries wrap a reason that is no Error.
      signal?.throwIfAborted();
      throw error;
    }
  }

  async #attempt<T>(attempt: () => Promise<T>, { tokens, signal }: PacedWork): Promise<T> {
    await this.#tokens?.take(tokens ?? 0, signal);
    while (Date.now() < this.#pausedUntil) await wait(this.#pausedUntil - Date.now(), signal);
    signal?.throwIfAborted();
    const started = performance.now();
    try {
      const answer = await attempt();
      this.#grow();
      return answer;
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof RemoteError) this.#ease(error, started);
      throw error;
    }
  }

  #grow(): void {
    this.#answers += 1;
    this.#answersSinceChange += 1;
    const isFirstGrowth = this.#lastOverload === Number.NEGATIVE_INFINITY;
    if (this.#queue.concurrency >= this.concurrency) return;
    if (!isFirstGrowth && this.#answersSinceChange < this.#queue.concurrency) return;
    this.#queue.concurrency += 1;
    this.#answersSinceChange = 0;
  }

  /** Requests that were under way together meet the same overload: it counts once. */
  #ease({ failure, retryAfter }: RemoteError, started: number): void {
    if (retryAfter !== undefined && retryAfter <= LONGEST_WAIT)
      this.#pausedUntil = Math.max(this.#pausedUntil, Date.now() + retryAfter);
    if (failure !== 'overloaded' || started < this.#lastOverload) return;
    this.#lastOverload = performance.now();
    this.#answersSinceChange = 0;
    this.#queue.concurrency = Math.max(1, Math.floor(this.#queue.concurrency / 2));
  }

  #mayPass(error: Error, tried: number): boolean {
    if (!(error instanceof RemoteError) || error.failure === 'refused') return false;
    if (error.failure === 'unreachable' && this.#answers === 0 && tried >= FIRST_TRIES) return false;
    if ((error.retryAfter ?? 0) > LONGEST_WAIT) return false;
    this.#retries += 1;
    return true;
  }
}

type SettledPacing = Required<Pick<PacingOptions, 'concurrency' | 'retries' | 'backoff'>> & PacingOptions;

/** Fills in defaults. @throws InvalidArgumentError for an option out of range */
export function settlePacing(options: PacingOptions): SettledPacing {
  const { concurrency = 16, retries = 10, backoff = 0.5, requestsPerMinute, tokensPerMinute } = options;
  for (const [name, value, least] of [
    ['concurrency', concurrency, 1],
    ['retries', retries, 0],
  ] as const) {
    if (!Number.isInteger(value) || value < least) {
      throw new InvalidArgumentError(name, `a whole number of at least ${least}`, value);
    }
  }
  if (!(backoff >= 0 && backoff <= 60)) throw new InvalidArgumentError('backoff', 'seconds from 0 to 60', backoff);
  for (const [name, value] of Object.entries({ requestsPerMinute, tokensPerMinute })) {
    if (value !== undefined && !(value > 0 && Number.isFinite(value))) {
      throw new InvalidArgumentError(name, 'a number above 0, or none for no limit', value);
    }
  }
  return { concurrency, retries, backoff, requestsPerMinute, tokensPerMinute };
}

/** A rate as a few requests in each short window, so that a minute's requests do not all go out in its first second. */
function windows(perMinute: number | undefined): { interval?: number; intervalCap?: number } {
  if (perMinute === undefined) return {};
  const intervalCap = Math.max(1, Math.floor(perMinute / 600));
  return { interval: (60_000 * intervalCap) / perMinute, intervalCap };
}

/** Spreads tokens evenly over time; up to five seconds' worth may be used at once. */
class TokenRate {
  readonly #perMillisecond: number;
  /** When all tokens that were taken are paid for. */
  #paidAt = 0;

  constructor(perMinute: number) {
    this.#perMillisecond = perMinute / 60_000;
  }

  async take(tokens: number, signal?: AbortSignal): Promise<void> {
    const start = Math.max(this.#paidAt, Date.now() - 5000);
    this.#paidAt = start + tokens / this.#perMillisecond;
    if (start > Date.now()) await wait(start - Date.now(), signal);
  }
}

async function wait(milliseconds: number, signal?: AbortSignal): Promise<void> {
  try {
    await sleep(milliseconds, undefined, { signal });
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
}
