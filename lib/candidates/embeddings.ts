import type { Corpus } from '../corpus/corpus.js';
import { passageText } from '../corpus/passage.js';
import { InvalidArgumentError } from '../errors.js';
import type { TextEmbedder } from '../evaluation/retrieval.js';
import { breather } from '../event-loop.js';
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

  /** The rows from `start` to before `end`, over the same matrix. */
  slice(start: number, end: number): Embeddings {
    const { dimension } = this;
    return new Embeddings(
      this.ids.slice(start, end),
      this.matrix.subarray(start * dimension, end * dimension),
      dimension,
    );
  }

  /** A matrix of these rows, in the order given. @throws `signal.reason` when aborted */
  async gather(rows: readonly number[], { signal }: Pick<LongWork, 'signal'> = {}): Promise<Float32Array> {
    const matrix = new Float32Array(rows.length * this.dimension);
    const breathe = breather(signal);
    for (const [i, row] of rows.entries()) {
      matrix.set(this.row(row), i * this.dimension);
      await breathe();
    }
    return matrix;
  }
}

/** Passages whose texts are at hand at one time. */
const WINDOW = 16384;

/** Texts of consecutive passages as a model reads them. */
export async function textsOf(corpus: Corpus, start: number, count: number, signal?: AbortSignal): Promise<string[]> {
  const breathe = breather(signal);
  const texts: string[] = [];
  for (let row = start; row < start + count; row++) {
    texts.push(passageText(corpus.at(row)));
    await breathe();
  }
  return texts;
}

/** All ids of a corpus, in its order; a packed one reads them from its file. */
export async function idsOf(corpus: Corpus, signal?: AbortSignal): Promise<string[]> {
  const breathe = breather(signal);
  const ids: string[] = [];
  for (const id of corpus.ids()) {
    ids.push(id);
    await breathe();
  }
  return ids;
}

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
    const texts = await textsOf(corpus, start, count, signal);
    const embeddings = await embedder.encode(texts, {
      kind: 'passage',
      signal,
      onProgress:
        onProgress && ((progress) => onProgress({ ...progress, done: start + progress.done, total: corpus.size })),
    });
    matrix.set(embeddings, start * dimension);
  }
  return new Embeddings(await idsOf(corpus, signal), matrix, dimension);
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
