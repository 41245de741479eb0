import { rejectUnknownOptions } from '../option-names.js';
import type { Run } from '../types.js';
import { type CollectionSource, type JudgedCollection, openCollections, type TestSet } from './collection.js';
import type { MeasureOptions } from './measure-names.js';
import { DEFAULT_MEASURES, evaluateRun, parseMeasures, type RunEvaluation } from './measures.js';
import { type ModelChoice, type RetrievalOptions, retrieve, type TextEmbedder, withEncoder } from './retrieval.js';

export interface EvaluateOptions extends ModelChoice, RetrievalOptions, MeasureOptions {
  /** A directory in BEIR's layout, or the same in memory. Queries without judgements are left out. */
  data: CollectionSource;
  /** Which judgements of a directory; 'test' by default. */
  split?: string;
  /** Names as parseMeasure reads them; nDCG@10, R@100, RR@10, AP and P@10 by default. */
  measures?: readonly string[];
}

/** As EvaluateOptions, with several test sets. */
export interface EvaluateSetsOptions extends Omit<EvaluateOptions, 'data'> {
  data: readonly TestSet[];
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
  const [evaluation] = await evaluateAll({ ...options, data: [options.data] });
  return evaluation!.evaluation;
}

/** Of one set among several. */
export interface SetEvaluation extends Evaluation {
  name: string;
}

/**
 * The same on several test sets with one model, which is loaded once; all sets are checked before any work.
 * @returns an evaluation a set, in their order
 * @throws as evaluate; InvalidArgumentError too if there is no set or two have one name
 */
export async function evaluateSets(options: EvaluateSetsOptions): Promise<SetEvaluation[]> {
  rejectUnknownOptions(options, evaluateOptionNames, 'evaluateSets');
  const all = await evaluateAll(options);
  return all.map(({ name, evaluation }) => ({ name, ...evaluation }));
}

async function evaluateAll(options: EvaluateSetsOptions): Promise<{ name: string; evaluation: Evaluation }[]> {
  const { data, split, measures = DEFAULT_MEASURES, relevanceLevel, judgedOnly, signal } = options;
  parseMeasures(measures, { relevanceLevel, judgedOnly });
  const sets = await openCollections(data, { split, signal });
  return withEncoder(options, async (encoder) => {
    const evaluations: { name: string; evaluation: Evaluation }[] = [];
    for (const set of sets) evaluations.push({ name: set.name, evaluation: await evaluateOne(encoder, set, options) });
    return evaluations;
  });
}

async function evaluateOne(
  encoder: TextEmbedder,
  set: JudgedCollection,
  options: EvaluateSetsOptions,
): Promise<Evaluation> {
  const { measures = DEFAULT_MEASURES, relevanceLevel, judgedOnly, signal } = options;
  const started = performance.now();
  const run = await retrieve(encoder, set, options);
  const settings = { relevanceLevel, judgedOnly, signal };
  const { mean, perQuery } = await evaluateRun(set.qrels, run, measures, settings);
  const seconds = (performance.now() - started) / 1000;
  return { measures: mean, perQuery, run, queries: set.queries.length, passages: set.size, seconds };
}
