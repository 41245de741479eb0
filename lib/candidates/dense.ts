import type { Corpus } from '../corpus/corpus.js';
import { toRun } from '../search.js';
import type { LongWork, Run } from '../types.js';
import type { Embeddings } from './embeddings.js';
import type { EmbeddingsFile } from './embeddings-file.js';

export interface DenseOptions extends LongWork {
  /** How many passages to keep per query. Default 100. */
  depth?: number;
}

/** The best passages for each query by exact inner product over the whole corpus, best first. */
export async function denseCandidates(
  queries: Embeddings,
  passages: EmbeddingsFile,
  corpus: Corpus,
  { depth = 100, signal, onProgress }: DenseOptions = {},
): Promise<Run> {
  const best = await passages.search(queries.matrix, depth, { signal, onProgress });
  return toRun(best, { queryIds: queries.ids, passageIds: (row) => corpus.id(row), signal });
}
