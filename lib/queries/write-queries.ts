import {
  type Corpus,
  type CorpusOptions,
  type CorpusSource,
  corpusOptionNames,
  corpusOptionsOf,
  loadCorpus,
} from '../corpus/corpus.js';
import { type DuplicateOptions, findDuplicates, settleDuplicateOptions } from '../corpus/duplicates.js';
import { checkExclusion, type ExclusionOptions, excludedPassages } from '../corpus/exclusion.js';
import { sampleIds } from '../corpus/sample.js';
import { InvalidArgumentError } from '../errors.js';
import { breather } from '../event-loop.js';
import { rejectUnknownOptions } from '../option-names.js';
import type { LongWork, Passage } from '../types.js';
import { type BatchExport, type BatchImport, exportBatch, importBatch } from './batch.js';
import { readExampleQueries } from './example-queries.js';
import { checkKeys } from './openai-writer.js';
import { readQueryTypes } from './query-type.js';
import { estimateWriting, type QueryEstimate, type QueryWriting, runWriting, type WritingJob } from './writing.js';
import {
  type QueryWritingOptions,
  queryWritingOptionNames,
  type SettledWriting,
  settleWritingOptions,
} from './writing-options.js';

/** What writeQueries takes. `corpus`, `output` and a model (`llmModel`, `llmGguf` or `llmEndpoints`) must be given. */
export interface WriteQueriesOptions
  extends Omit<QueryWritingOptions, 'llmWhenSpent'>,
    CorpusOptions,
    DuplicateOptions,
    ExclusionOptions,
    LongWork {
  /** The passages: files or passages at hand, as loadCorpus takes them. */
  corpus: CorpusSource;
  /** The directory for queries.jsonl, replies.jsonl, failed.jsonl and summary.json. Replies there are used again. */
  output: string;
  /** Most passages for which queries are written, a seeded sample. Default 100,000. */
  maxPassages?: number;
  /** Of sample, examples and replies. Default 1. */
  seed?: number;
  /** Hears, when the corpus is read, what was found in it. */
  onCorpus?: (corpus: Corpus) => void;
  /** Hears, before the first request, what is to be asked and what it may cost. */
  onEstimate?: (estimate: QueryEstimate) => void;
}

/** Names of WriteQueriesOptions, for refusing others. */
export const writeQueriesOptionNames: readonly string[] = [
  ...[
    'corpus',
    'output',
    'exclude',
    'excludeQrels',
    'nearDuplicates',
    'maxPassages',
    'minCharacters',
    'duplicateWindow',
    'seed',
    'onCorpus',
    'onEstimate',
  ],
  ...['sortMemory', 'temporaryDirectory', 'signal', 'onProgress'],
  ...corpusOptionNames,
  ...queryWritingOptionNames.filter((name) => name !== 'llmWhenSpent'),
];

/**
 * Has a language model write queries for the passages of a corpus, duplicates taken out. The result's file is what
 * specialize takes as `queries`. Stopped and started again with the same output, it asks nothing twice; changed prompts
 * or models are asked, what stays the same is not.
 * @throws InvalidArgumentError for options, before any work
 * @throws NotFoundError, DataError for what the options name
 * @throws RemoteError or ListwiseError REMOTE where no server answers; what came before is kept
 */
export async function writeQueries(options: WriteQueriesOptions): Promise<QueryWriting> {
  return withJob(options, 'writeQueries', runWriting, (settings) => checkKeys(settings.llm));
}

/** What writeQueries with the same options would ask, and what it may cost. Asks nothing and writes nothing. */
export async function estimateQueries(options: WriteQueriesOptions): Promise<QueryEstimate> {
  return withJob(options, 'estimateQueries', estimateWriting);
}

/**
 * Writes what writeQueries would ask as files for a batch API, which many services answer within a day at half the
 * price: {"custom_id", "method", "url", "body"} a line, at most 50,000 requests and 190 MB a file.
 * @param directory where the files requests-0001.jsonl, ... go
 */
export async function exportQueryBatch(options: WriteQueriesOptions, directory: string): Promise<BatchExport> {
  return withJob(options, 'exportQueryBatch', (job) => exportBatch(job, directory));
}

/**
 * Takes in the files of replies that a batch API gave, and writes the queries there are. What is still without a usable
 * reply is asked by the next exportQueryBatch or writeQueries.
 * @throws DataError naming the line of what is no reply, or if none is to a request of these options
 */
export async function importQueryBatch(options: WriteQueriesOptions, files: readonly string[]): Promise<BatchImport> {
  return withJob(options, 'importQueryBatch', (job) => importBatch(job, files));
}

async function withJob<T>(
  options: WriteQueriesOptions,
  where: string,
  work: (job: WritingJob) => Promise<T>,
  check: (settings: SettledWriting) => void = () => {},
): Promise<T> {
  rejectUnknownOptions(options, writeQueriesOptionNames, where);
  const { output, maxPassages = 100_000, seed = 1, signal, onProgress, onEstimate } = options;
  if (typeof output !== 'string' || output === '') {
    throw new InvalidArgumentError('output', 'a path that is not empty', output);
  }
  if (!Number.isInteger(maxPassages) || maxPassages < 1) {
    throw new InvalidArgumentError('maxPassages', 'a whole number above 0', maxPassages);
  }
  const settings = settleWritingOptions(options);
  settleDuplicateOptions(options);
  checkExclusion(options);
  check(settings);
  const corpus = await loadCorpus(options.corpus, { ...corpusOptionsOf(options), signal, onProgress });
  try {
    options.onCorpus?.(corpus);
    const { exampleQueries } = settings;
    const own = exampleQueries ? (await readExampleQueries(exampleQueries, { corpus, signal })).examples : [];
    const types = await readQueryTypes(settings.queryTypes, own);
    const unusable = await unusablePassages(corpus, options);
    const passages = await samplePassages(corpus, { unusable, maxPassages, seed, signal });
    return await work({ settings, types, passages, seed, directory: output, signal, onProgress, onEstimate });
  } finally {
    // A corpus that the caller loaded is the caller's.
    if (corpus !== options.corpus) corpus[Symbol.dispose]?.();
  }
}

async function unusablePassages(corpus: Corpus, options: WriteQueriesOptions): Promise<(id: string) => boolean> {
  const { minCharacters, duplicateWindow, nearDuplicates, sortMemory, temporaryDirectory } = options;
  const { signal, onProgress } = options;
  const excluded = await excludedPassages(corpus, options);
  const sorting = { sortMemory, temporaryDirectory, signal, onProgress };
  const dropped = await findDuplicates(corpus, { minCharacters, duplicateWindow, nearDuplicates, ...sorting });
  return (id) => excluded.has(id) || dropped.has(corpus.row(id)!);
}

export interface SampleOptions {
  /** Whether nothing may be written for a passage. */
  unusable: (id: string) => boolean;
  maxPassages: number;
  seed: number;
  signal?: AbortSignal;
}

/** A seeded sample of the usable passages, in the corpus' order, read again each time it is gone through. */
export async function samplePassages(corpus: Corpus, options: SampleOptions): Promise<Iterable<Passage>> {
  const { unusable, maxPassages, seed, signal } = options;
  const usable = function* () {
    for (const id of corpus.ids()) if (!unusable(id)) yield id;
  };
  const breathe = breather(signal);
  const rows: number[] = [];
  for (const id of await sampleIds(usable(), maxPassages, seed, signal)) {
    rows.push(corpus.row(id)!);
    await breathe();
  }
  const order = Int32Array.from(rows).sort();
  return {
    *[Symbol.iterator]() {
      for (const row of order) yield corpus.at(row);
    },
  };
}
