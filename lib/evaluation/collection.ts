import { InvalidArgumentError } from '../errors.js';
import { breather } from '../event-loop.js';
import {
  beirFile,
  judgedPassages,
  noJudgedPassage,
  readCorpus,
  readJudgedQueries,
  type TestCollection,
} from '../formats/beir.js';
import { readJsonl } from '../formats/jsonl.js';
import type { Passage, Qrels, Query } from '../types.js';

/** A test collection: a directory in BEIR's layout, the same in memory, or one that is open already. */
export type CollectionSource = string | TestCollection | JudgedCollection;

/** One of several test sets, with the name that results give it; a directory's path is its name by default. */
export type TestSet = CollectionSource | { name?: string; data: CollectionSource; split?: string };

export interface OpenOptions {
  /** Which judgements of a directory; 'test' by default. */
  split?: string | undefined;
  signal?: AbortSignal | undefined;
  /** Hears each passage of a directory while its corpus is checked. */
  onPassage?: (passage: Passage) => void;
}

/** What a collection is made of. */
export interface CollectionParts {
  name: string;
  /** The judged ones. */
  queries: readonly Query[];
  qrels: Qrels;
  /** How many passages there are. */
  size: number;
  /** The passages, from the first on, as often as it is called. */
  passages: () => Iterable<Passage> | AsyncIterable<Passage>;
  /** The queries with all their fields, judged or not; `queries` by default. */
  records?: (signal?: AbortSignal) => AsyncIterable<{ id: string; record: object }>;
}

/** Queries, judgements and a corpus that is read as it is needed: of a directory no passage is kept in memory. */
export class JudgedCollection {
  readonly #parts: CollectionParts;

  /** Takes parts as they are; `open` checks them. */
  constructor(parts: CollectionParts) {
    this.#parts = parts;
  }

  /**
   * Opens a collection and checks all of it: a directory's corpus is read once and let go.
   * @throws NotFoundError, DataError for a directory, as readBeir; InvalidArgumentError for one in memory that is empty,
   *   has an id twice, or judges queries that it lacks
   */
  static async open(set: TestSet, options: OpenOptions = {}): Promise<JudgedCollection> {
    const wrapped = typeof set === 'object' && set !== null && 'data' in set ? set : { data: set };
    const { data } = wrapped;
    if (data instanceof JudgedCollection) return data.renamed(wrapped.name ?? data.name);
    const { name = typeof data === 'string' ? data : 'test set', split = options.split ?? 'test' } = wrapped;
    const parts = typeof data === 'string' ? await checkDirectory(data, split, options) : checkInMemory(data);
    return new JudgedCollection({ name, ...parts });
  }

  get name(): string {
    return this.#parts.name;
  }

  /** The judged ones. */
  get queries(): readonly Query[] {
    return this.#parts.queries;
  }

  get qrels(): Qrels {
    return this.#parts.qrels;
  }

  /** How many passages there are. */
  get size(): number {
    return this.#parts.size;
  }

  /** The passages, from the first on each time it is iterated over. */
  get corpus(): AsyncIterable<Passage> {
    const { passages } = this.#parts;
    return { [Symbol.asyncIterator]: () => stream(passages()) };
  }

