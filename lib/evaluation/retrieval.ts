import { passageText } from '../corpus/passage.js';
import { breather } from '../event-loop.js';
import type { ModelOptions } from '../models/model.js';
import { checkWhole, ExactSearch, toRun } from '../search.js';
import type { LongWork, Passage, Progress, Query, Run } from '../types.js';

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

const DEPTH = 1000;
/** Passages that are encoded and searched together: their texts and embeddings are all that stands in memory. */
const WINDOW = 16_384;

/** Queries, and the passages to search for each of them: an array, or a stream that says how many they are. */
export type Searched = { queries: readonly Query[] } & (
  | { corpus: readonly Passage[] }
  | { corpus: AsyncIterable<Passage>; size: number }
);

/**
 * The passages that an encoder finds for each query of a collection by exact search, best first, without the passage
 * whose id equals the query's. The corpus is searched as it is encoded, so neither its texts nor its embeddings need
 * stand in memory whole.
 * @throws InvalidArgumentError if k is no whole number from 1; what the encoder and searchEmbeddings throw
 */
export async function retrieve(
  encoder: TextEmbedder,
  searched: Searched,
  options: RetrievalOptions = {},
): Promise<Run> {
  const { k: depth = DEPTH, maxLength, signal, onProgress } = options;
  checkWhole('k', depth);
  const { queries } = searched;
  const total = 'size' in searched ? searched.size : searched.corpus.length;
  const k = Math.min(depth, total);
  const texts = queries.map((query) => query.text);
  const rows = await encoder.encode(texts, { kind: 'query', maxLength, signal, onProgress });
  const { dimension } = encoder;
  const search = await ExactSearch.open({ queries: rows, dimension, k: Math.max(k, 1), signal });
  const passageIds: string[] = [];
  for await (const window of windowsOf(searched.corpus, signal)) {
    const start = passageIds.length;
    const report = (progress: Progress) => onProgress?.({ ...progress, done: start + progress.done, total });
    const work = { maxLength, signal, onProgress: report };
    const embeddings = await encoder.encode(window.texts, { kind: 'passage', ...work });
    const onShare = (share: number) =>
      report({ stage: 'searching', done: Math.floor(share * window.ids.length), total, unit: 'passages' });
    await search.add(embeddings, { signal, onShare });
    for (const id of window.ids) passageIds.push(id);
  }
  const queryIds = queries.map(({ id }) => id);
  return toRun(search.best(k), { queryIds, passageIds, dropSelf: true, signal });
}

interface Window {
  ids: string[];
  /** As models read them. */
  texts: string[];
}

async function* windowsOf(
  corpus: Iterable<Passage> | AsyncIterable<Passage>,
  signal?: AbortSignal,
): AsyncGenerator<Window> {
  const breathe = breather(signal);
  let window: Window = { ids: [], texts: [] };
  for await (const passage of corpus) {
    window.ids.push(passage.id);
    window.texts.push(passageText(passage));
    if (window.ids.length === WINDOW) {
      yield window;
      window = { ids: [], texts: [] };
    }
    await breathe();
  }
  if (window.ids.length > 0) yield window;
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
