import { DataError, describe, InvalidArgumentError, NotFoundError } from '../errors.js';
import { breather } from '../event-loop.js';
import { readCorpus } from '../formats/beir.js';
import { rejectUnknownOptions } from '../option-names.js';
import { Random } from '../random.js';
import type { LongWork, Passage } from '../types.js';
import { codePointKey, stableOrder } from './code-point-order.js';

/** Passages by row and by id. Rows are 0 to size - 1 in the corpus' order, and are the rows of its embeddings. */
export interface Corpus extends Iterable<Passage> {
  readonly size: number;
  /** The row of a passage, or undefined if there is no such passage. */
  row(id: string): number | undefined;
  /** The passage in a row. @throws RangeError if there is no such row */
  at(row: number): Passage;
  get(id: string): Passage | undefined;
  has(id: string): boolean;
  ids(): Iterable<string>;
}

/** Where a corpus comes from: a BEIR directory or its corpus.jsonl, or passages at hand. */
export type CorpusSource = string | Corpus | Iterable<Passage> | AsyncIterable<Passage>;

class MemoryCorpus implements Corpus {
  readonly #passages: Passage[] = [];
  readonly #rows = new Map<string, number>();

  get size(): number {
    return this.#passages.length;
  }

  /** @throws InvalidArgumentError if the id is there already */
  add(passage: Passage): void {
    const earlier = this.#rows.get(passage.id);
    if (earlier !== undefined) {
      throw new InvalidArgumentError(
        `corpus passage ${this.size}`,
        `an id that no other passage has (passage ${earlier} has it)`,
        passage.id,
        'give each passage its own id',
      );
    }
    this.#rows.set(passage.id, this.#passages.length);
    this.#passages.push(passage);
  }

  row(id: string): number | undefined {
    return this.#rows.get(id);
  }

  at(row: number): Passage {
    const passage = this.#passages[row];
    if (!passage) throw new RangeError(`There is no row ${row} in a corpus of ${this.size} passages. This is a bug.`);
    return passage;
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

/**
 * Loads a corpus into memory.
 * @param source a BEIR directory, a corpus.jsonl, or (async) iterable passages
 * @throws NotFoundError, DataError for files; InvalidArgumentError for a source that is none of these, a passage
 * without a good id or text, an id that comes twice, or no passages at all
 */
export async function loadCorpus(source: CorpusSource, options: LongWork = {}): Promise<Corpus> {
  rejectUnknownOptions(options, ['signal', 'onProgress'], 'loadCorpus');
  checkCorpusSource(source);
  if (isCorpus(source)) return source;
  const { signal, onProgress } = options;
  const corpus = new MemoryCorpus();
  const breathe = breather(signal);
  const passages = typeof source === 'string' ? readCorpus(source, signal ? { signal } : {}) : source;
  for await (const passage of passages) {
    corpus.add(typeof source === 'string' ? passage : checkPassage(passage, corpus.size));
    const pause = breathe();
    if (!pause) continue;
    onProgress?.({ stage: 'corpus', done: corpus.size, total: 0, unit: 'passages' });
    await pause;
  }
  if (corpus.size === 0) {
    if (typeof source === 'string')
      throw new DataError({ file: source }, 'Expected at least one passage but found none.');
    throw new InvalidArgumentError('corpus', 'at least one passage', 'none');
  }
  return corpus;
}

/** @throws InvalidArgumentError if it is nothing that a corpus can come from */
export function checkCorpusSource(source: unknown): asserts source is CorpusSource {
  if (typeof source === 'string' && source !== '') return;
  const isObject = typeof source === 'object' && source !== null;
  if (isObject && (Symbol.iterator in source || Symbol.asyncIterator in source)) return;
  throw new InvalidArgumentError('corpus', 'a BEIR directory, a corpus.jsonl, or passages', source);
}

function isCorpus(source: CorpusSource): source is Corpus {
  return typeof source === 'object' && 'row' in source && 'at' in source && 'size' in source;
}

function checkPassage(passage: Passage, place: number): Passage {
  const name = `corpus passage ${place}`;
  if (typeof passage !== 'object' || passage === null) {
    throw new InvalidArgumentError(name, 'an object with id, title and text', passage);
  }
  const { id, title = '', text } = passage;
  if (typeof id !== 'string' || id === '') throw new InvalidArgumentError(`${name}'s id`, 'a non-empty string', id);
  if (typeof title !== 'string') throw new InvalidArgumentError(`${name}'s title`, 'a string or nothing', title);
  if (typeof text !== 'string') throw new InvalidArgumentError(`${name}'s text`, 'a string', text);
  return { id, title, text };
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

/**
 * A seeded sample of at most `count` ids, in the order of their code points; the same ids give the same sample,
 * whatever order they come in.
 */
export async function sampleIds(ids: Iterable<string>, count: number, seed: number): Promise<string[]> {
  const given = [...new Set(ids)];
  const keys = given.map(codePointKey);
  const order = await stableOrder(keys);
  const rows = order.length > count ? Random.for(seed, 'sample').shuffle(order.slice()).slice(0, count) : order;
  const kept = new Set(rows);
  return Array.from(order, (row) => row)
    .filter((row) => kept.has(row))
    .map((row) => given[row]!);
}
