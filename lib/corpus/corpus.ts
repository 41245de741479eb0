import { describe, NotFoundError } from '../errors.js';
import type { Passage } from '../types.js';
import type { CorpusReport } from './cleaning.js';

export {
  type CorpusOptions,
  type CorpusSource,
  checkCorpusSource,
  corpusOptionNames,
  corpusOptionsOf,
  loadCorpus,
  settleCorpusOptions,
} from './load.js';

/** Passages by row and by id. Rows are 0 to size - 1 in the corpus' order, and are the rows of its embeddings. */
export interface Corpus extends Iterable<Passage> {
  readonly size: number;
  /** The row of a passage, or undefined if there is no such passage. */
  row(id: string): number | undefined;
  /** The passage in a row. @throws RangeError if there is no such row */
  at(row: number): Passage;
  /** The id in a row. @throws RangeError if there is no such row */
  id(row: number): string;
  get(id: string): Passage | undefined;
  has(id: string): boolean;
  ids(): Iterable<string>;
  /** What was found while it was read, if it was read from files. */
  readonly report?: CorpusReport;
  /** Lets go of what it holds open, if anything. */
  [Symbol.dispose]?(): void;
}

/**
 * Checks ids that the user named (to exclude, say) against the corpus.
 * @throws NotFoundError naming the first ids that are not there
 */
export function requirePassages(corpus: Corpus, ids: Iterable<string>, what: string): Set<string> {
  const wanted = new Set(ids);
  const unknown = [...wanted].filter((id) => !corpus.has(id));
  if (unknown.length === 0) return wanted;
  const shown = unknown.slice(0, 3).map(describe).join(', ');
  const more = unknown.length > 3 ? ` and ${unknown.length - 3} more` : '';
  throw new NotFoundError(
    `${what} names passages that are not in the corpus: ${shown}${more}; check that the ids are those of this corpus.`,
  );
}
