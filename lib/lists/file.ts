import { createHash } from 'node:crypto';
import { DataError, describe, InvalidArgumentError } from '../errors.js';
import { breather } from '../event-loop.js';
import {
  type JsonLine,
  type JsonRecord,
  optionalString,
  type RecordPlace,
  readJsonl,
  requireArray,
  requireLabel,
  requireString,
  writeJsonl,
} from '../formats/jsonl.js';
import type { ListPassage, LongWork, TrainingList } from '../types.js';

export interface ReadListsOptions extends LongWork {
  /** Where passages without a `text` of their own are looked up. */
  corpus?: { has(id: string): boolean };
  /** Passages kept of each list, from its front; lists may then differ in length. Default all. */
  listLength?: number;
}

/**
 * Reads training lists: JSON Lines of
 *
 *     {"id", "query", "type", "source", "passages": [{"id", "score"} or {"text", "score"}]}
 *
 * where the first passage is the positive and higher scores are more relevant. `id`, `type` and `source` may be absent;
 * the id is then the line's number. A passage with a text and no id gets an id made from the text, so that equal texts
 * are one passage.
 * @throws NotFoundError if the file is not there
 * @throws DataError naming the line: broken JSON, a missing or wrong field, a score that is no finite number, a passage
 * that is not in the corpus or comes twice in a list, lists with differing numbers of passages (with fewer than
 * `listLength` where it is given), an id that comes twice; or if the file has no lists
 * @throws InvalidArgumentError for a listLength that is no whole number of at least 2
 */
export async function readLists(file: string, options: ReadListsOptions = {}): Promise<TrainingList[]> {
  const lists: TrainingList[] = [];
  for await (const list of streamLists(file, options)) lists.push(list);
  return lists;
}

/** What readLists reads, one list after the other; a mistake shows when its line is reached. */
export async function* streamLists(file: string, options: ReadListsOptions = {}): AsyncGenerator<TrainingList> {
  const { listLength, signal, onProgress } = options;
  if (listLength !== undefined && !(Number.isInteger(listLength) && listLength >= 2)) {
    throw new InvalidArgumentError('listLength', 'a whole number of at least 2', listLength);
  }
  const reader = new ListReader(file, options);
  let count = 0;
  const breathe = breather(signal);
  const lines = readJsonl(file, { signal, expected: 'a JSON Lines file of training lists' });
  for await (const { value, line } of explainNaN(lines)) {
    yield reader.read(value, line);
    count += 1;
    const pause = breathe();
    if (!pause) continue;
    onProgress?.({ stage: 'lists', done: count, total: 0, unit: 'lists' });
    await pause;
  }
  if (count > 0) return;
  throw new DataError({ file }, 'Expected training lists, {"query", "passages": [...]} a line, but found none.');
}

/** Checks what only shows between lines: lengths, ids, and texts under one id. */
class ListReader {
  readonly #file: string;
  readonly #corpus: ReadListsOptions['corpus'];
  readonly #lines = new Map<string, number>();
  /** Of each text its hash: all the texts of a large file would not fit. */
  readonly #texts = new Map<string, { hash: string; line: number }>();
  readonly #listLength: number | undefined;
  #first: { line: number; length: number } | undefined;

  constructor(file: string, { corpus, listLength }: ReadListsOptions) {
    this.#file = file;
    this.#corpus = corpus;
    this.#listLength = listLength;
  }

