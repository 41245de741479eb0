import { searchEmbeddings, toRun } from '../search.js';
import type { LongWork, Run } from '../types.js';
import type { Embeddings } from './embeddings.js';

export interface DenseOptions extends LongWork {
  /** How many passages to keep per query. Default 100. */
  depth?: number;
}

/** The best passages for each query by exact inner product over the whole corpus, best first. */
export async function denseCandidates(
  queries: Embeddings,
  passages: Embeddings,
  { depth = 100, signal, onProgress }: DenseOptions = {},
): Promise<Run> {
  const best = await searchEmbeddings({
    queries: queries.matrix,
    corpus: passages.matrix,
    dimension: passages.dimension,
    k: depth,
    signal,
    onProgress,
  });
  return toRun(best, { queryIds: queries.ids, passageIds: passages.ids });
}
