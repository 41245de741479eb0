import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { breather } from '../event-loop.js';
import { writeLines } from '../formats/atomic.js';
import { readJsonl, requireString, writeJsonl } from '../formats/jsonl.js';
import { makeDirectory } from '../formats/writing.js';
import { lockOutput } from '../output-lock.js';
import type { LongWork, Passage } from '../types.js';
import { askForQueries } from './asking.js';
import { ReplyJournal } from './journal.js';
import { askedModels } from './llm-options.js';
import { collectQueries, type FailedRecord, type Outcome, stateOf } from './outcome.js';
import { WriterPool } from './pool.js';
import type { QueryType } from './query-type.js';
import type { Rejection } from './reply-check.js';
import { type PlanOptions, planRequests, type QueryRequest } from './request.js';
import { roughTokens, Spending, type Spent } from './spending.js';
import type { SettledWriting } from './writing-options.js';

/** Files of a directory in which queries are written. */
export const WRITING_FILES = {
  queries: 'queries.jsonl',
  replies: 'replies.jsonl',
  failed: 'failed.jsonl',
  summary: 'summary.json',
  lock: 'queries.lock',
} as const;

/** All that decides which queries are written, and where. */
export interface WritingJob extends LongWork {
  settings: SettledWriting;
  types: readonly QueryType[];
  passages: Iterable<Passage>;
  seed: number;
  /** Replies that are there already are used. */
  directory: string;
  /** Hears, before the first request, what is to be asked. */
  onEstimate?: (estimate: QueryEstimate) => void;
}

/** What a run will ask, as far as one can tell before. */
export interface QueryEstimate {
  /** All that are to be written. */
  queries: number;
  /** Of these, those with a usable reply already. */
  answered: number;
  /** Of these, those that failed before and are left alone. */
  failed: number;
  /** What remains: at least one request each. */
  requests: number;
  /** Of the remaining requests, by 4 bytes a token. */
  promptTokens: number;
  /** Most new tokens of the remaining requests. */
  newTokens: number;
  /** Most that the remaining requests cost, without further attempts; absent where no prices were given. */
  cost?: number;
  /** What earlier sessions spent. */
  spent: Spent;
}

/** What became of the queries. */
export interface QueryWriting {
  directory: string;
  /** The file with the queries. */
  queries: string;
  /** How many there are in the end. */
  written: number;
  /** How many are not, by reason; failed.jsonl lists them. */
  failed: Partial<Record<FailedRecord['reason'], number>>;
  /** Replies that gave no query, by reason, also where a later attempt did. */
  rejectedReplies: Partial<Record<Rejection, number>>;
  /** Queries by the model that wrote them. */
  models: Record<string, number>;
  /** Not asked, since the budget was used up. */
  open: number;
  /** Why it ended early, if it did. */
  stopped?: 'budget';
  /** Over all sessions. */
  spent: Spent;
  /** Requests of this session that met a fault of the server and were tried again. */
  retries: number;
}

/**
 * Has a language model write queries for passages. Into the directory go queries.jsonl, {"passage", "type", "query",
 * "model", "promptHash"} in the corpus' order; replies.jsonl, each reply as it came; failed.jsonl; and summary.json.
 * Started again with the same job it asks only for what has no reply yet.
 * @throws RemoteError, ListwiseError REMOTE if no server answers; ListwiseError BUSY if another process works in the
 *   directory; WriteError; `signal.reason` when aborted
 */
export async function runWriting(job: WritingJob): Promise<QueryWriting> {
  const { settings, directory, signal, onProgress } = job;
  await makeDirectory(directory);
  using _ = await lockOutput(directory, { file: join(directory, WRITING_FILES.lock) });
  await using pool = WriterPool.open(settings.llm);
  await using journal = await ReplyJournal.open(join(directory, WRITING_FILES.replies), signal);
  const spending = await spendingOf(job, journal);
  const before = await failedBefore(job);
  const estimate = await estimateFrom(job, { journal, spending, left: before });
  job.onEstimate?.(estimate);
  const { temperature, maxNewTokens } = settings.llm;
  const asked = await askForQueries({
    ...{ requests: requestsOf(job), total: estimate.queries, pool, journal, spending, signal, onProgress },
    ...{ limits: settings.limits, attempts: settings.replyAttempts, leave: new Set(before.keys()) },
    ...{ again: settings.retryFailed, temperature, maxNewTokens },
    bodies: new Map(askedModels(settings.llm.endpoints).map(({ name, body }) => [name, body])),
  });
  const unanswered = new Map([...before, ...asked.unanswered]);
  const outcome = await finish(job, journal, unanswered);
  const stopped = asked.isSpent && outcome.open > 0 ? { stopped: 'budget' as const } : {};
  const result = { ...summaryOf(job, outcome), ...stopped, spent: spending.spent, retries: pool.retries };
  await writeLines(join(directory, WRITING_FILES.summary), [JSON.stringify(result, null, 2)]);
  return result;
}

