import MiniSearch from 'minisearch';
import type { Corpus } from '../corpus/corpus.js';
import { passageText } from '../corpus/passage.js';
import { InvalidArgumentError } from '../errors.js';
import { breather } from '../event-loop.js';
import type { LongWork, Query, Run, ScoredPassage } from '../types.js';
import { type Analysis, terms } from './terms.js';

export interface Bm25Options {
  /** Saturation of term frequency, > 0. Default 1.2. */
  bm25K1?: number;
  /** Share of length normalisation, 0 to 1. Default 0.75. */
  bm25B?: number;
  /** Least weight of a term that occurs, the δ of BM25+ (Lv and Zhai 2011); 0, the default, is plain BM25. */
  bm25Delta?: number;
  /** How text becomes terms. Default 'english'. */
  bm25Analysis?: Analysis;
  /** Characters of a passage that are indexed. Default 2,048, what a model reads. */
  maxCharacters?: number;
}

/** BM25 scores of a query above zero: rows of the corpus in rising order, and their scores. */
export interface SparseScores {
  rows: Int32Array;
  scores: Float64Array;
}

interface Entry {
  id: number;
  text: string;
}

/**
 * BM25 over a corpus (Robertson and Zaragoza 2009), on MiniSearch's inverted index:
 *
 *     score(q, p) = Σ_t idf(t) · (δ + f(t, p) · (k1 + 1) / (f(t, p) + k1 · (1 − b + b · |p| / avg|p|)))
 *     idf(t) = ln(1 + (N − n(t) + ½) / (n(t) + ½))
 *
 * over the query's terms t, each as often as it stands in the query, with f(t, p) occurrences in the passage, |p| terms
 * in the passage, and n(t) of N passages holding t. A passage without any of the terms scores 0.
 *
 * MiniSearch looks a term up in one piece: a term that stands in 100,000 passages holds up the event loop for some
 * hundred milliseconds, once, as what it adds to each passage is kept.
 */
export class Bm25Index {
  readonly #index: MiniSearch<Entry>;
  readonly #ids: readonly string[];
  readonly #analysis: Analysis;
  /** What a term adds to each passage that holds it. Terms repeat over many queries, so each is looked up once. */
  readonly #postings = new Map<string, SparseScores>();

  private constructor(index: MiniSearch<Entry>, ids: readonly string[], analysis: Analysis) {
    this.#index = index;
    this.#ids = ids;
    this.#analysis = analysis;
  }

  /** Number of passages. */
  get size(): number {
    return this.#ids.length;
  }

  /** Indexes the passages' texts as a model reads them. @throws InvalidArgumentError for a parameter out of range */
  static async build(corpus: Corpus, options: Bm25Options & LongWork = {}): Promise<Bm25Index> {
    const { bm25Analysis = 'english', maxCharacters, signal, onProgress } = options;
    signal?.throwIfAborted();
    const index = new MiniSearch<Entry>({
      fields: ['text'],
      // MiniSearch takes the number of distinct tokens as a text's length, BM25 the number of all. With its place
      // written before it each token is distinct, and the place is taken off before the token is counted.
      tokenize: (text) => terms(text, bm25Analysis).map((term, place) => `${place} ${term}`),
      processTerm: (token) => token.slice(token.indexOf(' ') + 1),
      searchOptions: { tokenize: (term) => [term], processTerm: (term) => term, bm25: settleBm25Options(options) },
    });
    const breathe = breather(signal);
    for (let row = 0; row < corpus.size; row++) {
      index.add({ id: row, text: passageText(corpus.at(row), maxCharacters) });
      const pause = breathe();
      if (!pause) continue;
      onProgress?.({ stage: 'bm25 index', done: row + 1, total: corpus.size, unit: 'passages' });
      await pause;
    }
    return new Bm25Index(index, [...corpus.ids()], bm25Analysis);
  }

  /** The scores of all passages that hold a term of the query. */
  async scores(query: string, { signal }: Pick<LongWork, 'signal'> = {}): Promise<SparseScores> {
    return this.#sum(terms(query, this.#analysis), breather(signal));
  }

  /**
   * The best `k` passages for each query; fewer where fewer hold a term of the query. Equal scores by row, lowest first.
   */
  async search(queries: readonly Query[], k: number, { signal, onProgress }: LongWork = {}): Promise<Run> {
    const breathe = breather(signal);
    const run: Run = new Map();
    for (const query of queries) {
      run.set(query.id, this.#best(await this.#sum(terms(query.text, this.#analysis), breathe), k));
      const pause = breathe();
      if (!pause) continue;
      onProgress?.({ stage: 'bm25 search', done: run.size, total: queries.length, unit: 'queries' });
      await pause;
    }
    return run;
  }

  async #sum(queryTerms: readonly string[], breathe: () => Promise<void> | undefined): Promise<SparseScores> {
    const totals = new Float64Array(this.size);
    for (const term of queryTerms) {
      const { rows, scores } = this.#posting(term);
      for (let i = 0; i < rows.length; i++) totals[rows[i]!]! += scores[i]!;
      await breathe();
    }
    const rows: number[] = [];
    for (let row = 0; row < totals.length; row++) if (totals[row] !== 0) rows.push(row);
    return { rows: Int32Array.from(rows), scores: Float64Array.from(rows, (row) => totals[row]!) };
  }

  #posting(term: string): SparseScores {
    let posting = this.#postings.get(term);
    if (!posting) {
      // One term at a time: MiniSearch multiplies a score by the number of query terms that matched, here one.
      const results = this.#index.search(term).sort((a, b) => a.id - b.id);
      posting = {
        rows: Int32Array.from(results, (result) => result.id),
        scores: Float64Array.from(results, (result) => result.score),
      };
      this.#postings.set(term, posting);
    }
    return posting;
  }

  #best({ rows, scores }: SparseScores, k: number): ScoredPassage[] {
    const order = Array.from(rows.keys());
    order.sort((a, b) => scores[b]! - scores[a]! || a - b);
    return order.slice(0, k).map((i) => ({ id: this.#ids[rows[i]!]!, score: scores[i]! }));
  }
}

/**
 * The parameters as MiniSearch names them, defaults filled in.
 * @throws InvalidArgumentError for one out of range
 */
export function settleBm25Options(options: Bm25Options): { k: number; b: number; d: number } {
  const { bm25K1 = 1.2, bm25B = 0.75, bm25Delta = 0, bm25Analysis = 'english' } = options;
  if (bm25Analysis !== 'english' && bm25Analysis !== 'none') {
    throw new InvalidArgumentError('bm25Analysis', "'english' or 'none'", bm25Analysis);
  }
  if (!(bm25K1 > 0 && Number.isFinite(bm25K1))) throw new InvalidArgumentError('bm25K1', 'a number above 0', bm25K1);
  if (!(bm25B >= 0 && bm25B <= 1)) throw new InvalidArgumentError('bm25B', 'a number from 0 to 1', bm25B);
  if (!(bm25Delta >= 0 && Number.isFinite(bm25Delta))) {
    throw new InvalidArgumentError('bm25Delta', 'a number of at least 0', bm25Delta);
  }
  return { k: bm25K1, b: bm25B, d: bm25Delta };
}
