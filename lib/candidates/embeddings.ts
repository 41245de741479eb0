import type { Corpus } from '../corpus/corpus.js';
import { passageText } from '../corpus/passage.js';
import { InvalidArgumentError } from '../errors.js';
import type { TextEmbedder } from '../evaluation/retrieval.js';
import type { LongWork, Query } from '../types.js';

/** Embeddings by id. Row i of `matrix` (ids × dimension, row-major) is the embedding of the i-th id. */
export class Embeddings {
  readonly ids: readonly string[];
  readonly matrix: Float32Array;
  readonly dimension: number;
  readonly #rows: Map<string, number>;

  /** @throws InvalidArgumentError if the matrix has not ids × dimension numbers */
  constructor(ids: readonly string[], matrix: Float32Array, dimension: number) {
    if (matrix.length !== ids.length * dimension) {
      throw new InvalidArgumentError('matrix', `${ids.length} × ${dimension} numbers`, matrix);
    }
    this.ids = ids;
    this.matrix = matrix;
    this.dimension = dimension;
    this.#rows = new Map(ids.map((id, row) => [id, row]));
  }

  /** The embedding of an id, a view into the matrix. @throws InvalidArgumentError if there is none */
  get(id: string): Float32Array {
    const row = this.#rows.get(id);
    if (row === undefined) throw new InvalidArgumentError('id', `one of ${this.ids.length} embedded texts`, id);
    return this.row(row);
  }

  row(row: number): Float32Array {
    return this.matrix.subarray(row * this.dimension, (row + 1) * this.dimension);
  }
}

/** Passages whose texts are at hand at one time. */
const WINDOW = 16384;

/** Embeds all passages of a corpus, rows in the corpus' order. */
export async function embedCorpus(
  embedder: TextEmbedder,
  corpus: Corpus,
  { signal, onProgress }: LongWork = {},
): Promise<Embeddings> {
  const { dimension } = embedder;
  const matrix = new Float32Array(corpus.size * dimension);
  for (let start = 0; start < corpus.size; start += WINDOW) {
    const count = Math.min(WINDOW, corpus.size - start);
    const texts = Array.from({ length: count }, (_, i) => passageText(corpus.at(start + i)));
    const embeddings = await embedder.encode(texts, {
      kind: 'passage',
      signal,
      onProgress:
        onProgress && ((progress) => onProgress({ ...progress, done: start + progress.done, total: corpus.size })),
    });
    matrix.set(embeddings, start * dimension);
  }
  return new Embeddings([...corpus.ids()], matrix, dimension);
}

/** Embeds queries, rows in their order. */
export async function embedQueries(
  embedder: TextEmbedder,
  queries: readonly Query[],
  { signal, onProgress }: LongWork = {},
): Promise<Embeddings> {
  const texts = queries.map(({ text }) => text);
  const matrix = await embedder.encode(texts, { kind: 'query', signal, onProgress });
  return new Embeddings(
    queries.map(({ id }) => id),
    matrix,
    embedder.dimension,
  );
}