/** What is to be asked and what it may cost; asks nothing. */
export async function estimateWriting(job: WritingJob): Promise<QueryEstimate> {
  const { directory, signal } = job;
  const journal = await ReplyJournal.read(join(directory, WRITING_FILES.replies), signal);
  return estimateFrom(job, { journal, spending: await spendingOf(job, journal), left: await failedBefore(job) });
}

interface Sources {
  journal: ReplyJournal;
  spending: Spending;
  left: ReadonlyMap<string, string>;
}

async function estimateFrom(job: WritingJob, { journal, spending, left }: Sources): Promise<QueryEstimate> {
  const { limits, replyAttempts, retryFailed, llm } = job.settings;
  const estimate = { queries: 0, answered: 0, failed: 0, requests: 0, promptTokens: 0, newTokens: 0 };
  let cost = 0;
  for await (const request of requestsOf(job)) {
    estimate.queries += 1;
    const { query, attempts } = stateOf(request, journal, limits);
    if (query !== undefined) estimate.answered += 1;
    else if (left.has(request.hash) || (attempts >= replyAttempts && !retryFailed)) estimate.failed += 1;
    else {
      const use = { prompt: roughTokens(request.prompt), completion: llm.maxNewTokens };
      estimate.requests += 1;
      estimate.promptTokens += use.prompt;
      estimate.newTokens += use.completion;
      cost += spending.costOf(request.model, use);
    }
  }
  const { spent } = spending;
  return { ...estimate, ...(spent.cost !== undefined && { cost }), spent };
}

/** The requests of a job, from the first. */
export function requestsOf({ settings, types, passages, seed, signal }: WritingJob): AsyncGenerator<QueryRequest> {
  const { llm, queriesPerPassage, language } = settings;
  const { endpoints, temperature, maxNewTokens } = llm;
  const plan: PlanOptions = {
    passages,
    types,
    queriesPerPassage,
    seed,
    language,
    temperature,
    maxNewTokens,
    models: askedModels(endpoints),
  };
  return planRequests(plan, signal);
}

/** A budget that knows what earlier sessions spent, on prompts that are no longer used too. */
export async function spendingOf({ settings, signal }: WritingJob, journal: ReplyJournal): Promise<Spending> {
  const spending = new Spending(settings.llm);
  const breathe = breather(signal);
  for (const { asked, tokens } of journal) {
    spending.add(asked, tokens);
    await breathe();
  }
  return spending;
}

/** By hash: why requests of earlier sessions got no reply. Empty where they are to be asked again. */
async function failedBefore({ directory, settings, signal }: WritingJob): Promise<Map<string, string>> {
  const failed = new Map<string, string>();
  const file = join(directory, WRITING_FILES.failed);
  const isThere = (await stat(file).catch(() => undefined))?.isFile();
  if (!isThere || settings.retryFailed) return failed;
  for await (const { value, line } of readJsonl(file, { signal })) {
    if (value.reason !== 'no reply') continue;
    const place = { file, line };
    failed.set(requireString(value, 'promptHash', place), requireString(value, 'detail', place));
  }
  return failed;
}

/** Writes what there is: queries.jsonl and failed.jsonl. */
export async function finish(
  job: WritingJob,
  journal: ReplyJournal,
  unanswered: ReadonlyMap<string, string>,
): Promise<Outcome> {
  const { directory, settings, signal } = job;
  const { limits, replyAttempts: attempts } = settings;
  const outcome = await collectQueries({ requests: requestsOf(job), journal, limits, unanswered, attempts });
  await writeJsonl(join(directory, WRITING_FILES.queries), outcome.queries, { signal });
  await writeJsonl(join(directory, WRITING_FILES.failed), outcome.failed, { signal });
  return outcome;
}

/** Counts of an outcome. */
export function summaryOf({ directory }: WritingJob, { queries, failed, rejectedReplies, open }: Outcome) {
  const byReason: QueryWriting['failed'] = {};
  for (const { reason } of failed) byReason[reason] = (byReason[reason] ?? 0) + 1;
  const models: Record<string, number> = {};
  for (const { model } of queries) models[model] = (models[model] ?? 0) + 1;
  const file = join(directory, WRITING_FILES.queries);
  return { directory, queries: file, written: queries.length, failed: byReason, rejectedReplies, models, open };
}
