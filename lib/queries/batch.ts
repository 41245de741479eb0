import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { DataError, describe } from '../errors.js';
import { writeLines } from '../formats/atomic.js';
import { type JsonLine, readJsonl, requireString } from '../formats/jsonl.js';
import { makeDirectory, writing } from '../formats/writing.js';
import { lockOutput } from '../output-lock.js';
import { readCompletion, StrangeReply, shown } from './chat-completion.js';
import { ReplyJournal } from './journal.js';
import { askedModels } from './llm-options.js';
import { sameModel } from './openai-writer.js';
import { stateOf } from './outcome.js';
import { chatBody, type QueryRequest } from './request.js';
import { roughTokens } from './spending.js';
import type { Completion } from './writer.js';
import {
  finish,
  type QueryWriting,
  requestsOf,
  spendingOf,
  summaryOf,
  WRITING_FILES,
  type WritingJob,
} from './writing.js';

/** What a batch may hold at OpenAI: 50,000 requests and 200 MB. */
const MOST_REQUESTS = 50_000;
const MOST_BYTES = 190e6;

export interface BatchExport {
  /** The files, each a batch of its own. */
  files: string[];
  requests: number;
  /** Whether the budget allowed no more. */
  stopped?: 'budget';
}

/**
 * Writes what would be asked now as files for a batch API: {"custom_id", "method", "url", "body"} a line, one model a
 * file. The replies come back by importBatch, after which a further export has what is still without a usable reply.
 * @see https://platform.openai.com/docs/guides/batch
 */
export async function exportBatch(job: WritingJob, directory: string): Promise<BatchExport> {
  const { settings, signal } = job;
  const { temperature, maxNewTokens, endpoints } = settings.llm;
  const journal = await ReplyJournal.read(join(job.directory, WRITING_FILES.replies), signal);
  const spending = await spendingOf(job, journal);
  await removeEarlier(directory);
  const files = new BatchFiles(directory);
  const result: BatchExport = { files: files.written, requests: 0 };
  for (const { name, body } of askedModels(endpoints)) {
    for await (const request of requestsOf(job)) {
      const { query, attempts } = stateOf(request, journal, settings.limits);
      const isOver = query !== undefined || (attempts >= settings.replyAttempts && !settings.retryFailed);
      if (request.model !== name || isOver) continue;
      const use = { prompt: roughTokens(request.prompt), completion: maxNewTokens };
      if (!spending.take(name, use)) {
        result.stopped = 'budget';
        break;
      }
      const asked = chatBody(request, { temperature, maxNewTokens, body }, attempts);
      const line = { custom_id: customId(request, attempts), method: 'POST', url: '/v1/chat/completions', body: asked };
      await files.add(JSON.stringify(line));
      result.requests += 1;
    }
    await files.close();
  }
  return result;
}

const FILE = /^requests-\d{4}\.jsonl$/;

/** Files of an earlier export, which would be sent again beside the new ones. */
async function removeEarlier(directory: string): Promise<void> {
  for (const name of await readdir(directory).catch(() => [])) {
    if (FILE.test(name)) await writing(directory, () => rm(join(directory, name)));
  }
}

/** Cuts lines into files of a batch's size. A file is written when it is full, so at most one is held in memory. */
class BatchFiles {
  readonly written: string[] = [];
  #lines: string[] = [];
  #bytes = 0;

  constructor(readonly directory: string) {}

