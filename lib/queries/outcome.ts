import type { ReplyJournal } from './journal.js';
import { checkReply, duplicateKey, type Rejection, type ReplyLimits } from './reply-check.js';
import type { QueryRequest } from './request.js';

/** What the replies to a request amount to. */
export interface RequestState {
  /** Absent where no reply was usable, or none is there yet. */
  query?: string;
  /** The model that says it wrote the query. */
  model?: string;
  /** Replies so far. */
  attempts: number;
  /** Why replies were not usable, one by one. */
  rejected: Rejection[];
}

/** The first usable reply decides. */
export function stateOf(request: QueryRequest, journal: ReplyJournal, limits: ReplyLimits): RequestState {
  const replies = journal.repliesTo(request);
  const rejected: Rejection[] = [];
  for (const reply of replies) {
    const checked = checkReply(reply, request.passage.text, limits);
    if (!('rejected' in checked))
      return { query: checked.query, model: reply.model, attempts: replies.length, rejected };
    rejected.push(checked.rejected);
  }
  return { attempts: replies.length, rejected };
}

/** A query as it is written to a file. */
export interface QueryRecord {
  passage: string;
  type: string;
  query: string;
  /** The model that says it wrote it. */
  model: string;
  /** SHA-256 of what the model was told. */
  promptHash: string;
}

/** A query that was not written, or not kept, and why. */
export interface FailedRecord {
  passage: string;
  type: string;
  place: number;
  promptHash: string;
  /** 'no reply' where the server failed or refused; `detail` then says how. */
  reason: Rejection | 'no reply';
  attempts: number;
  /** The server's words, or the passage and type of the query that a duplicate repeats. */
  detail?: string;
}

export interface Outcome {
  queries: QueryRecord[];
  failed: FailedRecord[];
  /** Replies that gave no query, also where a later attempt did. */
  rejectedReplies: Partial<Record<Rejection, number>>;
  /** Requests that were not asked, since the budget was used up. */
  open: number;
}

export interface OutcomeSources {
  requests: AsyncIterable<QueryRequest>;
  journal: ReplyJournal;
  limits: ReplyLimits;
  /** By hash: what servers said to requests that got no reply. */
  unanswered: ReadonlyMap<string, string>;
  /** Attempts after which a request without a usable reply has failed. */
  attempts: number;
}

/**
 * All queries in the plan's order, whatever the order in which replies came. Of queries that say the same, the first in
 * this order is kept: the same query for two passages would make each a wrong answer of the other's.
 */
export async function collectQueries(sources: OutcomeSources): Promise<Outcome> {
  const { requests, journal, limits, unanswered, attempts } = sources;
  const outcome: Outcome = { queries: [], failed: [], rejectedReplies: {}, open: 0 };
  const seen = new Map<string, string>();
  for await (const request of requests) {
    const { passage, type, place, hash: promptHash } = request;
    const state = stateOf(request, journal, limits);
    const named = { passage: passage.id, type, place, promptHash };
    for (const reason of state.rejected) outcome.rejectedReplies[reason] = (outcome.rejectedReplies[reason] ?? 0) + 1;
    if (state.query === undefined) {
      const detail = unanswered.get(promptHash);
      if (detail !== undefined) outcome.failed.push({ ...named, reason: 'no reply', attempts: state.attempts, detail });
      else if (state.attempts < attempts) outcome.open += 1;
      else outcome.failed.push({ ...named, reason: state.rejected.at(-1)!, attempts: state.attempts });
      continue;
    }
    const key = duplicateKey(state.query);
    const first = seen.get(key);
    if (first === undefined) {
      seen.set(key, `${passage.id} ${type}`);
      outcome.queries.push({ passage: passage.id, type, query: state.query, model: state.model!, promptHash });
    } else outcome.failed.push({ ...named, reason: 'duplicate', attempts: state.attempts, detail: first });
  }
  return outcome;
}
