import { IdSample, sampleIds } from '../corpus/sample.js';
import { breather } from '../event-loop.js';
import type { TestCollection } from '../formats/beir.js';
import { rejectUnknownOptions } from '../option-names.js';
import { checkWhole } from '../search.js';
import type { Passage, Qrels, Query } from '../types.js';

export interface SubsetOptions {
  /** Most queries, a seeded sample; all by default. */
  queries?: number;
  /** Passages beside the judged and the named ones, a seeded sample; 2,000 by default. */
  distractors?: number;
  /** Ids of passages to keep whatever is sampled, such as each query's candidates: hard distractors. */
  keep?: Iterable<string>;
  /** Any 32-bit integer; 1 by default. */
  seed?: number;
  signal?: AbortSignal;
}

/** A test collection whose passages may be a stream, which is read twice. */
export interface SubsetSource {
  corpus: Iterable<Passage> | AsyncIterable<Passage>;
  queries: readonly Query[];
  qrels: Qrels;
}

/**
 * A part of a test collection that is quick to evaluate on: some queries, all passages that are judged for them, and a
 * sample of the others as distractors. Measures on it are higher than on the whole, so they serve to compare models
 * with each other on the same part, as training and the choice of a mixture do, and for nothing else. Of a stream of
 * passages no more than the part is held in memory.
 * @throws InvalidArgumentError if a number is no whole number from 1; ListwiseError INVALID_ARGUMENT for an unknown
 *   option; `signal.reason` when aborted
 */
export async function collectionSubset(
  { corpus, queries, qrels }: SubsetSource,
  options: SubsetOptions = {},
): Promise<TestCollection> {
  rejectUnknownOptions(options, ['queries', 'distractors', 'keep', 'seed', 'signal'], 'collectionSubset');
  const { queries: most = queries.length, distractors = 2000, keep = [], seed = 1, signal } = options;
  checkWhole('queries', most);
  checkWhole('distractors', distractors);
  const queryIds = queries.map(({ id }) => id);
  const asked = new Set(await sampleIds(queryIds, most, seed));
  const chosen = new Set(keep);
  for (const id of asked) for (const passage of qrels.get(id)?.keys() ?? []) chosen.add(passage);
  const breathe = breather(signal);
  const others = new IdSample(distractors, seed);
  for await (const { id } of corpus) {
    if (!chosen.has(id)) others.add(id);
    await breathe();
  }
  for (const id of others.ids()) chosen.add(id);
  const kept: Passage[] = [];
  for await (const passage of corpus) {
    if (chosen.has(passage.id)) kept.push(passage);
    await breathe();
  }
  return {
    corpus: kept,
    queries: queries.filter(({ id }) => asked.has(id)),
    qrels: new Map([...qrels].filter(([id]) => asked.has(id))),
  };
}
