import { InvalidArgumentError } from '../errors.js';
import { readBeir, type TestCollection } from '../formats/beir.js';
import { rejectUnknownOptions } from '../option-names.js';
import type { Passage, Query, Run } from '../types.js';
import type { MeasureOptions } from './measure-names.js';
import { DEFAULT_MEASURES, evaluateRun, parseMeasures, type RunEvaluation } from './measures.js';
import { type ModelChoice, type RetrievalOptions, retrieve, withEncoder } from './retrieval.js';

export interface EvaluateOptions extends ModelChoice, RetrievalOptions, MeasureOptions {
  /** A directory in BEIR's layout, or the same in memory. Queries without judgements are left out. */
  data: string | TestCollection;
  /** Which judgements of a directory; 'test' by default. */
  split?: string;
  /** Names as parseMeasure reads them; nDCG@10, R@100, RR@10, AP and P@10 by default. */
  measures?: readonly string[];
}

export interface Evaluation {
  /** Means over the judged queries, by ir_measures' names. */
  measures: RunEvaluation['mean'];
  perQuery: RunEvaluation['perQuery'];
  run: Run;
  /** Judged queries. */
  queries: number;
  /** Passages in the corpus. */
  passages: number;
  /** Time for encoding, searching and scoring; loading is not counted. */
  seconds: number;
}

/** Names of EvaluateOptions, for refusing others. */
export const evaluateOptionNames: readonly string[] = [
  'model',
  'modelOptions',
  'data',
  'split',
  'measures',
  'relevanceLevel',
  'judgedOnly',
  'k',
  'maxLength',
  'signal',
  'onProgress',
] satisfies (keyof EvaluateOptions)[];

/**
 * How well a model finds the judged passages of a test collection: encodes the corpus and the queries, searches
 * exactly, drops the passage whose id equals the query's id, and scores.
 * @throws NotFoundError, DataError where the collection cannot be read; InvalidArgumentError for an unknown measure, or
 *   a collection in memory that is empty or has an id twice; what Embedder.load throws for the model
 * @throws `signal.reason` when aborted
 * @example
 * const { measures } = await evaluate({ model: 'sentence-transformers/all-MiniLM-L6-v2', data: 'scifact' });
 * console.log(measures['nDCG@10']);
 */
export async function evaluate(options: EvaluateOptions): Promise<Evaluation> {
  rejectUnknownOptions(options, evaluateOptionNames, 'evaluate');
  const { measures = DEFAULT_MEASURES, relevanceLevel, judgedOnly, signal } = options;
  parseMeasures(measures, { relevanceLevel, judgedOnly });
  const collection = await readCollection(options);
  return withEncoder(options, async (encoder) => {
    const started = performance.now();
    const run = await retrieve(encoder, collection, options);
    const { mean, perQuery } = await evaluateRun(collection.qrels, run, measures, {
      relevanceLevel,
      judgedOnly,
      signal,
    });
    const seconds = (performance.now() - started) / 1000;
    const { queries, corpus } = collection;
    return { measures: mean, perQuery, run, queries: queries.length, passages: corpus.length, seconds };
  });
}

/** The collection to evaluate on, with the judged queries alone. */
export async function readCollection({
  data,
  split = 'test',
  signal,
}: Pick<EvaluateOptions, 'data' | 'split' | 'signal'>): Promise<TestCollection> {
  if (typeof data === 'string') return readBeir(data, { split, signal });
  if (!Array.isArray(data?.corpus) || !Array.isArray(data.queries) || !(data.qrels instanceof Map)) {
    throw new InvalidArgumentError('data', 'a BEIR directory, or {corpus: [...], queries: [...], qrels: Map}', data);
  }
  return judgedPart(data);
}

function judgedPart({ corpus, queries, qrels }: TestCollection): TestCollection {
  if (corpus.length === 0) throw new InvalidArgumentError('data.corpus', 'at least one passage', corpus);
  if (qrels.size === 0) throw new InvalidArgumentError('data.qrels', 'judgements of at least one query', qrels);
  checkUnique('data.corpus', corpus);
  checkUnique('data.queries', queries);
  const judged = queries.filter((query) => qrels.has(query.id));
  if (judged.length < qrels.size) {
    const known = new Set(judged.map((query) => query.id));
    const missing = [...qrels.keys()].find((id) => !known.has(id));
    throw new InvalidArgumentError('data.queries', 'every query of data.qrels', `no query "${missing}"`);
  }
  return { corpus, queries: judged, qrels };
}

function checkUnique(argument: string, items: readonly (Passage | Query)[]): void {
  const seen = new Set<string>();
  for (const { id } of items) {
    if (seen.has(id)) throw new InvalidArgumentError(argument, 'each id once', id);
    seen.add(id);
  }
}
