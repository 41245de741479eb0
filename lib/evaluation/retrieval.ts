import { passageText } from '../corpus/passage.js';
import { breather } from '../event-loop.js';
import type { TestCollection } from '../formats/beir.js';
import type { ModelOptions } from '../models/model.js';
import { checkWhole, searchEmbeddings, toRun } from '../search.js';
import type { LongWork, Passage, Query, Run } from '../types.js';

/** What turns texts into embeddings: an Embedder, or anything that encodes like one. */
export interface TextEmbedder {
  readonly dimension: number;
  /** Texts × dimension embeddings, in the order of the texts. */
  encode(texts: readonly string[], options: EncodeTexts): Promise<Float32Array>;
}

export interface EncodeTexts extends LongWork {
  kind: 'query' | 'passage';
  /** Most tokens of a text. */
  maxLength?: number;
}

export interface RetrievalOptions extends LongWork {
  /** How deep to search, in passages per query; 1,000 by default. */
  k?: number;
  /** Most tokens of a text, query or passage; the model's own defaults where undefined. */
  maxLength?: number;
}

/** Which model, and how to load it. */
export interface ModelChoice {
  /** A model's directory or Hub name, which is loaded and let go again; or an encoder that is loaded already. */
  model: string | TextEmbedder;
  /** How a model given by name is loaded, such as its device. */
  modelOptions?: Omit<ModelOptions, keyof LongWork>;
}

/**
 * The passages that an encoder finds for each query of a collection by exact search, best first, without the passage
 * whose id equals the query's.
 * @throws InvalidArgumentError if k is no whole number from 1; what the encoder and searchEmbeddings throw
 */
export async function retrieve(
  encoder: TextEmbedder,
  { corpus, queries }: Pick<TestCollection, 'corpus' | 'queries'>,
  options: RetrievalOptions = {},
): Promise<Run> {
  const { k = 1000, maxLength, signal, onProgress } = options;
  const work = { maxLength, signal, onProgress };
  checkWhole('k', k);
  const passageTexts = await readAsModel(corpus, signal);
  const passageRows = await encoder.encode(passageTexts, { kind: 'passage', ...work });
  const queryTexts = queries.map((query) => query.text);
  const queryRows = await encoder.encode(queryTexts, { kind: 'query', ...work });
  const best = await searchEmbeddings({
    queries: queryRows,
    corpus: passageRows,
    dimension: encoder.dimension,
    k,
    signal,
    onProgress,
  });
  return toRun(best, { queryIds: idsOf(queries), passageIds: idsOf(corpus), dropSelf: true, signal });
}

async function readAsModel(corpus: readonly Passage[], signal?: AbortSignal): Promise<string[]> {
  const texts: string[] = [];
  const breathe = breather(signal);
  for (const passage of corpus) {
    texts.push(passageText(passage));
    await breathe();
  }
  return texts;
}

/** Loads the model where it is given by name, and lets it go when the work is done. */
export async function withEncoder<T>(
  options: ModelChoice & LongWork,
  work: (encoder: TextEmbedder) => Promise<T>,
): Promise<T> {
  const { model, modelOptions, signal, onProgress } = options;
  if (typeof model !== 'string') return work(model);
  const { Embedder } = await import('../embedder.js');
  const embedder = await Embedder.load(model, { ...modelOptions, signal, onProgress });
  try {
    return await work(embedder);
  } finally {
    await embedder.dispose();
  }
}

function idsOf(items: readonly (Passage | Query)[]): string[] {
  return items.map((item) => item.id);
}
