import { InvalidArgumentError, NotFoundError } from '../errors.js';
import { breather } from '../event-loop.js';
import { readQrelsFile } from '../formats/qrels.js';
import type { LongWork } from '../types.js';
import { type Corpus, requirePassages } from './corpus.js';
import { readIds } from './id-file.js';

/** Which passages the user wants left out. */
export interface ExclusionOptions {
  /** Ids of passages that are neither sources of queries nor candidates, or a file of them, one a line. */
  exclude?: readonly string[] | string;
  /** A file of judgements, as BEIR or TREC writes them, whose passages are excluded too. */
  excludeQrels?: string;
}

/** @throws InvalidArgumentError for ids that are none, or the path of judgements that is none */
export function checkExclusion({ exclude = [], excludeQrels }: ExclusionOptions): void {
  const isIds = Array.isArray(exclude) && exclude.every((id) => typeof id === 'string');
  if (!isIds && (typeof exclude !== 'string' || exclude === '')) {
    throw new InvalidArgumentError('exclude', 'an array of ids, which are strings, or a file of them,', exclude);
  }
  if (excludeQrels === undefined || (typeof excludeQrels === 'string' && excludeQrels !== '')) return;
  throw new InvalidArgumentError('excludeQrels', 'a path that is not empty', excludeQrels);
}

/**
 * Ids of the passages of a corpus that are to be left out. Judgements may name passages that the corpus lacks, as those
 * of a larger one do, but not only such: then nothing would be left out, unnoticed.
 * @throws NotFoundError if `exclude` names a passage that is not there, or `excludeQrels` none that is, or a file is not
 * @throws DataError for judgements that are none
 */
export async function excludedPassages(
  corpus: Corpus,
  { exclude = [], excludeQrels, signal }: ExclusionOptions & Pick<LongWork, 'signal'>,
): Promise<Set<string>> {
  const isFile = typeof exclude === 'string';
  const excluded = requirePassages(
    corpus,
    isFile ? await readIds(exclude, signal) : exclude,
    isFile ? exclude : 'exclude',
  );
  if (excludeQrels === undefined) return excluded;
  const breathe = breather(signal);
  let known = 0;
  for (const judged of (await readQrelsFile(excludeQrels, { signal })).values()) {
    await breathe();
    for (const id of judged.keys()) {
      if (!corpus.has(id)) continue;
      known += 1;
      excluded.add(id);
    }
  }
  if (known > 0) return excluded;
  throw new NotFoundError(
    `excludeQrels (${excludeQrels}) judges no passage of the corpus, so it would exclude none; ` +
      'check that its ids are those of this corpus.',
  );
}
