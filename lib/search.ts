import { InvalidArgumentError } from './errors.js';
import { breather } from './event-loop.js';
import { native, runJob, type TopK } from './native.js';
import { rejectUnknownOptions } from './option-names.js';
import type { LongWork, Run, ScoredPassage } from './types.js';

export interface SearchOptions extends LongWork {
  /** Queries × dimension, row-major. */
  queries: Float32Array;
  /** Passages × dimension, row-major. */
  corpus: Float32Array;
  dimension: number;
  /** How many passages to keep per query, from 1; all of them where there are fewer. */
  k: number;
}

const searchOptionNames: readonly (keyof SearchOptions)[] = [
  'queries',
  'corpus',
  'dimension',
  'k',
  'signal',
  'onProgress',
];

const QUERY_BLOCK = 512;
/** Multiplications in one call of the addon: some tenths of a second on two cores. */
const BLOCK_PRODUCTS = 4e9;
/** Numbers checked between two turns of the event loop. */
const CHECK_BLOCK = 1 << 20;

/**
 * The k passages with the highest inner product for each query, over all passages (exact search). Work goes to the
 * addon in blocks, so an abort is obeyed within one of them and the scores of all pairs never stand in memory.
 * @returns queries × min(k, passages) rows of the corpus and their scores, best first, equal scores by row
 * @throws InvalidArgumentError if a matrix is not a whole number of rows, a number in it is not finite, or k is below 1;
 *   ListwiseError INVALID_ARGUMENT for an option that there is not
 * @throws `signal.reason` when aborted
 */
export async function searchEmbeddings(options: SearchOptions): Promise<TopK> {
  rejectUnknownOptions(options, searchOptionNames, 'searchEmbeddings');
  const { queries, corpus, dimension, signal, onProgress } = options;
  checkWhole('dimension', dimension);
  checkWhole('k', options.k);
  const total = await checkMatrix('queries', queries, { dimension, signal });
  const corpusRows = await checkMatrix('corpus', corpus, { dimension, signal });
  const k = Math.min(options.k, corpusRows);
  const result: TopK = { rows: new Int32Array(total * k), scores: new Float32Array(total * k) };
  for (let start = 0; start < total && k > 0; start += QUERY_BLOCK) {
    const end = Math.min(start + QUERY_BLOCK, total);
    const report = (rows: number) => {
      const done = Math.min(total, start + Math.floor(((end - start) * rows) / corpusRows));
      onProgress?.({ stage: 'searching', done, total, unit: 'queries' });
    };
    const block = queries.subarray(start * dimension, end * dimension);
    const best = await searchBlock({ queries: block, corpus, dimension, k, signal }, report);
    result.rows.set(best.rows, start * k);
    result.scores.set(best.scores, start * k);
  }
  return result;
}

/** One block of queries against the corpus, block after block. */
async function searchBlock(options: SearchOptions, report: (rows: number) => void): Promise<TopK> {
  const { queries, corpus, dimension, k, signal } = options;
  const corpusRows = corpus.length / dimension;
  const step = Math.max(1, Math.floor(BLOCK_PRODUCTS / queries.length));
  let best: TopK | undefined;
  for (let firstRow = 0; firstRow < corpusRows; firstRow += step) {
    const end = Math.min(firstRow + step, corpusRows);
    const block = corpus.subarray(firstRow * dimension, end * dimension);
    const args = { queries, corpus: block, dimension, k, firstRow, best };
    best = await runJob(() => native().search(args), signal);
    report(end);
  }
  return best as TopK;
}

/** @throws InvalidArgumentError if the value is no whole number from 1 */
export function checkWhole(argument: string, value: number): void {
  if (!Number.isSafeInteger(value) || value < 1) {
    throw new InvalidArgumentError(argument, 'a whole number from 1', value);
  }
}

interface MatrixCheck {
  dimension: number;
  signal?: AbortSignal;
}

/** @returns how many rows the matrix has */
async function checkMatrix(name: string, matrix: Float32Array, { dimension, signal }: MatrixCheck): Promise<number> {
  if (!(matrix instanceof Float32Array) || matrix.length % dimension !== 0) {
    throw new InvalidArgumentError(name, `a Float32Array of whole rows of ${dimension} numbers`, matrix);
  }
  signal?.throwIfAborted();
  const breathe = breather(signal);
  for (let start = 0; start < matrix.length; start += CHECK_BLOCK) {
    const wrong = firstNotFinite(matrix, start, Math.min(start + CHECK_BLOCK, matrix.length));
    if (wrong >= 0) {
      throw new InvalidArgumentError(`${name} (row ${Math.floor(wrong / dimension)})`, 'finite numbers', matrix[wrong]);
    }
    await breathe();
  }
  return matrix.length / dimension;
}

function firstNotFinite(matrix: Float32Array, start: number, end: number): number {
  for (let i = start; i < end; i++) if (!Number.isFinite(matrix[i])) return i;
  return -1;
}

export interface ToRunOptions {
  /** By row of the queries. */
  queryIds: readonly string[];
  /** By row of the corpus. */
  passageIds: readonly string[];
  /** Leave out the passage whose id equals the query's, as collections ask for whose queries are passages. */
  dropSelf?: boolean;
  signal?: AbortSignal;
}

/**
 * A search result with ids in the place of rows, best first.
 * @throws InvalidArgumentError if there are not as many results as query ids, a row has no passage id, or a query id
 *   stands twice; ListwiseError INVALID_ARGUMENT for an option that there is not
 */
export async function toRun(best: TopK, options: ToRunOptions): Promise<Run> {
  rejectUnknownOptions(options, ['queryIds', 'passageIds', 'dropSelf', 'signal'], 'toRun');
  const { queryIds, passageIds, dropSelf = false, signal } = options;
  const k = queryIds.length > 0 ? best.rows.length / queryIds.length : 0;
  if (!Number.isInteger(k) || best.scores.length !== best.rows.length || (k === 0 && best.rows.length > 0)) {
    throw new InvalidArgumentError('queryIds', `an id for each query of the ${best.rows.length} results`, queryIds);
  }
  const run: Run = new Map();
  const breathe = breather(signal);
  for (const [index, query] of queryIds.entries()) {
    await breathe();
    if (run.has(query)) throw new InvalidArgumentError('queryIds', 'each id once', query);
    const ranking: ScoredPassage[] = [];
    for (let place = index * k; place < (index + 1) * k; place++) {
      const row = best.rows[place] as number;
      if (row < 0) break;
      const id = passageIds[row];
      if (id === undefined) throw new InvalidArgumentError('passageIds', `an id for row ${row}`, passageIds);
      if (!dropSelf || id !== query) ranking.push({ id, score: best.scores[place] as number });
    }
    run.set(query, ranking);
  }
  return run;
}
