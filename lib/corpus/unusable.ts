import { readFile } from 'node:fs/promises';
import { DataError } from '../errors.js';
import { breather } from '../event-loop.js';
import { readJsonl, requireId, requireString } from '../formats/jsonl.js';
import type { LongWork } from '../types.js';
import type { Corpus } from './corpus.js';
import type { DroppedPassage } from './duplicates.js';
import { IdTable } from './id-table.js';

type Reason = DroppedPassage['reason'] | 'excluded';

/** How each is told, before the id of the other passage where one is named. */
const WORDS: Readonly<Record<Reason, string>> = {
  'too short': 'is too short',
  contained: 'is contained in',
  'nearly the same': 'is nearly the same as',
  excluded: 'is excluded',
};
const REASONS = Object.keys(WORDS) as Reason[];
/** In the place of a row. */
const NONE = -1;

/** Files that say which passages are not used: what findDuplicates dropped, and {"excluded": [ids]}. */
export interface UnusableFiles {
  duplicates: string;
  excluded: string;
}

/**
 * Passages that are neither sources of queries nor candidates, by id, and why. Some 50 bytes each: of a large corpus
 * there may be millions. Asked for a passage that is not among them, mostly nothing is read.
 */
export class UnusablePassages {
  readonly #corpus: Corpus;
  readonly #table = IdTable.empty();
  /** Of each, in the order in which they were added: its row, why, and the row of the passage that it was dropped for. */
  readonly #rows: number[] = [];
  readonly #reasons: number[] = [];
  readonly #others: number[] = [];

  private constructor(corpus: Corpus) {
    this.#corpus = corpus;
  }

  /**
   * Reads both files. A plan is made before the files are, from those of an earlier corpus perhaps: what they say of
   * passages that this one lacks is passed over.
   * @throws DataError naming the line of what findDuplicates cannot have written
   */
  static async read(
    corpus: Corpus,
    { duplicates, excluded }: UnusableFiles,
    { signal }: Pick<LongWork, 'signal'> = {},
  ): Promise<UnusablePassages> {
    const unusable = new UnusablePassages(corpus);
    const breathe = breather(signal);
    for await (const { value, line } of readJsonl(duplicates, { signal })) {
      const place = { file: duplicates, line };
      const reason = requireReason(requireString(value, 'reason', place), place);
      const other = value.of === undefined ? NONE : corpus.row(requireId(value, 'of', place));
      const row = corpus.row(requireId(value, 'id', place));
      await unusable.#table.reserve(breathe);
      if (row !== undefined && other !== undefined) unusable.#add(row, reason, other);
    }
    const named = JSON.parse(await readFile(excluded, 'utf8')) as { excluded: string[] };
    for (const id of named.excluded) {
      const row = corpus.row(id);
      await unusable.#table.reserve(breathe);
      if (row !== undefined) unusable.#add(row, REASONS.indexOf('excluded'), NONE);
      await breathe();
    }
    return unusable;
  }

  has(id: string): boolean {
    return this.#find(id) !== undefined;
  }

  /** Why a passage is not used, as the rest of a sentence; undefined if it may be used. */
  get(id: string): string | undefined {
    const entry = this.#find(id);
    if (entry === undefined) return undefined;
    const words = WORDS[REASONS[this.#reasons[entry]!]!];
    const other = this.#others[entry]!;
    return other === NONE ? words : `${words} ${this.#corpus.id(other)}`;
  }

  #find(id: string): number | undefined {
    const entry = this.#table.find(id, (at) => this.#corpus.id(this.#rows[at]!));
    return entry < 0 ? undefined : entry;
  }

  /** The last word about a passage stands. */
  #add(row: number, reason: number, other: number): void {
    const added = this.#rows.push(row) - 1;
    const earlier = this.#table.add(this.#corpus.id(row), added, (at) => this.#corpus.id(this.#rows[at]!));
    if (earlier >= 0) this.#rows.pop();
    const entry = earlier >= 0 ? earlier : added;
    this.#reasons[entry] = reason;
    this.#others[entry] = other;
  }
}

function requireReason(found: string, place: { file: string; line: number }): number {
  const reason = REASONS.indexOf(found as Reason);
  if (reason >= 0) return reason;
  throw new DataError(
    { ...place, field: 'reason' },
    `Expected one of ${REASONS.join(', ')} but found "${found}"; remove the file, and the run makes it anew.`,
  );
}
