import { rejectUnknownOptions } from '../option-names.js';
import type { Run } from '../types.js';
import { type CollectionSource, type JudgedCollection, openCollections, type TestSet } from './collection.js';
import type { MeasureOptions } from './measure-names.js';
import { checkReach, DEFAULT_MEASURES, evaluateRun, parseMeasures, type RunEvaluation } from './measures.js';
import {
  checkReranking,
  type PairScorer,
  type Reranking,
  rerankOptionNames,
  rerankRun,
  withScorer,
} from './reranking.js';
import { type ModelChoice, type RetrievalOptions, retrieve, type TextEmbedder, withEncoder } from './retrieval.js';

export interface EvaluateOptions extends ModelChoice, RetrievalOptions, Reranking, MeasureOptions {
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
  /** Means over the judged queries, by ir_measures' names; of the reranked ranking, where one was asked for. */
  measures: RunEvaluation['mean'];
  perQuery: RunEvaluation['perQuery'];
  run: Run;
  /** The ranking before it was reranked. */
  retrieved?: Pick<Evaluation, 'measures' | 'perQuery' | 'run'>;
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
  ...rerankOptionNames,
  'signal',
  'onProgress',
];

/**
 * How well a model finds the judged passages of a test collection: encodes the corpus and the queries, searches
 * exactly, drops the passage whose id equals the query's id, and scores. With `rerank` a cross-encoder puts the best
 * passages of each query in its own order first.
 * @throws NotFoundError, DataError where the collection cannot be read; InvalidArgumentError for an unknown measure, or
 *   a collection in memory that is empty or has an id twice; what Embedder.load throws for the model, and
 *   CrossEncoder.load for `rerank`
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
  checkReach(parseMeasures(measures, { relevanceLevel, judgedOnly }), options.k);
  checkReranking(options);
  const sets = await openCollections(data, { split, signal });
  return withScorer(options, placeOf(options), (scorer) =>
    withEncoder(options, async (encoder) => {
      const evaluations: { name: string; evaluation: Evaluation }[] = [];
      for (const set of sets) {
        evaluations.push({ name: set.name, evaluation: await evaluateOne({ encoder, scorer }, set, options) });
      }
      return evaluations;
    }),
  );
}

function placeOf({ modelOptions }: Pick<EvaluateOptions, 'modelOptions'>) {
  return { device: modelOptions?.device, precision: modelOptions?.precision };
}

async function evaluateOne(
  { encoder, scorer }: { encoder: TextEmbedder; scorer: PairScorer | undefined },
  set: JudgedCollection,
  options: EvaluateSetsOptions,
): Promise<Evaluation> {
  const { measures = DEFAULT_MEASURES, relevanceLevel, judgedOnly, signal } = options;
  const started = performance.now();
  const score = async (run: Run) => {
    const settings = { relevanceLevel, judgedOnly, signal };
    const { mean, perQuery } = await evaluateRun(set.qrels, run, measures, settings);
    return { measures: mean, perQuery, run };
  };
  const retrieved = await score(await retrieve(encoder, set, options));
  const rerank = { depth: options.rerankDepth, signal, onProgress: options.onProgress };
  const reranked = scorer && (await score(await rerankRun(scorer, retrieved.run, set, rerank)));
  const seconds = (performance.now() - started) / 1000;
  const facts = { queries: set.queries.length, passages: set.size, seconds };
  return reranked ? { ...reranked, retrieved, ...facts } : { ...retrieved, ...facts };
}
