import { embedQueries } from '../candidates/embeddings.js';
import { type Comparison, compare } from '../evaluation/compare.js';
import { evaluateRun } from '../evaluation/measures.js';
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
import { judge, type Verdict } from './verdict.js';
import { loadEmbedder, type Workbench } from './workbench.js';

/** Which queries base and trained model are compared on. */
export type EvaluatedOn = 'test' | 'dev';

/** What evaluation/comparison.json holds. */
export interface EvaluationResult {
  /**
   * 'test' is a test set of queries that people judged; 'dev' the queries of the dev lists, each with its source as the
   * one relevant passage.
   */
  on: EvaluatedOn;
  verdict: Verdict;
  comparison: Comparison;
}

/** Base against trained model on held-out queries: runs, measures of each query, and evaluation/comparison.json. */
export async function evaluationStage(bench: Workbench): Promise<Stage> {
  const { options, directory } = bench;
  const { data, split, measures, k, resamples, significance, seed, signal } = options;
  const test = data === undefined ? undefined : await readBeir(data, { split, signal });
  return {
    name: 'evaluation',
    options: {
      on: test ? 'test' : 'dev',
      split,
      measures,
      k,
      resamples,
      significance,
      seed,
      ...encodingOptions(options),
    },
    inputs: test ? { 'test set': await hashCollection(test, signal) } : {},
    outputs: [FILES.baseRun, FILES.trainedRun, FILES.baseMeasures, FILES.trainedMeasures, FILES.comparison],
    work: async () => {
      const collection = test ?? (await devCollection(bench));
      const base = await baseRun(bench, collection);
      const trained = await trainedRun(bench, collection);
      await writeTrecRun(directory.file('baseRun'), base, { tag: 'base', signal });
      await writeTrecRun(directory.file('trainedRun'), trained, { tag: 'trained', signal });
      const choices = { measures, resamples, seed, signal };
      const comparison = await compare({
        base: { name: 'base', run: base },
        others: [{ name: 'trained', run: trained }],
        data: collection,
        ...choices,
      });
      const on: EvaluatedOn = test ? 'test' : 'dev';
      const verdict = judge(comparison, { on, significance });
      await writeJson(directory.file('baseMeasures'), await perQuery(collection, base, comparison));
      await writeJson(directory.file('trainedMeasures'), await perQuery(collection, trained, comparison));
      await writeJson(directory.file('comparison'), { on, verdict, comparison } satisfies EvaluationResult);
      const { outcome, measure, base: before, trained: after, p } = verdict;
      return { on, queries: comparison.queries, measure, base: before, trained: after, p, outcome };
    },
  };
}

function hashCollection(collection: TestCollection, signal?: AbortSignal): Promise<string> {
  return hashTexts(fields(collection), signal);
}

function* fields({ corpus, queries, qrels }: TestCollection): Generator<string> {
  for (const passage of corpus) yield JSON.stringify(passage);
  for (const query of queries) yield JSON.stringify(query);
  for (const [query, grades] of qrels) yield JSON.stringify([query, ...grades]);
}

/** The dev lists' queries, each with its source as the one relevant passage, over the passages that may be found. */
async function devCollection(bench: Workbench): Promise<TestCollection> {
  const { corpus, directory, options } = bench;
  const lists = await readLists(directory.file('dev'), { corpus, signal: options.signal });
  const unusable = await bench.unusable();
  return {
    corpus: [...corpus].filter(({ id }) => !unusable.has(id)),
    queries: lists.map(({ id, query }) => ({ id, text: query })),
    qrels: new Map(lists.map(({ id, source }) => [id, new Map([[source!, 1]])])),
  };
}

/** The base model's run, from the embeddings that are there where the collection's passages are the corpus'. */
async function baseRun(bench: Workbench, collection: TestCollection): Promise<Run> {
  const { k } = bench.options;
  const embedder = await bench.embedder();
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
async function rowsInCorpus(
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

async function trainedRun(bench: Workbench, collection: TestCollection): Promise<Run> {
  const embedder = await loadEmbedder(bench.directory.file('model'), { ...bench.options, revision: undefined });
  try {
    return await retrieve(embedder, collection, { k: bench.options.k, ...bench.work });
  } finally {
    await embedder.dispose();
  }
}

async function perQuery({ qrels }: TestCollection, run: Run, { measures }: Comparison): Promise<object> {
  const { mean, perQuery: values } = await evaluateRun(qrels, run, measures);
  const byMeasure = Object.entries(values).map(([measure, ofQueries]) => [measure, Object.fromEntries(ofQueries)]);
  return { measures: mean, perQuery: Object.fromEntries(byMeasure) };
}

async function writeJson(file: string, value: object): Promise<void> {
  await writeLines(file, [JSON.stringify(value, null, 2)]);
}
