import { join } from 'node:path';
import { embedQueries } from '../candidates/embeddings.js';
import { KeptEncoder } from '../candidates/kept-encoder.js';
import type { Corpus } from '../corpus/corpus.js';
import type { UnusablePassages } from '../corpus/unusable.js';
import { JudgedCollection } from '../evaluation/collection.js';
import { type Comparison, compare } from '../evaluation/compare.js';
import { DEFAULT_MEASURES, evaluateRun, parseMeasures } from '../evaluation/measures.js';
import { retrieve } from '../evaluation/retrieval.js';
import { breather } from '../event-loop.js';
import { writeLines } from '../formats/atomic.js';
import { writeTrecRun } from '../formats/trec.js';
import { readLists } from '../lists/file.js';
import { toRun } from '../search.js';
import type { Passage, Run } from '../types.js';
import { encodingOptions } from './corpus-stages.js';
import type { PartialWork } from './partial-work.js';
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
  const { options } = bench;
  const { data, split, measures, by, k, resamples, seed, signal } = options;
  // Read now, so that a broken test set does not show after hours of training.
  const test = data === undefined ? undefined : bench.collectionSource(data, split);
  const inputs: Record<string, string> = test ? { 'test set': await test.hash() } : {};
  if (data !== undefined && by !== undefined) {
    await (await JudgedCollection.open(data, { split, signal })).groups(by, signal);
  }
  return {
    name: 'evaluation',
    options: {
      ...{ on: test ? 'test' : 'dev', split, measures, by, k, resamples, seed },
      ...encodingOptions(options),
    },
    inputs,
    ...(test && { sources: { 'test set': test } }),
    outputs: [FILES.baseRun, FILES.trainedRun, FILES.baseMeasures, FILES.trainedMeasures, FILES.comparison],
    work: (partial) => evaluateBoth(bench, partial),
  };
}

async function evaluateBoth(bench: Workbench, partial: PartialWork) {
  const { options, directory } = bench;
  const { data, measures, by, resamples, seed, signal } = options;
  const collection = await evaluationCollection(bench);
  const base = await baseRun(bench, collection, join(partial.directory, 'base'));
  const kept = join(partial.directory, 'trained');
  const trained = await runOfModel(directory.file('model'), { collection, bench, kept });
  await writeTrecRun(directory.file('baseRun'), base, { tag: 'base', signal });
  await writeTrecRun(directory.file('trainedRun'), trained, { tag: 'trained', signal });
  const on: EvaluatedOn = data === undefined ? 'dev' : 'test';
  const comparison = await compare({
    base: { name: 'base', run: base },
    others: [{ name: 'trained', run: trained }],
    data: collection,
    ...{ measures, resamples, seed, signal, examples: EXAMPLES, by: on === 'test' ? by : 'type' },
  });
  await writeJson(directory.file('baseMeasures'), await perQuery(collection, base, comparison));
  await writeJson(directory.file('trainedMeasures'), await perQuery(collection, trained, comparison));
  await writeJson(directory.file('comparison'), { on, comparison } satisfies EvaluationResult);
  const { queries, measure, base: before, value: after, pRandomization: p } = comparison.differences[0]!;
  return { on, queries, measure, base: before, trained: after, p };
}

/** The test set, or the dev lists' queries where there is none. */
export function evaluationCollection(bench: Workbench): Promise<JudgedCollection> {
  const { data, split, signal } = bench.options;
  return data === undefined ? devCollection(bench) : JudgedCollection.open(data, { split, signal });
}

/**
 * The dev lists' queries, each with its source as the one relevant passage, over the passages that may be found. The
 * grade is one that every measure counts as relevant.
 */
export async function devCollection(bench: Workbench): Promise<JudgedCollection> {
  const { corpus, directory, options } = bench;
  const lists = await readLists(directory.file('dev'), { corpus, signal: options.signal });
  const unusable = await bench.unusable();
  const levels = parseMeasures(options.measures ?? DEFAULT_MEASURES).map(({ relevanceLevel }) => relevanceLevel);
  const grade = Math.max(...levels);
  let size = 0;
  const breathe = breather(options.signal);
  for (const id of corpus.ids()) {
    if (!unusable.has(id)) size += 1;
    await breathe();
  }
  return new JudgedCollection({
    name: 'dev lists',
    queries: lists.map(({ id, query, type }) => ({ id, text: query, type: type ?? '(none)' })),
    qrels: new Map(lists.map(({ id, source }) => [id, new Map([[source!, grade]])])),
    size,
    passages: () => usablePassages(corpus, unusable),
  });
}

function* usablePassages(corpus: Corpus, unusable: UnusablePassages): Generator<Passage> {
  for (const passage of corpus) if (!unusable.has(passage.id)) yield passage;
}

/** The base model's run, from the embeddings that are there where the collection's passages are the corpus'. */
export async function baseRun(bench: Workbench, collection: JudgedCollection, kept: string): Promise<Run> {
  const { k, signal } = bench.options;
  const embedder = new KeptEncoder(await bench.embedder(), kept);
  try {
    const rows = await rowsInCorpus(collection, bench);
    if (!rows) return await retrieve(embedder, collection, { k, ...bench.work });
    await using passages = await bench.openPassages();
    const queries = await embedQueries(embedder, collection.queries, bench.work);
    const best = await passages.search(queries.matrix, k, { rows, ...bench.work });
    const passageIds = (place: number) => bench.corpus.id(rows[place]!);
    return await toRun(best, { queryIds: queries.ids, passageIds, dropSelf: true, signal });
  } finally {
    await bench.releaseEmbedder();
  }
}

/** Where the passages stand in the run's corpus, if all of them do with the same text. */
export async function rowsInCorpus(
  collection: JudgedCollection,
  { corpus, options }: Workbench,
): Promise<number[] | undefined> {
  const rows: number[] = [];
  const breathe = breather(options.signal);
  for await (const { id, title, text } of collection.corpus) {
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
  collection: JudgedCollection;
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

async function perQuery({ qrels }: JudgedCollection, run: Run, { measures }: Comparison): Promise<object> {
  const { mean, perQuery: values } = await evaluateRun(qrels, run, measures);
  const byMeasure = Object.entries(values).map(([measure, ofQueries]) => [measure, Object.fromEntries(ofQueries)]);
  return { measures: mean, perQuery: Object.fromEntries(byMeasure) };
}

/** Writes a value as JSON that people can read. */
export async function writeJson(file: string, value: object): Promise<void> {
  await writeLines(file, [JSON.stringify(value, null, 2)]);
}
