import { join } from 'node:path';
import { embedQueries } from '../candidates/embeddings.js';
import { KeptEncoder } from '../candidates/kept-encoder.js';
import { JudgedCollection } from '../evaluation/collection.js';
import { type Comparison, compare } from '../evaluation/compare.js';
import { DEFAULT_MEASURES, evaluateRun, parseMeasures } from '../evaluation/measures.js';
import { retrieve } from '../evaluation/retrieval.js';
import { breather } from '../event-loop.js';
import { writeLines } from '../formats/atomic.js';
import { readBeir, type TestCollection } from '../formats/beir.js';
import { writeTrecRun } from '../formats/trec.js';
import { hashTexts } from '../hashes.js';
import { readLists } from '../lists/file.js';
import { searchEmbeddings, toRun } from '../search.js';
import type { Passage, Run } from '../types.js';
import { encodingOptions } from './corpus-stages.js';
import { FILES } from './run-directory.js';
import type { Stage } from './stage-runner.js';
import { loadEmbedder, type Workbench } from './workbench.js';

/** Which queries base and trained model are compared on. */
export type EvaluatedOn = 'test' | 'dev';

/** Queries that gained most, and lost most, of which comparison.json tells. */
const EXAMPLES = 10;

/** What evaluation/comparison.json holds. */
export interface EvaluationResult {
  /**
   * 'test' is a test set of queries that people judged; 'dev' the queries of the dev lists, each with its source as the
   * one relevant passage.
   */
  on: EvaluatedOn;
  comparison: Comparison;
}

/** Base against trained model on held-out queries: runs, measures of each query, and evaluation/comparison.json. */
export async function evaluationStage(bench: Workbench): Promise<Stage> {
  const { options, directory } = bench;
  const { data, split, measures, by, k, resamples, seed, signal } = options;
  // Read now, so that a broken test set does not show after hours of training.
  const test = data === undefined ? undefined : await hashCollection(await readBeir(data, { split, signal }), signal);
  if (data !== undefined && by !== undefined) {
    await (await JudgedCollection.open(data, { split, signal })).groups(by, signal);
  }
  return {
    name: 'evaluation',
    options: {
      on: test ? 'test' : 'dev',
      split,
      measures,
      by,
      k,
      resamples,
      seed,
      ...encodingOptions(options),
    },
    inputs: test ? { 'test set': test } : {},
    outputs: [FILES.baseRun, FILES.trainedRun, FILES.baseMeasures, FILES.trainedMeasures, FILES.comparison],
    work: async (partial) => {
      const collection = await evaluationCollection(bench);
      const base = await baseRun(bench, collection, join(partial.directory, 'base'));
      const kept = join(partial.directory, 'trained');
      const trained = await runOfModel(directory.file('model'), { collection, bench, kept });
      await writeTrecRun(directory.file('baseRun'), base, { tag: 'base', signal });
      await writeTrecRun(directory.file('trainedRun'), trained, { tag: 'trained', signal });
      const on: EvaluatedOn = test ? 'test' : 'dev';
      const comparison = await compare({
        base: { name: 'base', run: base },
        others: [{ name: 'trained', run: trained }],
        data: data === undefined ? { name: 'dev lists', data: collection } : { data, split },
        ...{ measures, resamples, seed, signal, examples: EXAMPLES, by: test ? by : 'type' },
      });
      await writeJson(directory.file('baseMeasures'), await perQuery(collection, base, comparison));
      await writeJson(directory.file('trainedMeasures'), await perQuery(collection, trained, comparison));
      await writeJson(directory.file('comparison'), { on, comparison } satisfies EvaluationResult);
      const { queries, measure, base: before, value: after, pRandomization: p } = comparison.differences[0]!;
      return { on, queries, measure, base: before, trained: after, p };
    },
  };
}

/** The test set, or the dev lists' queries where there is none. */
export function evaluationCollection(bench: Workbench): Promise<TestCollection> {
  const { data, split, signal } = bench.options;
  return data === undefined ? devCollection(bench) : readBeir(data, { split, signal });
}

