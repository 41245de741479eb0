import { concurrently } from '../http/concurrent.js';
import { Endpoint, type EndpointOptions } from '../http/endpoint.js';
import { Budget, type BudgetLimits } from './budget.js';
import type { TeacherPassage, TeacherRequest, TeacherScores, TeacherWork } from './teacher.js';

/** What goes to a server in one request. */
export interface Piece {
  query: { id: string; text: string };
  passages: readonly TeacherPassage[];
}

export interface RemoteOptions {
  endpoint: Endpoint;
  /** Most passages in a request. */
  batchSize: number;
  limits: BudgetLimits;
  ask: (piece: Piece, signal?: AbortSignal) => Promise<TeacherScores>;
}

/** The endpoint of a teacher, from its options, which may hold others. */
export function openEndpoint(options: EndpointOptions): Endpoint {
  const { url, keyVariable, keyHeader, timeout, concurrency, retries, backoff, ...rates } = options;
  const { requestsPerMinute, tokensPerMinute } = rates;
  const pacing = { concurrency, retries, backoff, requestsPerMinute, tokensPerMinute };
  return new Endpoint({ url, keyVariable, keyHeader, timeout, ...pacing });
}

/** How a server is doing, as far as a reader would like to know. */
export function noteOf({ pacer }: Endpoint): string | undefined {
  return pacer.retries > 0 ? `${pacer.retries} retries, ${pacer.allowed} at a time` : undefined;
}

/** Cuts requests into pieces, asks for several at a time, and keeps to the budget. */
export async function* askServer(
  requests: Iterable<TeacherRequest> | AsyncIterable<TeacherRequest>,
  { endpoint, batchSize, limits, ask }: RemoteOptions,
  { signal, spent }: TeacherWork,
): AsyncGenerator<TeacherScores> {
  const budget = new Budget(limits, spent);
  const askOne = async (piece: Piece) => {
    signal?.throwIfAborted();
    budget.take(piece.passages.length);
    const scores = await ask(piece, signal);
    budget.add(scores.tokens ?? 0);
    return scores;
  };
  // Some requests wait for their next try, so more are begun than may run at a time.
  yield* concurrently(pieces(requests, batchSize), askOne, 2 * endpoint.pacer.concurrency);
}

async function* pieces(
  requests: Iterable<TeacherRequest> | AsyncIterable<TeacherRequest>,
  batchSize: number,
): AsyncGenerator<Piece> {
  for await (const { query, passages } of requests) {
    for (let start = 0; start < passages.length; start += batchSize) {
      yield { query, passages: passages.slice(start, start + batchSize) };
    }
  }
}

/** A field of JSON that came from outside, or undefined. */
export function field(value: unknown, ...names: (string | number)[]): unknown {
  let current = value;
  for (const name of names) {
    if (typeof current !== 'object' || current === null) return undefined;
    current = (current as Record<string | number, unknown>)[name];
  }
  return current;
}

/** Tokens by the usual fields of a reply; 0 where it tells none. */
export function tokensOf(reply: unknown): number {
  const tokens = field(reply, 'usage', 'total_tokens') ?? field(reply, 'meta', 'tokens', 'input_tokens');
  return typeof tokens === 'number' && Number.isFinite(tokens) ? tokens : 0;
}

/** A rough count before the server's own, for rates: four characters a token. */
export function estimateTokens({ query, passages }: Piece): number {
  return passages.reduce((sum, { text }) => sum + Math.ceil((query.text.length + text.length) / 4), 0);
}

/** An address with a path at its end, which may be there already. */
export function withPath(url: string, path: string): string {
  const whole = new URL(url);
  const base = whole.pathname.replace(/\/+$/, '');
  whole.pathname = base.endsWith(path) ? base : base + path;
  whole.hash = '';
  return whole.href;
}
