import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { BudgetError } from '../errors.js';
import { readQueries } from '../formats/beir.js';
import { readJsonl } from '../formats/jsonl.js';
import { hashJson, type Json } from '../hashes.js';
import { readExampleQueries } from '../queries/example-queries.js';
import { llmIdentity } from '../queries/llm-options.js';
import { checkKeys } from '../queries/openai-writer.js';
import { type QueryType, readQueryTypes } from '../queries/query-type.js';
import { samplePassages } from '../queries/write-queries.js';
import { estimateWriting, type QueryWriting, runWriting, WRITING_FILES, type WritingJob } from '../queries/writing.js';
import type { SettledWriting } from '../queries/writing-options.js';
import { Manifest } from './manifest.js';
import type { Estimate } from './stage-runner.js';
import type { Workbench } from './workbench.js';

/** The part of the stage of queries that a language model does. */
export interface LlmQueries {
  /** What decides the queries beside prompts. */
  options: Record<string, Json | undefined>;
  /** SHA-256 of the prompts. */
  prompts: string;
  /** Why the stage is done again though nothing changed. */
  again?: string;
  estimate: () => Promise<Estimate>;
  /** Has the queries written. @returns their file, and what it came to */
  write: () => Promise<{ file: string; counts: Json }>;
}

/**
 * Reads the prompts; undefined where no language model writes.
 * @throws ListwiseError INVALID_ARGUMENT if there is work to do and a key is missing
 */
export async function openLlmQueries(bench: Workbench): Promise<LlmQueries | undefined> {
  const { writing } = bench.options;
  if (!writing) return undefined;
  const types = await typesOf(bench, writing);
  const again = writing.retryFailed && (await hasFailures(bench));
  if (again || !(await isComplete(bench))) checkKeys(writing.llm);
  return {
    options: decisive(writing),
    prompts: hashJson(types as unknown as Json),
    ...(again && { again: 'queries that failed are asked for again' }),
    estimate: () => estimateOf(bench, types),
    write: async () => {
      const result = await write(bench, types);
      return { file: result.queries, counts: countsOf(result) };
    },
  };
}

/** What decides the queries beside prompts. Where it decides what is used, the budget does too. */
function decisive({ llm, queriesPerPassage, language, limits, replyAttempts, whenSpent }: SettledWriting) {
  const { maxCost, maxTotalTokens, maxRequests } = llm;
  const budget =
    whenSpent === 'use' ? { llmBudget: [maxCost, maxTotalTokens, maxRequests].map((most) => most ?? null) } : {};
  const limit = { maxQueryWords: limits.maxWords, maxCopiedWords: limits.maxCopiedWords, replyAttempts };
  return { llm: llmIdentity(llm), queriesPerPassage, language, ...limit, ...budget };
}

/** The test queries are what the trained model is judged by: no prompt may show them. */
export async function typesOf(bench: Workbench, { queryTypes, exampleQueries }: SettledWriting): Promise<QueryType[]> {
  if (exampleQueries === undefined) return readQueryTypes(queryTypes);
  const { corpus, options } = bench;
  const { data, signal } = options;
  const tested = data === undefined ? [] : await readQueries(data, { signal });
  const hidden = new Set(tested.map(({ text }) => text));
  const { examples } = await readExampleQueries(exampleQueries, { corpus, hidden, signal });
  return readQueryTypes(queryTypes, examples);
}

async function isComplete({ directory }: Workbench): Promise<boolean> {
  return (await Manifest.open(directory.file('manifest'))).get('queries')?.complete === true;
}

/** Whether an earlier session left queries that a further attempt may give; a duplicate is none. */
async function hasFailures({ directory, options }: Workbench): Promise<boolean> {
  const file = join(directory.file('writing'), WRITING_FILES.failed);
  if (!(await stat(file).catch(() => undefined))?.isFile()) return false;
  for await (const { value } of readJsonl(file, { signal: options.signal })) {
    if (value.reason !== 'duplicate') return true;
  }
  return false;
}

/** @throws BudgetError if the budget is used up before all is asked, unless what there is shall be used */
async function write(bench: Workbench, types: readonly QueryType[]): Promise<QueryWriting> {
  const result = await runWriting(await jobOf(bench, types));
  const { stopped, written, open } = result;
  if (!stopped || bench.options.writing!.whenSpent === 'use') return result;
  throw new BudgetError(
    `The budget for the language model is used up: ${written} queries are written and kept, ${open} are still to be ` +
      'asked. Raise it and start again to go on, or set llmWhenSpent to use and go on with what there is.',
  );
}

async function jobOf(bench: Workbench, types: readonly QueryType[]): Promise<WritingJob> {
  const { corpus, options, directory, work } = bench;
  const { maxPassages, seed, signal, writing, onEstimate } = options;
  // A plan may be asked for before the corpus stage has said what is unusable; then it is at most this much.
  const isKnown = (await stat(directory.file('corpus')).catch(() => undefined))?.isFile();
  const unusable = isKnown ? await bench.unusable() : new Set<string>();
  const sampling = { unusable: (id: string) => unusable.has(id), maxPassages, seed, signal };
  const passages = await samplePassages(corpus, sampling);
  return { settings: writing!, types, passages, seed, directory: directory.file('writing'), onEstimate, ...work };
}

async function estimateOf(bench: Workbench, types: readonly QueryType[]): Promise<Estimate> {
  const { requests, promptTokens, newTokens, cost } = await estimateWriting(await jobOf(bench, types));
  return { count: requests, unit: 'requests', tokens: promptTokens + newTokens, cost };
}

/** What it came to, for the manifest. */
function countsOf({ written, failed, rejectedReplies, models, open, spent }: QueryWriting): Json {
  return { queries: written, failed, rejectedReplies, models, open, ...spent } as Json;
}