/** SHA-256 of a collection: passages, queries and judgements. */
export function hashCollection(collection: TestCollection, signal?: AbortSignal): Promise<string> {
  return hashTexts(fields(collection), signal);
}

function* fields({ corpus, queries, qrels }: TestCollection): Generator<string> {
  for (const passage of corpus) yield JSON.stringify(passage);
  for (const query of queries) yield JSON.stringify(query);
  for (const [query, grades] of qrels) yield JSON.stringify([query, ...grades]);
}

/**
 * The dev lists' queries, each with its source as the one relevant passage, over the passages that may be found. The
 * grade is one that every measure counts as relevant.
 */
export async function devCollection(bench: Workbench): Promise<TestCollection> {
  const { corpus, directory, options } = bench;
  const lists = await readLists(directory.file('dev'), { corpus, signal: options.signal });
  const unusable = await bench.unusable();
  const grade = Math.max(
    ...parseMeasures(options.measures ?? DEFAULT_MEASURES).map((measure) => measure.relevanceLevel),
  );
  const passages: Passage[] = [];
  const breathe = breather(options.signal);
  for (const passage of corpus) {
    if (!unusable.has(passage.id)) passages.push(passage);
    await breathe();
  }
  return {
    corpus: passages,
    queries: lists.map(({ id, query, type }) => ({ id, text: query, type: type ?? '(none)' })),
    qrels: new Map(lists.map(({ id, source }) => [id, new Map([[source!, grade]])])),
  };
}

/** The base model's run, from the embeddings that are there where the collection's passages are the corpus'. */
export async function baseRun(bench: Workbench, collection: TestCollection, kept: string): Promise<Run> {
  const { k } = bench.options;
  const embedder = new KeptEncoder(await bench.embedder(), kept);
  try {
    const rows = await rowsInCorpus(collection.corpus, bench);
    if (!rows) return await retrieve(embedder, collection, { k, ...bench.work });
    const passages = await bench.passages();
    const matrix = await passages.gather(rows, bench.work);
    const queries = await embedQueries(embedder, collection.queries, bench.work);
    const { dimension } = passages;
    const best = await searchEmbeddings({ queries: queries.matrix, corpus: matrix, dimension, k, ...bench.work });
    return toRun(best, { queryIds: queries.ids, passageIds: collection.corpus.map(({ id }) => id), dropSelf: true });
  } finally {
    await bench.releaseEmbedder();
  }
}

/** Where the passages stand in the run's corpus, if all of them do with the same text. */
export async function rowsInCorpus(
  passages: readonly Passage[],
  { corpus, options }: Workbench,
): Promise<number[] | undefined> {
  const rows: number[] = [];
  const breathe = breather(options.signal);
  for (const { id, title, text } of passages) {
    const row = corpus.row(id);
    if (row === undefined) return undefined;
    const own = corpus.at(row);
    if (own.title !== title || own.text !== text) return undefined;
    rows.push(row);
    await breathe();
  }
  return rows;
}

export interface ModelRunParts {
  collection: TestCollection;
  bench: Workbench;
  /** A directory to keep encodings in, for a process that goes on if this one is stopped. */
  kept?: string;
}

/** What a model of this machine, trained or mixed, finds. */
export async function runOfModel(directory: string, { collection, bench, kept }: ModelRunParts): Promise<Run> {
  const embedder = await loadEmbedder(directory, { ...bench.options, revision: undefined });
  const encoder = kept === undefined ? embedder : new KeptEncoder(embedder, kept);
  try {
    return await retrieve(encoder, collection, { k: bench.options.k, ...bench.work });
  } finally {
    await embedder.dispose();
  }
}

async function perQuery({ qrels }: TestCollection, run: Run, { measures }: Comparison): Promise<object> {
  const { mean, perQuery: values } = await evaluateRun(qrels, run, measures);
  const byMeasure = Object.entries(values).map(([measure, ofQueries]) => [measure, Object.fromEntries(ofQueries)]);
  return { measures: mean, perQuery: Object.fromEntries(byMeasure) };
}

/** Writes a value as JSON that people can read. */
export async function writeJson(file: string, value: object): Promise<void> {
  await writeLines(file, [JSON.stringify(value, null, 2)]);
}
