import type { Passage } from '../types.js';
import type { CorpusReport } from './cleaning.js';
import type { Corpus } from './corpus.js';

/** A corpus whose texts are in memory. */
export class MemoryCorpus implements Corpus {
  readonly #passages: Passage[] = [];
  readonly #rows = new Map<string, number>();
  report?: CorpusReport;

  get size(): number {
    return this.#passages.length;
  }

  /** Appends a passage. @returns -1, or the row that has the id already, in which case nothing is added */
  add(passage: Passage): number {
    const earlier = this.#rows.get(passage.id);
    if (earlier !== undefined) return earlier;
    this.#rows.set(passage.id, this.#passages.length);
    this.#passages.push(passage);
    return -1;
  }

  row(id: string): number | undefined {
    return this.#rows.get(id);
  }

  at(row: number): Passage {
    const passage = this.#passages[row];
    if (!passage) throw new RangeError(`There is no row ${row} in a corpus of ${this.size} passages. This is a bug.`);
    return passage;
  }

  id(row: number): string {
    return this.at(row).id;
  }

  get(id: string): Passage | undefined {
    const row = this.#rows.get(id);
    return row === undefined ? undefined : this.#passages[row];
  }

  has(id: string): boolean {
    return this.#rows.has(id);
  }

  ids(): Iterable<string> {
    return this.#rows.keys();
  }

  [Symbol.iterator](): Iterator<Passage> {
    return this.#passages[Symbol.iterator]();
  }
}
