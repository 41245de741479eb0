import type { Bm25Index, SparseScores } from '../candidates/bm25.js';
import type { Embeddings } from '../candidates/embeddings.js';
import type { Corpus } from '../corpus/corpus.js';
import { InvalidArgumentError } from '../errors.js';
import { breather } from '../event-loop.js';
import type { LongWork } from '../types.js';
import { InnerProductMoments, innerProduct, type Moments, sparseMoments, zScore } from './moments.js';
import type { Teacher, TeacherRequest, TeacherScores } from './teacher.js';

export interface FusedWeights {
  /** Weight of the dense z-score. Default 0.7. */
  denseWeight?: number;
  /** Weight of the BM25 z-score. Default 0.3. */
  bm25Weight?: number;
}

export interface FusedTeacherOptions extends FusedWeights {
  corpus: Corpus;
  bm25: Bm25Index;
  /** Embeddings of the whole corpus, rows in its order. */
  passages: Embeddings;
  /** Embeddings of the queries that will be scored. */
  queries: Embeddings;
}

/**
 * The teacher that needs nothing but the embedder itself: per query, dense scores (inner products) and BM25 scores are
 * turned to z-scores over the whole corpus, and a passage's score is 0.7 × dense + 0.3 × BM25. Words that must match
 * exactly are what embedders miss most, so the sum often orders better than either.
 */
export class FusedTeacher implements Teacher {
  readonly name = 'fused';
  readonly #options: Required<FusedTeacherOptions>;

  /** @throws InvalidArgumentError for weights that are negative, not finite, or both 0 */
  constructor(options: FusedTeacherOptions) {
    this.#options = { ...options, ...settleWeights(options) };
  }

  async *score(
    requests: Iterable<TeacherRequest> | AsyncIterable<TeacherRequest>,
    { signal, onProgress }: LongWork = {},
  ): AsyncGenerator<TeacherScores> {
    const { bm25, passages, queries } = this.#options;
    const breathe = breather(signal);
    const moments = await InnerProductMoments.of(passages, { signal, onProgress });
    for await (const request of requests) {
      const embedding = queries.get(request.query.id);
      const lexical = await bm25.scores(request.query.text, { signal });
      const dense = moments.of(embedding);
      yield this.#scores(request, { embedding, dense, lexical, bm25: sparseMoments(lexical.scores, bm25.size) });
      await breathe();
    }
  }

  #scores({ query, passages: candidates }: TeacherRequest, { embedding, dense, lexical, bm25 }: Judged): TeacherScores {
    const { corpus, passages, denseWeight, bm25Weight } = this.#options;
    const score = (id: string) => {
      const row = corpus.row(id);
      if (row === undefined)
        throw new InvalidArgumentError('candidates', `passages of the corpus for query "${query.id}"`, id);
      const product = innerProduct(embedding, passages.row(row));
      return denseWeight * zScore(product, dense) + bm25Weight * zScore(scoreOf(row, lexical), bm25);
    };
    return { query: query.id, passages: candidates.map(({ id }) => ({ id, score: score(id) })) };
  }
}

/**
 * Fills in defaults.
 * @throws InvalidArgumentError for weights that are negative, not finite, or both 0
 */
export function settleWeights({ denseWeight = 0.7, bm25Weight = 0.3 }: FusedWeights): Required<FusedWeights> {
  for (const [name, weight] of Object.entries({ denseWeight, bm25Weight })) {
    if (!(weight >= 0 && Number.isFinite(weight))) {
      throw new InvalidArgumentError(name, 'a number of at least 0', weight);
    }
  }
  if (denseWeight + bm25Weight > 0) return { denseWeight, bm25Weight };
  throw new InvalidArgumentError('bm25Weight', 'a number above 0 where denseWeight is 0', bm25Weight);
}

/** A query's scores and their moments over the corpus. */
interface Judged {
  embedding: Float32Array;
  dense: Moments;
  lexical: SparseScores;
  bm25: Moments;
}

/** A row's score by binary search; 0 where it is not among the rows. */
function scoreOf(row: number, { rows, scores }: SparseScores): number {
  let low = 0;
  let high = rows.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (rows[middle]! < row) low = middle + 1;
    else high = middle;
  }
  return rows[low] === row ? scores[low]! : 0;
}
