import { DataError, describe } from '../errors.js';
import { type WriteOptions, writeLines } from './atomic.js';
import { type ReadOptions, readLines } from './lines.js';

export type JsonRecord = Record<string, unknown>;

export interface JsonLine {
  value: JsonRecord;
  /** 1-based. */
  line: number;
  /** There were bytes that are not UTF-8; see `ReadOptions`. */
  damaged?: boolean;
}

/** Where a record stands, for the messages of the `require...` functions. */
export interface RecordPlace {
  file: string;
  line: number;
}

/**
 * The objects of a JSON Lines file, streamed; blank lines are passed over.
 * @throws NotFoundError if the file is not there
 * @throws DataError naming the line where it is not a JSON object
 */
export async function* readJsonl(file: string, options: ReadOptions = {}): AsyncGenerator<JsonLine> {
  for await (const { text, line, damaged } of readLines(file, { expected: 'a JSON Lines file', ...options })) {
    if (text.trim() !== '') yield { value: parseRecord(text, { file, line }), line, ...(damaged && { damaged }) };
  }
}

function parseRecord(text: string, place: RecordPlace): JsonRecord {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new DataError(
      place,
      `Expected one JSON object on the line but the parser says: ${(error as Error).message}.`,
      {
        cause: error,
      },
    );
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new DataError(place, `Expected a JSON object on the line but found ${describe(value)}.`);
  }
  return value as JsonRecord;
}

/**
 * Writes one object a line, whole or not at all.
 * @returns how many lines were written
 */
export function writeJsonl(
  file: string,
  records: Iterable<object> | AsyncIterable<object>,
  options: WriteOptions = {},
): Promise<number> {
  return writeLines(file, serialize(records), options);
}

async function* serialize(records: Iterable<object> | AsyncIterable<object>): AsyncGenerator<string> {
  for await (const record of records) yield JSON.stringify(record);
}

/** A field that must be a string. @throws DataError naming file, line and field */
export function requireString(record: JsonRecord, field: string, place: RecordPlace): string {
  const value = record[field];
  return typeof value === 'string' ? value : fail(record, { ...place, field }, 'a string');
}

/** A field that is a string, or absent or null. @throws DataError naming file, line and field */
export function optionalString(record: JsonRecord, field: string, place: RecordPlace): string | undefined {
  return record[field] === undefined || record[field] === null ? undefined : requireString(record, field, place);
}

/**
 * A field that must be the id of a passage or query, as a string: a string or a whole number.
 * @throws DataError if it is neither, is empty, has half of a surrogate pair, which UTF-8 cannot hold, or white space, at
 *   which files of runs and judgements are split
 */
export function requireId(record: JsonRecord, field: string, place: RecordPlace): string {
  const id = requireRawId(record, field, place);
  if (id.isWellFormed()) return id;
  const problem = `Expected an id of whole characters but ${JSON.stringify(id)} has half of a surrogate pair; give another.`;
  throw new DataError({ ...place, field }, problem);
}

/** The same as it stands there: what is no whole character is left to whoever cleans it. */
export function requireRawId(record: JsonRecord, field: string, place: RecordPlace): string {
  const id = requireLabel(record, field, place);
  if (!/\s/.test(id)) return id;
  const problem = `Expected an id without white space, at which files of runs are split, but found ${describe(id)}; put "_" or "-" there.`;
  throw new DataError({ ...place, field }, problem);
}

/** The same for what stands in no run: any string that is not empty, or a whole number. */
export function requireLabel(record: JsonRecord, field: string, place: RecordPlace): string {
  const value = record[field];
  if (typeof value === 'string' && value !== '') return value;
  if (Number.isSafeInteger(value)) return String(value);
  return fail(record, { ...place, field }, 'an id (a string that is not empty, or a whole number)');
}

/** A field that must be a finite number. @throws DataError naming file, line and field */
export function requireNumber(record: JsonRecord, field: string, place: RecordPlace): number {
  const value = record[field];
  return typeof value === 'number' && Number.isFinite(value) ? value : fail(record, { ...place, field }, 'a number');
}

/** A field that must be an array. @throws DataError naming file, line and field */
export function requireArray(record: JsonRecord, field: string, place: RecordPlace): unknown[] {
  const value = record[field];
  return Array.isArray(value) ? value : fail(record, { ...place, field }, 'an array');
}

function fail(record: JsonRecord, where: RecordPlace & { field: string }, expected: string): never {
  if (where.field in record) {
    throw new DataError(where, `Expected ${expected} but found ${describe(record[where.field])}.`);
  }
  const present = Object.keys(record)
    .slice(0, 10)
    .map((name) => `"${name}"`);
  const found = present.length > 0 ? `the line has ${present.join(', ')}` : 'the object on the line is empty';
  throw new DataError(where, `Expected ${expected} but there is no such field; ${found}.`);
}
