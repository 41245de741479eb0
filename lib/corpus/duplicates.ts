import { InvalidArgumentError } from '../errors.js';
import { breather } from '../event-loop.js';
import type { LongWork } from '../types.js';
import { comparisonText, isShorter, reversed } from './comparison-text.js';
import type { Corpus } from './corpus.js';
import { type KeyedRow, KeySorter, type SortOptions } from './key-sorter.js';
import { findNearDuplicates, LEAST_RESEMBLANCE } from './near-duplicates.js';

/** A passage that is not used, and why. */
export interface DroppedPassage {
  id: string;
  reason: 'too short' | 'contained' | 'nearly the same';
  /** The passage that contains this one, or that it is nearly the same as; there unless it is too short. */
  of?: string;
}

export interface DuplicateOptions extends LongWork, Omit<SortOptions, 'signal'> {
  /** Passages whose comparison text has fewer characters (code points) are dropped. Default 10. */
  minCharacters?: number;
  /** How many of the next passages in sorted order may contain a passage. Default 9. */
  duplicateWindow?: number;
  /**
   * Then passages are dropped, too, whose resemblance (see `resemblance`) to an earlier one that stays is at least this,
   * from 0.8 to 1. Default none are.
   */
  nearDuplicates?: number;
}

const KEPT = -1;
const TOO_SHORT = -2;
const NEAR = -3;

/** Passages of a corpus that are not used, in its order. Takes 4 bytes for each passage of the corpus. */
export class Duplicates implements Iterable<DroppedPassage> {
  readonly #corpus: Corpus;
  /** Of each row KEPT, TOO_SHORT, the row of the passage that contains it, or NEAR less the row it is like. */
  readonly #reasons: Int32Array;

  constructor(corpus: Corpus) {
    this.#corpus = corpus;
    this.#reasons = new Int32Array(corpus.size).fill(KEPT);
  }

  /** Notes that a passage is contained in another; the first note about it stands. */
  contained(row: number, container: number): void {
    if (this.#reasons[row] === KEPT) this.#reasons[row] = container;
  }

  /** Notes that a passage is nearly the same as another. */
  near(row: number, like: number): void {
    this.#reasons[row] = NEAR - like;
  }

  tooShort(row: number): void {
    this.#reasons[row] = TOO_SHORT;
  }

  /** Whether a row's passage is dropped. */
  has(row: number): boolean {
    return this.#reasons[row] !== KEPT;
  }

  isContained(row: number): boolean {
    return this.#reasons[row]! >= 0;
  }

  /** How many were dropped for each reason. */
  counts(): { tooShort: number; contained: number; near: number } {
    const counts = { tooShort: 0, contained: 0, near: 0 };
    for (const reason of this.#reasons) {
      if (reason === TOO_SHORT) counts.tooShort += 1;
      else if (reason >= 0) counts.contained += 1;
      else if (reason !== KEPT) counts.near += 1;
    }
    return counts;
  }

  *[Symbol.iterator](): Iterator<DroppedPassage> {
    for (const [row, reason] of this.#reasons.entries()) {
      if (reason === KEPT) continue;
      const id = this.#corpus.id(row);
      if (reason === TOO_SHORT) yield { id, reason: 'too short' };
      else if (reason >= 0) yield { id, reason: 'contained', of: this.#corpus.id(reason) };
      else yield { id, reason: 'nearly the same', of: this.#corpus.id(NEAR - reason) };
    }
  }
}

/**
 * Finds passages that are too short, or whose comparison text (of the text without its title) is contained in that of
 * one of the next 9 passages, in the order of the comparison texts or in that of the reversed ones. Sorting is by
 * Unicode code point and stable, so of equal texts the last in the corpus stays. Both passes see the full list. Of a
 * passage that both find, the container that the first found is noted.
 *
 * The texts are sorted on disk where they do not fit into memory, with the same result.
 * @throws InvalidArgumentError for an option out of range; WriteError if the disk is full
 */
export async function findDuplicates(corpus: Corpus, options: DuplicateOptions = {}): Promise<Duplicates> {
  const { signal, onProgress, sortMemory, temporaryDirectory, nearDuplicates } = options;
  const { minCharacters, duplicateWindow } = settleDuplicateOptions(options);
  signal?.throwIfAborted();
  const sorting = { sortMemory, temporaryDirectory, signal };
  await using forwards = new KeySorter(sorting);
  await using backwards = new KeySorter(sorting);
  const found = new Duplicates(corpus);
  const breathe = breather(signal);
  // Each passage counts three times: when it is folded, and in each order.
  const total = 3 * corpus.size;
  const report = (done: number) => onProgress?.({ stage: 'duplicates', done, total, unit: 'comparisons' });
  for (let row = 0; row < corpus.size; row++) {
    const text = comparisonText(corpus.at(row).text);
    if (isShorter(text, minCharacters)) found.tooShort(row);
    await forwards.add(row, text);
    await backwards.add(row, reversed(text));
    const pause = breathe();
    if (!pause) continue;
    report(row);
    await pause;
  }
  const passing = { found, window: duplicateWindow };
  await pass(forwards.sorted(), { ...passing, report: (done) => report(corpus.size + done) });
  await pass(backwards.sorted(), { ...passing, report: (done) => report(2 * corpus.size + done) });
  report(total);
  if (nearDuplicates !== undefined) {
    const skip = (row: number) => found.has(row);
    const hear = (row: number, like: number) => found.near(row, like);
    await findNearDuplicates(corpus, { threshold: nearDuplicates, skip, found: hear, signal, onProgress });
  }
  return found;
}

/** Fills in defaults. @throws InvalidArgumentError for an option out of range */
export function settleDuplicateOptions(options: DuplicateOptions) {
  const { minCharacters = 10, duplicateWindow = 9, nearDuplicates = 1 } = options;
  if (!(nearDuplicates >= LEAST_RESEMBLANCE && nearDuplicates <= 1)) {
    const expected = `a number from ${LEAST_RESEMBLANCE} to 1`;
    const remedy = 'passages that are less alike would mostly not be found';
    throw new InvalidArgumentError('nearDuplicates', expected, nearDuplicates, remedy);
  }
  for (const [name, value] of Object.entries({ minCharacters, duplicateWindow })) {
    if (!Number.isInteger(value) || value < 0)
      throw new InvalidArgumentError(name, 'a whole number of at least 0', value);
  }
  return { minCharacters, duplicateWindow };
}

interface Pass {
  found: Duplicates;
  window: number;
  report: (done: number) => void;
}

const REPORTED = 1 << 14;

async function pass(sorted: AsyncIterable<KeyedRow>, { found, window, report }: Pass): Promise<void> {
  const ahead: KeyedRow[] = [];
  let done = 0;
  for await (const keyed of sorted) {
    ahead.push(keyed);
    if (ahead.length > window) compare(ahead, found);
    if (++done % REPORTED === 0) report(done);
  }
  while (ahead.length > 0) compare(ahead, found);
}

/** Takes the first off and looks for it in the others. */
function compare(ahead: KeyedRow[], found: Duplicates): void {
  const { row, text } = ahead.shift()!;
  if (found.isContained(row)) return;
  const container = ahead.find((other) => other.text.includes(text));
  if (container) found.contained(row, container.row);
}
