import { sampleIds } from '../corpus/sample.js';
import type { TestCollection } from '../formats/beir.js';
import { rejectUnknownOptions } from '../option-names.js';
import { checkWhole } from '../search.js';

export interface SubsetOptions {
  /** Most queries, a seeded sample; all by default. */
  queries?: number;
  /** Passages beside the judged and the named ones, a seeded sample; 2,000 by default. */
  distractors?: number;
  /** Ids of passages to keep whatever is sampled, such as each query's candidates: hard distractors. */
  keep?: Iterable<string>;
  /** Any 32-bit integer; 1 by default. */
  seed?: number;
}

/**
 * A part of a test collection that is quick to evaluate on: some queries, all passages that are judged for them, and a
 * sample of the others as distractors. Measures on it are higher than on the whole, so they serve to compare models
 * with each other on the same part, as training and the choice of a mixture do, and for nothing else.
 * @throws InvalidArgumentError if a number is no whole number from 1; ListwiseError INVALID_ARGUMENT for an unknown
 *   option
 */
export async function collectionSubset(
  { corpus, queries, qrels }: TestCollection,
  options: SubsetOptions = {},
): Promise<TestCollection> {
  rejectUnknownOptions(options, ['queries', 'distractors', 'keep', 'seed'], 'collectionSubset');
  const { queries: most = queries.length, distractors = 2000, keep = [], seed = 1 } = options;
  checkWhole('queries', most);
  checkWhole('distractors', distractors);
  const asked = new Set(
    await sampleIds(
      queries.map(({ id }) => id),
      most,
      seed,
    ),
  );
  const chosen = new Set(keep);
  for (const id of asked) for (const passage of qrels.get(id)?.keys() ?? []) chosen.add(passage);
  const others = corpus.filter(({ id }) => !chosen.has(id)).map(({ id }) => id);
  for (const id of await sampleIds(others, distractors, seed)) chosen.add(id);
  return {
    corpus: corpus.filter(({ id }) => chosen.has(id)),
    queries: queries.filter(({ id }) => asked.has(id)),
    qrels: new Map([...qrels].filter(([id]) => asked.has(id))),
  };
}
