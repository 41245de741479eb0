import { join } from 'node:path';
import type { DroppedQuery } from '../candidates/selection.js';
import { type Corpus, type CorpusSource, loadCorpus } from '../corpus/corpus.js';
import { DataError, InvalidArgumentError } from '../errors.js';
import { type ModelChoice, retrieve, withEncoder } from '../evaluation/retrieval.js';
import { breather } from '../event-loop.js';
import { writeJsonl } from '../formats/jsonl.js';
import { rejectUnknownOptions } from '../option-names.js';
import { readHumanQueries } from '../queries/human.js';
import { positivesOf } from '../queries/positives.js';
import { readWrittenQueries } from '../queries/written.js';
import { Random } from '../random.js';
import { checkWhole } from '../search.js';
import type { LongWork, Passage, Query, ScoredPassage, TrainingList } from '../types.js';
import { writeLists } from './file.js';
import { type SplitOptions, settleSplitOptions, splitBySource } from './split.js';

/** What writeLabelledLists takes; one of `data` and `queries` must be given, or both. */
export interface LabelledListOptions extends LongWork, ModelChoice, SplitOptions {
  /** The passages: the path of their files, or passages. */
  corpus: CorpusSource;
  /** Queries that people judged: a directory in BEIR's layout, whose passages are those of `corpus`. */
  data?: string;
  /** Which judgements of `data`, never those that a test is made of. Default 'train'. */
  split?: string;
  /** Queries written for passages, JSON Lines of {"passage", "type", "query"}: the passage is the positive. */
  queries?: string | readonly string[];
  /** Passages of a list. Default 20. */
  listLength?: number;
  /** Negatives are drawn from this many passages that the model finds best, by chance. Default 100. */
  depth?: number;
  /** Directory for lists.train.jsonl, lists.dev.jsonl and dropped.jsonl. */
  output: string;
}

/** What became of the queries. */
export interface LabelledLists {
  /** The files of lists; `dev` only where there are any. */
  lists: string;
  dev?: string;
  train: number;
  devLists: number;
  dropped: number;
}

export const labelledListOptionNames: readonly string[] = [
  ...['corpus', 'data', 'split', 'queries', 'model', 'modelOptions', 'listLength', 'depth', 'devShare', 'seed'],
  ...['output', 'signal', 'onProgress'],
];

/**
 * Makes lists with labels to train a cross-encoder on: for each query the passages judged relevant, or the one that it
 * was written for, with score 1, then passages that an embedding model finds for it, drawn by chance from the best, with
 * score 0. Split as training lists are: no passage is a positive on both sides.
 * @throws InvalidArgumentError for options; NotFoundError, DataError, ModelError for files; DataError too if no query
 *   is left; `signal.reason` when aborted
 */
export async function writeLabelledLists(options: LabelledListOptions): Promise<LabelledLists> {
  rejectUnknownOptions(options, labelledListOptionNames, 'writeLabelledLists');
  const settled = settle(options);
  const { signal, onProgress, output } = settled;
  const corpus = await loadCorpus(options.corpus, { signal, onProgress });
  const dropped: DroppedQuery[] = [];
  const queries = await readAll(corpus, settled, dropped);
  const lists = await makeLists(corpus, queries, { ...settled, dropped });
  const files = { train: join(output, 'lists.train.jsonl'), dev: join(output, 'lists.dev.jsonl') };
  const droppedFile = join(output, 'dropped.jsonl');
  await writeJsonl(droppedFile, dropped, { signal });
  if (lists.length === 0) {
    const problem = `Expected queries to make lists of but all ${dropped.length} were dropped; it says why.`;
    throw new DataError({ file: droppedFile }, problem);
  }
  const positives = new Map(queries.map((query) => [query.id, positivesOf(query)]));
  const { devShare, seed } = settled;
  const { train, dev } = await splitBySource(lists, { devShare, seed, sourcesOf: ({ id }) => positives.get(id)! });
  await writeLists(files.train, train, { signal });
  await writeLists(files.dev, dev, { signal });
  const counts = { train: train.length, devLists: dev.length, dropped: dropped.length };
  return { lists: files.train, ...(dev.length > 0 && { dev: files.dev }), ...counts };
}