  async add(line: string): Promise<void> {
    const bytes = Buffer.byteLength(line) + 1;
    if (this.#lines.length === MOST_REQUESTS || this.#bytes + bytes > MOST_BYTES) await this.close();
    this.#lines.push(line);
    this.#bytes += bytes;
  }

  async close(): Promise<void> {
    if (this.#lines.length === 0) return;
    await makeDirectory(this.directory);
    const file = join(this.directory, `requests-${String(this.written.length + 1).padStart(4, '0')}.jsonl`);
    await writeLines(file, this.#lines);
    this.written.push(file);
    this.#lines = [];
    this.#bytes = 0;
  }
}

/** Names a request and the attempt, within the 64 characters that all services allow. */
function customId({ hash }: QueryRequest, attempt: number): string {
  return `${hash.slice(0, 48)}-${attempt}`;
}

export interface BatchImport extends QueryWriting {
  /** Replies that were taken in. */
  imported: number;
  /** Replies that were there already. */
  known: number;
  /** Replies to other requests than this job's. */
  foreign: number;
}

/**
 * Takes in the replies of a batch API, in whatever order, and writes the queries that there are.
 * @param files files of {"custom_id", "response": {"status_code", "body"}, "error"} a line
 * @throws DataError naming the line of what is no such reply, or if none is to a request of this job
 */
export async function importBatch(job: WritingJob, files: readonly string[]): Promise<BatchImport> {
  const { settings, signal, directory } = job;
  const replies = await readReplies(files, signal);
  const counts = { imported: 0, known: 0, foreign: replies.size };
  const unanswered = new Map<string, string>();
  await makeDirectory(directory);
  using _ = await lockOutput(directory, { file: join(directory, WRITING_FILES.lock) });
  await using journal = await ReplyJournal.open(join(directory, WRITING_FILES.replies), signal);
  for await (const request of requestsOf(job)) {
    const there = new Set(journal.repliesTo(request).map(({ attempt }) => attempt));
    for (let attempt = 0; replies.has(customId(request, attempt)) || there.has(attempt); attempt++) {
      const reply = replies.get(customId(request, attempt));
      if (!reply) continue;
      counts.foreign -= 1;
      if (there.has(attempt)) counts.known += 1;
      else if ('problem' in reply) unanswered.set(request.hash, reply.problem);
      else {
        await store(journal, { request, attempt, reply, any: settings.llm.replyModel === 'any' });
        counts.imported += 1;
      }
    }
  }
  if (replies.size > 0 && counts.foreign === replies.size) {
    const problem =
      'None of the replies is to a request of this run; were options, prompts or the corpus changed since?';
    throw new DataError({ file: files.join(', ') }, problem);
  }
  const outcome = await finish(job, journal, unanswered);
  return { ...summaryOf(job, outcome), spent: (await spendingOf(job, journal)).spent, retries: 0, ...counts };
}

interface Arrival {
  request: QueryRequest;
  attempt: number;
  reply: Completion & { file: string; line: number };
  /** Whether any model may have answered. */
  any: boolean;
}

async function store(journal: ReplyJournal, { request, attempt, reply, any }: Arrival): Promise<void> {
  const { passage, type, place, hash, model: asked, prompt } = request;
  const { text, finish, model, file, line } = reply;
  if (!any && !sameModel(asked, model)) {
    const problem = `Expected a reply of ${asked} but it comes from ${model}; if that is the same model, set llmReplyModel to any.`;
    throw new DataError({ file, line, field: 'model' }, problem);
  }
  const tokens = reply.tokens ?? { prompt: roughTokens(prompt), completion: roughTokens(text) };
  const named = { passage: passage.id, type, place, prompt: hash, attempt, asked };
  await journal.append({ ...named, model, text, finish, tokens });
}

type BatchReply = (Completion & { file: string; line: number }) | { problem: string };

async function readReplies(files: readonly string[], signal?: AbortSignal): Promise<Map<string, BatchReply>> {
  const replies = new Map<string, BatchReply>();
  for (const file of files) {
    for await (const line of readJsonl(file, { signal, expected: "a batch API's file of replies" })) {
      replies.set(requireString(line.value, 'custom_id', { file, line: line.line }), readReply(line, file));
    }
  }
  return replies;
}

function readReply({ value, line }: JsonLine, file: string): BatchReply {
  const { response, error } = value as { response?: { status_code?: unknown; body?: unknown } | null; error?: unknown };
  if (error !== null && error !== undefined) return { problem: shown(JSON.stringify(error)) };
  if (typeof response !== 'object' || response === null) {
    throw new DataError({ file, line, field: 'response' }, `Expected a response but found ${describe(response)}.`);
  }
  const { status_code: status, body } = response;
  if (status === undefined) {
    return { problem: `answered, but without a status and a body: ${shown(JSON.stringify(response))}` };
  }
  if (status !== 200) return { problem: `answered ${shown(status)}: ${shown(JSON.stringify(body))}` };
  try {
    return { ...readCompletion(body), file, line };
  } catch (cause) {
    if (!(cause instanceof StrangeReply)) throw cause;
    return { problem: `answered, but not with a chat completion: ${cause.message}` };
  }
}
