import { InvalidArgumentError } from './errors.js';
import { breather } from './event-loop.js';
import { native, runJob, type TopK } from './native.js';
import { rejectUnknownOptions } from './option-names.js';
import type { LongWork, Run, ScoredPassage } from './types.js';

/** Embeddings row after row, in fp32 or (as Uint16Array) in bf16. */
export type Rows = Float32Array | Uint16Array;

export interface SearchOptions extends LongWork {
  /** Queries × dimension, row-major. */
  queries: Float32Array;
  /** Passages × dimension, row-major: fp32, or bf16 as the upper halves of fp32 numbers. */
  corpus: Rows;
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
  const corpusRows = rowsOf('corpus', corpus, dimension);
  const k = Math.min(options.k, corpusRows);
  const search = await ExactSearch.open({ queries, dimension, k: Math.max(k, 1), signal });
  await search.add(corpus, {
    signal,
    onShare: (share) => {
      const { total } = search;
      onProgress?.({ stage: 'searching', done: Math.floor(total * share), total, unit: 'queries' });
    },
  });
  return search.best(k);
}

/**
 * An exact search whose corpus comes block by block, so that it never need stand in memory whole. What stands there is
 * the queries and k results of each, so k should not be above the number of passages there are.
 */
export class ExactSearch {
  readonly #queries: Float32Array;
  readonly #dimension: number;
  readonly #k: number;
  /** By block of queries. */
  readonly #best: TopK[] = [];
  #rows = 0;

  private constructor({ queries, dimension, k }: Pick<SearchOptions, 'queries' | 'dimension' | 'k'>) {
    this.#queries = queries;
    this.#dimension = dimension;
    this.#k = k;
  }

  /** @throws as searchEmbeddings for queries, dimension and k */
  static async open(options: Omit<SearchOptions, 'corpus' | 'onProgress'>): Promise<ExactSearch> {
    checkWhole('dimension', options.dimension);
    checkWhole('k', options.k);
    if (!(options.queries instanceof Float32Array)) {
      throw new InvalidArgumentError('queries', 'a Float32Array', options.queries);
    }
    rowsOf('queries', options.queries, options.dimension);
    return new ExactSearch(options);
  }

  /** How many queries there are. */
  get total(): number {
    return this.#queries.length / this.#dimension;
  }

  /**
   * Searches further passages, which follow those of earlier calls.
   * @param corpus passages × dimension, row-major
   * @returns how many they are
   * @throws as searchEmbeddings for the corpus; `signal.reason` when aborted
   */
  async add(corpus: Rows, { signal, onShare }: AddOptions = {}): Promise<number> {
    const dimension = this.#dimension;
    const rows = rowsOf('corpus', corpus, dimension);
    signal?.throwIfAborted();
    const step = Math.max(1, Math.floor(BLOCK_PRODUCTS / (Math.min(QUERY_BLOCK, this.total || 1) * dimension)));
    for (let first = 0; first < rows; first += step) {
      const end = Math.min(first + step, rows);
      const block = corpus.subarray(first * dimension, end * dimension);
      for (let query = 0; query < this.total; query += QUERY_BLOCK) {
        await this.#searchBlock(query, { block, firstRow: this.#rows + first, signal });
        const done = Math.min(query + QUERY_BLOCK, this.total) / this.total;
        onShare?.((first + (end - first) * done) / rows);
      }
    }
    this.#rows += rows;
    return rows;
  }

  async #searchBlock(
    first: number,
    { block: corpus, firstRow, signal }: { block: Rows; firstRow: number; signal: AbortSignal | undefined },
  ): Promise<void> {
    const dimension = this.#dimension;
    const queries = this.#queries.subarray(first * dimension, (first + QUERY_BLOCK) * dimension);
    const best = this.#best[first / QUERY_BLOCK];
    const args = { queries, corpus, dimension, k: this.#k, firstRow, ...(best && { best }) };
    this.#best[first / QUERY_BLOCK] = await runJob(() => native().search(args), signal);
  }

  /** Queries × k rows and scores, best first; with fewer passages than k, rows of -1 at the end of each query's. */
  best(k = this.#k): TopK {
    const result: TopK = { rows: new Int32Array(this.total * k), scores: new Float32Array(this.total * k) };
    for (let query = 0; query < this.total && k > 0; query++) {
      const block = this.#best[Math.floor(query / QUERY_BLOCK)] as TopK;
      const start = (query % QUERY_BLOCK) * this.#k;
      result.rows.set(block.rows.subarray(start, start + k), query * k);
      result.scores.set(block.scores.subarray(start, start + k), query * k);
    }
    return result;
  }
}

interface AddOptions {
  signal?: AbortSignal | undefined;
  /** Hears how much of the passages given is searched, from 0 to 1. */
  onShare?: (share: number) => void;
}

/** @throws InvalidArgumentError if the value is no whole number from 1 */
export function checkWhole(argument: string, value: number): void {
  if (!Number.isSafeInteger(value) || value < 1) {
    throw new InvalidArgumentError(argument, 'a whole number from 1', value);
  }
}

/** @returns how many rows the matrix has. That its numbers are finite is checked where they are read, in the addon. */
function rowsOf(name: string, matrix: unknown, dimension: number): number {
  const isMatrix = matrix instanceof Float32Array || matrix instanceof Uint16Array;
  if (isMatrix && matrix.length % dimension === 0) return matrix.length / dimension;
  throw new InvalidArgumentError(name, `a Float32Array of whole rows of ${dimension} numbers`, matrix);
}

export interface ToRunOptions {
  /** By row of the queries. */
  queryIds: readonly string[];
  /** By row of the corpus. */
  passageIds: readonly string[] | ((row: number) => string | undefined);
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
  const idOf = typeof passageIds === 'function' ? passageIds : (row: number) => passageIds[row];
  const run: Run = new Map();
  const breathe = breather(signal);
  for (const [index, query] of queryIds.entries()) {
    await breathe();
    if (run.has(query)) throw new InvalidArgumentError('queryIds', 'each id once', query);
    const ranking: ScoredPassage[] = [];
    for (let place = index * k; place < (index + 1) * k; place++) {
      const row = best.rows[place] as number;
      if (row < 0) break;
      const id = idOf(row);
      if (id === undefined) throw new InvalidArgumentError('passageIds', `an id for row ${row}`, passageIds);
      if (!dropSelf || id !== query) ranking.push({ id, score: best.scores[place] as number });
    }
    run.set(query, ranking);
  }
  return run;
}