type Settled = LabelledListOptions & Required<Pick<LabelledListOptions, 'listLength' | 'depth' | keyof SplitOptions>>;

function settle(options: LabelledListOptions): Settled {
  const { data, queries, listLength = 20, depth = 100, output } = options;
  if (data === undefined && queries === undefined) {
    const expected = 'queries that people judged (data) or that were written for passages (queries)';
    throw new InvalidArgumentError('data', expected, undefined);
  }
  if (typeof output !== 'string' || output === '') {
    throw new InvalidArgumentError('output', 'a path that is not empty', output);
  }
  checkWhole('depth', depth);
  if (!Number.isInteger(listLength) || listLength < 2) {
    throw new InvalidArgumentError('listLength', 'a whole number of at least 2', listLength);
  }
  if (depth >= listLength - 1) return { ...options, listLength, depth, ...settleSplitOptions(options) };
  throw new InvalidArgumentError('depth', `at least ${listLength - 1}, the negatives of a list,`, depth);
}

async function readAll(
  corpus: Corpus,
  { data, split = 'train', queries: files, signal, onProgress }: Settled,
  dropped: DroppedQuery[],
): Promise<Query[]> {
  const all: Query[] = [];
  if (data !== undefined) {
    const { queries, unusable } = await readHumanQueries(data, split, { corpus, unusable: new Map(), signal });
    all.push(...queries);
    for (const { id, ...why } of unusable) dropped.push({ query: id, stage: 'queries', ...why });
  }
  if (files !== undefined) {
    const { queries, failed } = await readWrittenQueries(files, { corpus, signal, onProgress });
    all.push(...queries);
    for (const { file, line, type } of failed) {
      const reason = 'the query is empty after cleaning';
      dropped.push({ query: `${file}:${line}`, type, stage: 'queries', filter: 'empty query', reason });
    }
  }
  return all;
}

async function makeLists(
  corpus: Corpus,
  queries: readonly Query[],
  options: Settled & { dropped: DroppedQuery[] },
): Promise<TrainingList[]> {
  const { depth, dropped, listLength, signal, onProgress } = options;
  const most = queries.reduce((largest, query) => Math.max(largest, positivesOf(query).length), 0);
  const searched = { queries, corpus: passagesOf(corpus), size: corpus.size };
  const run = await withEncoder(options, (encoder) =>
    retrieve(encoder, searched, { k: depth + most, signal, onProgress }),
  );
  const lists: TrainingList[] = [];
  const breathe = breather(signal);
  for (const query of queries) {
    await breathe();
    const list = makeList(query, run.get(query.id)!, options);
    if (list) lists.push(list);
    else {
      const reason = `fewer than the ${listLength - 1} passages beside its positives that a list needs were found`;
      dropped.push({ query: query.id, type: query.type, stage: 'candidates', filter: 'few candidates', reason });
    }
  }
  return lists;
}

/** The positives, as many as leave room for a negative, and negatives in the order in which they were found. */
function makeList(query: Query, found: readonly ScoredPassage[], options: Settled): TrainingList | undefined {
  const { listLength, depth, seed } = options;
  const positives = positivesOf(query);
  const kept = positives.slice(0, listLength - 1);
  const candidates = found.filter(({ id }) => !positives.includes(id)).slice(0, depth);
  const wanted = listLength - kept.length;
  if (candidates.length < wanted) return undefined;
  const places = Random.for(seed, 'negatives', query.id).shuffle(Array.from(candidates.keys()));
  const drawn = places.slice(0, wanted).sort((a, b) => a - b);
  const passages = [
    ...kept.map((id) => ({ id, score: 1 })),
    ...drawn.map((place) => ({ id: candidates[place]!.id, score: 0 })),
  ];
  return { id: query.id, query: query.text, type: query.type, source: kept[0]!, passages };
}

async function* passagesOf(corpus: Corpus): AsyncGenerator<Passage> {
  yield* corpus;
}
