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
/** So many passages' texts and embeddings are all that stands in memory. */
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
 * @param options `window` is how many passages are encoded and searched together, 16,384 by default
 * @throws InvalidArgumentError if k or the window is no whole number from 1; what the encoder and searchEmbeddings throw
 */
export async function retrieve(
  encoder: TextEmbedder,
  searched: Searched,
  options: RetrievalOptions & { window?: number } = {},
): Promise<Run> {
  const { k: depth = DEPTH, maxLength, window: size = WINDOW, signal, onProgress } = options;
  checkWhole('k', depth);
  checkWhole('window', size);
  const { queries } = searched;
  const total = 'size' in searched ? searched.size : searched.corpus.length;
  const k = Math.min(depth, total);
  const texts = queries.map((query) => query.text);
  const rows = await encoder.encode(texts, { kind: 'query', maxLength, signal, onProgress });
  const { dimension } = encoder;
  const search = await ExactSearch.open({ queries: rows, dimension, k: Math.max(k, 1), signal });
  const passageIds: string[] = [];
  for await (const window of passageWindows(searched.corpus, size, signal)) {
    await searchWindow(window, { encoder, search, start: passageIds.length, total, maxLength, signal, onProgress });
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

interface WindowSearch extends LongWork {
  encoder: TextEmbedder;
  search: ExactSearch;
  /** Passages before this window, and in all. */
  start: number;
  total: number;
  maxLength: number | undefined;
}

/** A function of its own, so that nothing of a window is still held when the next one is encoded. */
async function searchWindow({ ids, texts }: Window, parts: WindowSearch): Promise<void> {
  const { encoder, search, start, total, maxLength, signal, onProgress } = parts;
  const report = (progress: Progress) => onProgress?.({ ...progress, done: start + progress.done, total });
  const embeddings = await encoder.encode(texts, { kind: 'passage', maxLength, signal, onProgress: report });
  const onShare = (share: number) =>
    report({ stage: 'searching', done: Math.floor(share * ids.length), total, unit: 'passages' });
  await search.add(embeddings, { signal, onShare });
}

async function* passageWindows(
  corpus: Iterable<Passage> | AsyncIterable<Passage>,
  size: number,
  signal?: AbortSignal,
): AsyncGenerator<Window> {
  const breathe = breather(signal);
  let window: Window = { ids: [], texts: [] };
  for await (const passage of corpus) {
    window.ids.push(passage.id);
    window.texts.push(passageText(passage));
    if (window.ids.length === size) {
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
