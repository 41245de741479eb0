import { passageText } from '../corpus/passage.js';
import type { Embedder } from '../embedder.js';
import { type CollectionSource, JudgedCollection } from '../evaluation/collection.js';
import { evaluate } from '../evaluation/evaluate.js';
import type { TextEmbedder } from '../evaluation/retrieval.js';
import type { LongWork } from '../types.js';

/** One format beside our own encoder. */
export interface ParityRow {
  format: string;
  /** Over all compared texts: the smallest and the mean cosine between its embedding and ours. */
  minimumCosine: number;
  meanCosine: number;
  texts: number;
  /** There when a test set was given: nDCG@10 by this format, and how far that is from ours. */
  ndcg?: number;
  ndcgDifference?: number;
}

export interface ParityOptions extends LongWork {
  /** A test set in BEIR's layout, whose queries and passages are compared and on which nDCG@10 is measured. */
  data: CollectionSource;
  split?: string | undefined;
}

/** Texts of each kind whose embeddings are compared one by one. */
const COMPARED = 200;

/**
 * Compares formats of one model with our own encoder: cosines of the first 200 queries and passages of a test set, and
 * nDCG@10 on the whole.
 */
export async function parityTable(
  ours: Embedder,
  formats: ReadonlyMap<string, TextEmbedder>,
  { data, split, ...work }: ParityOptions,
): Promise<ParityRow[]> {
  const collection = await JudgedCollection.open(data, { split, signal: work.signal });
  const texts = { query: collection.queries.slice(0, COMPARED).map(({ text }) => text), passage: [] as string[] };
  for await (const passage of collection.corpus) {
    if (texts.passage.length === COMPARED) break;
    texts.passage.push(passageText(passage));
  }
  const measured = { data, ...(split !== undefined && { split }), measures: ['nDCG@10'], ...work };
  const base = (await evaluate({ model: ours, ...measured })).measures['nDCG@10'] as number;
  const rows: ParityRow[] = [];
  for (const [format, embedder] of formats) {
    const cosines: number[] = [];
    for (const kind of ['query', 'passage'] as const) {
      const options = { kind, ...work };
      const [a, b] = [await ours.encode(texts[kind], options), await embedder.encode(texts[kind], options)];
      cosines.push(...cosinesOf(a, b, ours.dimension));
    }
    const ndcg = (await evaluate({ model: embedder, ...measured })).measures['nDCG@10'] as number;
    rows.push({
      format,
      minimumCosine: Math.min(...cosines),
      meanCosine: cosines.reduce((sum, value) => sum + value, 0) / cosines.length,
      texts: cosines.length,
      ...{ ndcg, ndcgDifference: ndcg - base },
    });
  }
  return rows;
}

function cosinesOf(a: Float32Array, b: Float32Array, dimension: number): number[] {
  return Array.from({ length: a.length / dimension }, (_, row) => {
    let [product, lengthA, lengthB] = [0, 0, 0];
    for (let i = row * dimension; i < (row + 1) * dimension; i++) {
      product += a[i]! * b[i]!;
      lengthA += a[i]! ** 2;
      lengthB += b[i]! ** 2;
    }
    return product / Math.sqrt(lengthA * lengthB);
  });
}