  read(value: JsonRecord, line: number): TrainingList {
    const place = { file: this.#file, line };
    const query = requireString(value, 'query', place);
    if (query.trim() === '')
      throw new DataError({ ...place, field: 'query' }, 'Expected a query but found only white space.');
    const list: TrainingList = {
      id: value.id === undefined || value.id === null ? String(line) : requireLabel(value, 'id', place),
      query,
      type: optionalString(value, 'type', place),
      source: value.source === undefined || value.source === null ? undefined : requireLabel(value, 'source', place),
      passages: requireArray(value, 'passages', place).map((passage, i) => this.#passage(passage, i, place)),
    };
    this.#checkLength(list.passages.length, place);
    this.#checkIds(list, place);
    return { ...list, passages: list.passages.slice(0, this.#listLength) };
  }

  #passage(value: unknown, index: number, place: RecordPlace): ListPassage {
    const field = `passages[${index}]`;
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      const problem = `Expected an object with "id" or "text" and "score" but found ${describe(value)}.`;
      throw new DataError({ ...place, field }, problem);
    }
    const { id: givenId, text, score } = value as JsonRecord;
    const fail = (name: string, expected: string, found: unknown): never => {
      const what = found === undefined ? 'there is no such field' : `found ${describe(found)}`;
      throw new DataError({ ...place, field: `${field}.${name}` }, `Expected ${expected} but ${what}.`);
    };
    if (typeof score !== 'number' || !Number.isFinite(score)) return fail('score', 'a finite number', score);
    if (text !== undefined && typeof text !== 'string') return fail('text', 'a string', text);
    if (givenId === undefined && text === undefined) {
      throw new DataError({ ...place, field }, 'Expected an "id" or a "text" but there is neither.');
    }
    const id = Number.isSafeInteger(givenId) ? String(givenId) : givenId === undefined ? textId(text!) : givenId;
    if (typeof id !== 'string' || id === '')
      return fail('id', 'a string that is not empty, or a whole number', givenId);
    if (text === undefined) this.#checkKnown(id, { ...place, field });
    else this.#checkText(id, text, { ...place, field });
    return { id, text, score };
  }

  #checkText(id: string, text: string, where: RecordPlace & { field: string }): void {
    const hash = shortHash(text);
    const earlier = this.#texts.get(id);
    if (!earlier) {
      this.#texts.set(id, { hash, line: where.line });
    } else if (earlier.hash !== hash) {
      const problem = `Expected one text an id but passage ${describe(id)} has another text on line ${earlier.line}.`;
      throw new DataError(where, problem);
    }
  }

  #checkKnown(id: string, where: RecordPlace & { field: string }): void {
    if (!this.#corpus) {
      const problem = `Passage ${describe(id)} has no "text", and no corpus was given to look it up in; give one of the two.`;
      throw new DataError(where, problem);
    }
    if (this.#corpus.has(id)) return;
    const problem = `Expected a passage of the corpus but ${describe(id)} is not there; check that the lists belong to this corpus.`;
    throw new DataError(where, problem);
  }

  #checkLength(length: number, place: RecordPlace): void {
    if (length < 2) {
      const problem = `Expected at least 2 passages, the positive and another, but found ${length}.`;
      throw new DataError({ ...place, field: 'passages' }, problem);
    }
    if (this.#listLength === undefined) this.#checkSameLength(length, place);
    else if (length < this.#listLength) {
      const problem = `Expected at least ${this.#listLength} passages (listLength) but found ${length}.`;
      throw new DataError({ ...place, field: 'passages' }, problem);
    }
  }

  #checkSameLength(length: number, place: RecordPlace): void {
    this.#first ??= { line: place.line, length };
    if (length === this.#first.length) return;
    const problem =
      `Expected ${this.#first.length} passages, as on line ${this.#first.line}, but found ${length}; ` +
      'give all lists as many, or cut them by listLength.';
    throw new DataError({ ...place, field: 'passages' }, problem);
  }

  #checkIds(list: TrainingList, place: RecordPlace): void {
    const earlier = this.#lines.get(list.id);
    if (earlier !== undefined) {
      const problem = `Expected an id of its own but ${describe(list.id)} is also the id of line ${earlier}.`;
      throw new DataError({ ...place, field: 'id' }, problem);
    }
    this.#lines.set(list.id, place.line);
    const places = new Map<string, number>();
    for (const [i, { id }] of list.passages.entries()) {
      const before = places.get(id);
      if (before !== undefined) {
        const problem = `Expected each passage once in a list but ${describe(id)} is also passages[${before}].`;
        throw new DataError({ ...place, field: `passages[${i}]` }, problem);
      }
      places.set(id, i);
    }
  }
}

const NOT_FINITE = /Unexpected token '?N\b.*NaN|Unexpected token '?I\b.*Infinity|No number after minus sign/s;

/** JSON cannot hold NaN or infinities, but Python's json module writes them: says so beside the parser's words. */
async function* explainNaN(lines: AsyncIterable<JsonLine>): AsyncGenerator<JsonLine> {
  try {
    yield* lines;
  } catch (error) {
    if (!(error instanceof DataError) || !NOT_FINITE.test(error.message)) throw error;
    const { file, line } = error;
    const problem = 'A score is NaN or infinite, which JSON cannot hold; every score must be a finite number.';
    throw new DataError({ file, line }, problem, { cause: error });
  }
}

function shortHash(text: string): string {
  return createHash('sha256').update(text).digest('base64').slice(0, 22);
}

/** The id of a passage that has a text and none of its own: equal texts get the same. */
export function textId(text: string): string {
  return `text-${createHash('sha256').update(text).digest('hex').slice(0, 24)}`;
}

/** Writes lists so that `readLists` gives them back; the file is whole or as before. */
export async function writeLists(
  file: string,
  lists: Iterable<TrainingList> | AsyncIterable<TrainingList>,
  { signal }: Pick<LongWork, 'signal'> = {},
): Promise<void> {
  await writeJsonl(file, lists, { signal });
}
