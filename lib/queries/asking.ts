import { ListwiseError, RemoteError } from '../errors.js';
import { concurrently } from '../http/concurrent.js';
import type { LongWork } from '../types.js';
import type { ReplyJournal, TokenUse } from './journal.js';
import { stateOf } from './outcome.js';
import type { WriterPool } from './pool.js';
import type { ReplyLimits } from './reply-check.js';
import { chatBody, type ExtraBody, type QueryRequest } from './request.js';
import { roughTokens, type Spending } from './spending.js';

/** Requests in a row that got no reply after which the server is taken to be down. */
const FAILURES = 5;

/** Statuses that every further request would get too: key, account and model. */
const FINAL = [401, 402, 403, 404];

export interface AskingOptions extends LongWork {
  /** Queries to be written, as planRequests gives them. */
  requests: AsyncIterable<QueryRequest>;
  /** How many these are, for progress. */
  total: number;
  pool: WriterPool;
  journal: ReplyJournal;
  spending: Spending;
  limits: ReplyLimits;
  /** Replies without a usable query after which a request has failed. */
  attempts: number;
  /** Hashes of requests that failed before and are left alone. */
  leave: ReadonlySet<string>;
  /** Whether those without a usable reply get as many attempts again. */
  again: boolean;
  temperature: number;
  maxNewTokens: number;
  /** By model. */
  bodies: ReadonlyMap<string, ExtraBody>;
}

export interface Asked {
  /** By hash of the request: why there is no reply. */
  unanswered: Map<string, string>;
  /** Whether the budget ended it. */
  isSpent: boolean;
}

/**
 * Asks for queries that have no usable reply yet, many at a time, and stores each reply the moment it comes. An abort
 * loses only replies that are under way.
 * @throws RemoteError or ListwiseError REMOTE where no further request can succeed: a wrong key, an unknown model, a
 *   server that is down; `signal.reason` when aborted
 */
export async function askForQueries(options: AskingOptions): Promise<Asked> {
  const asking = new Asking(options);
  const { requests, pool } = options;
  for await (const _ of concurrently(asking.open(requests), (request) => asking.write(request), pool.concurrency)) {
    asking.report();
  }
  asking.report();
  return { unanswered: asking.unanswered, isSpent: asking.isSpent };
}

class Asking {
  readonly unanswered = new Map<string, string>();
  isSpent = false;
  readonly #options: AskingOptions;
  readonly #stop = new AbortController();
  readonly #signal: AbortSignal;
  #done = 0;
  #answered = false;
  #failuresInARow = 0;
  #reported = 0;

  constructor(options: AskingOptions) {
    this.#options = options;
    const { signal } = options;
    this.#signal = signal ? AbortSignal.any([signal, this.#stop.signal]) : this.#stop.signal;
  }

  /** Requests that are to be asked, as long as there is budget. */
  async *open(requests: AsyncIterable<QueryRequest>): AsyncGenerator<QueryRequest> {
    const { journal, limits, attempts, leave, again } = this.#options;
    for await (const request of requests) {
      if (this.isSpent) return;
      const state = stateOf(request, journal, limits);
      const isOver = state.query !== undefined || leave.has(request.hash) || (!again && state.attempts >= attempts);
      if (isOver) this.#done += 1;
      else yield request;
    }
  }

  /** Asks until there is a usable reply, or as often as is allowed. */
  async write(request: QueryRequest): Promise<void> {
    const { journal, limits, attempts, again } = this.#options;
    const earlier = stateOf(request, journal, limits).attempts;
    const allowed = again && earlier >= attempts ? earlier + attempts : attempts;
    for (let attempt = earlier; attempt < allowed; attempt++) {
      if (!(await this.#ask(request, attempt))) return;
      if (stateOf(request, journal, limits).query !== undefined) break;
    }
    this.#done += 1;
  }

  /** @returns whether there is a reply */
  async #ask(request: QueryRequest, attempt: number): Promise<boolean> {
    const { temperature, maxNewTokens, bodies, spending, journal, pool } = this.#options;
    const { model, prompt, passage, type, place, hash } = request;
    const most = { prompt: roughTokens(prompt), completion: maxNewTokens };
    const settle = await spending.reserve(model, most);
    if (!settle) {
      this.isSpent = true;
      return false;
    }
    let used: TokenUse | undefined;
    try {
      const body = chatBody(request, { temperature, maxNewTokens, body: bodies.get(model) ?? {} }, attempt);
      const reply = await pool.ask(body, { tokens: most.prompt + most.completion, signal: this.#signal });
      used = reply.tokens ?? { prompt: most.prompt, completion: roughTokens(reply.text) };
      const { text, finish } = reply;
      const named = { passage: passage.id, type, place, prompt: hash, attempt, asked: model };
      await journal.append({ ...named, model: reply.model, text, finish, tokens: used });
      this.#answered = true;
      this.#failuresInARow = 0;
      return true;
    } catch (error) {
      this.#fail(request, error);
      return false;
    } finally {
      settle(used);
    }
  }

  /** Notes why one request has no reply. @throws where none of the others would have one */
  #fail(request: QueryRequest, error: unknown): void {
    const { signal } = this.#options;
    signal?.throwIfAborted();
    // Interrupted because another request has met something final, which is thrown there.
    if (this.#stop.signal.aborted) return;
    if (!(error instanceof RemoteError)) throw this.#end(error);
    if (error.failure === 'refused' && (error.status === undefined || FINAL.includes(error.status)))
      throw this.#end(error);
    this.#failuresInARow += 1;
    this.unanswered.set(request.hash, error.message);
    if (error.failure === 'unreachable' && !this.#answered) throw this.#end(error);
    if (this.#failuresInARow < FAILURES) return;
    const kept = this.#options.journal.size;
    throw this.#end(
      new ListwiseError(
        'REMOTE',
        `${FAILURES} requests in a row got no reply, the last because ${error.message} The ${kept} replies so far are ` +
          'kept: mend what is wrong and start again.',
        { cause: error },
      ),
    );
  }

  #end(error: unknown): unknown {
    this.#stop.abort(error);
    return error;
  }

  /** Tells at most ten times a second, and at the end. */
  report(): void {
    const { onProgress, total, spending } = this.#options;
    const now = performance.now();
    if (now - this.#reported < 100 && this.#done < total) return;
    this.#reported = now;
    const { promptTokens, completionTokens, cost } = spending.spent;
    const note = this.unanswered.size > 0 ? `${this.unanswered.size} without a reply` : undefined;
    const tokens = promptTokens + completionTokens;
    onProgress?.({ stage: 'queries', done: this.#done, total, unit: 'queries', tokens, cost, note });
  }
}