  renamed(name: string): JudgedCollection {
    return name === this.name ? this : new JudgedCollection({ ...this.#parts, name });
  }

  /** The same passages with some of the queries. */
  only(keeps: (queryId: string) => boolean): JudgedCollection {
    const queries = this.queries.filter(({ id }) => keeps(id));
    const qrels: Qrels = new Map([...this.qrels].filter(([id]) => keeps(id)));
    return new JudgedCollection({ ...this.#parts, queries, qrels });
  }

  /** The passages of these ids; those that the corpus lacks are left out. */
  async passages(ids: ReadonlySet<string>, signal?: AbortSignal): Promise<Map<string, Passage>> {
    const found = new Map<string, Passage>();
    if (ids.size === 0) return found;
    const breathe = breather(signal);
    for await (const passage of this.corpus) {
      if (ids.has(passage.id)) found.set(passage.id, passage);
      if (found.size === ids.size) break;
      await breathe();
    }
    return found;
  }

  /**
   * What each judged query says in a field, such as `type` or `metadata.kind`; '(none)' where it says nothing.
   * @throws InvalidArgumentError if no query has the field, naming the fields there are
   */
  async groups(field: string, signal?: AbortSignal): Promise<Map<string, string>> {
    const groups = new Map<string, string>();
    const fields = new Set<string>();
    let hasField = false;
    for await (const { id, record } of this.#parts.records?.(signal) ?? recordsOf(this.queries)) {
      if (!this.qrels.has(id)) continue;
      for (const name of fieldNames(record)) fields.add(name);
      const value = valueAt(record, field);
      hasField ||= value !== undefined;
      groups.set(id, value ?? '(none)');
    }
    if (hasField) return groups;
    const there = [...fields].filter((name) => !['id', '_id', 'text'].includes(name));
    const remedy = `the queries of ${this.name} have ${there.length ? there.join(', ') : 'no fields beside id and text'}`;
    throw new InvalidArgumentError('by', 'a field of the queries', field, remedy);
  }
}

/**
 * Opens several collections.
 * @throws InvalidArgumentError if there is none or two have one name; what JudgedCollection.open throws
 */
export async function openCollections(
  sets: readonly TestSet[],
  options: OpenOptions = {},
): Promise<JudgedCollection[]> {
  if (!Array.isArray(sets) || sets.length === 0) {
    throw new InvalidArgumentError('data', 'one test set or more', sets);
  }
  const opened: JudgedCollection[] = [];
  for (const set of sets) {
    const collection = await JudgedCollection.open(set, options);
    if (opened.some(({ name }) => name === collection.name)) {
      throw new InvalidArgumentError('data', 'test sets of different names', collection.name, 'give {name, data}');
    }
    opened.push(collection);
  }
  return opened;
}

type Parts = Omit<CollectionParts, 'name'>;

async function checkDirectory(directory: string, split: string, { signal, onPassage }: OpenOptions): Promise<Parts> {
  const reading = signal ? { signal } : {};
  const { queries, qrels } = await readJudgedQueries(directory, { split, ...reading });
  const judged = judgedPassages(qrels);
  let size = 0;
  let hasJudged = false;
  for await (const passage of readCorpus(directory, reading)) {
    size += 1;
    hasJudged ||= judged.has(passage.id);
    onPassage?.(passage);
  }
  if (!hasJudged) throw noJudgedPassage(directory);
  const passages = () => readCorpus(directory, reading);
  return { queries, qrels, size, passages, records: (own = signal) => readRecords(directory, own) };
}

async function* readRecords(directory: string, signal?: AbortSignal) {
  for await (const { value } of readJsonl(await beirFile(directory, 'queries.jsonl'), { signal })) {
    yield { id: String(value['_id']), record: value };
  }
}

function checkInMemory(data: TestCollection): Parts {
  if (!Array.isArray(data?.corpus) || !Array.isArray(data.queries) || !(data.qrels instanceof Map)) {
    throw new InvalidArgumentError('data', 'a BEIR directory, or {corpus: [...], queries: [...], qrels: Map}', data);
  }
  const { corpus, queries, qrels } = data;
  if (corpus.length === 0) throw new InvalidArgumentError('data.corpus', 'at least one passage', corpus);
  if (qrels.size === 0) throw new InvalidArgumentError('data.qrels', 'judgements of at least one query', qrels);
  checkUnique('data.corpus', corpus);
  checkUnique('data.queries', queries);
  const judged = queries.filter((query) => qrels.has(query.id));
  if (judged.length < qrels.size) {
    const known = new Set(judged.map((query) => query.id));
    const missing = [...qrels.keys()].find((id) => !known.has(id));
    throw new InvalidArgumentError('data.queries', 'every query of data.qrels', `no query "${missing}"`);
  }
  return { queries: judged, qrels, size: corpus.length, passages: () => corpus };
}

function checkUnique(argument: string, items: readonly (Passage | Query)[]): void {
  const seen = new Set<string>();
  for (const { id } of items) {
    if (seen.has(id)) throw new InvalidArgumentError(argument, 'each id once', id);
    seen.add(id);
  }
}

async function* stream(passages: Iterable<Passage> | AsyncIterable<Passage>): AsyncGenerator<Passage> {
  yield* passages;
}

async function* recordsOf(queries: readonly Query[]): AsyncGenerator<{ id: string; record: object }> {
  for (const record of queries) yield { id: record.id, record };
}

function fieldNames(record: object, prefix = ''): string[] {
  return Object.entries(record).flatMap(([name, value]) =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? fieldNames(value, `${prefix}${name}.`)
      : [prefix + name],
  );
}

/** A word, number or yes-no at a path of names joined by dots. */
function valueAt(record: object, path: string): string | undefined {
  let value: unknown = record;
  for (const name of path.split('.')) {
    value = typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : undefined;
  }
  return ['string', 'number', 'boolean'].includes(typeof value) ? String(value) : undefined;
}
