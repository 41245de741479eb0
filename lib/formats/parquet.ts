import { isUtf8 } from 'node:buffer';
import { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects, parquetSchema } from 'hyparquet';
import { compressors } from 'hyparquet-compressors';
import { DataError, NotFoundError } from '../errors.js';
import { breather } from '../event-loop.js';
import type { JsonLine, JsonRecord } from './jsonl.js';
import type { ReadOptions } from './lines.js';

export interface ParquetOptions extends ReadOptions {
  /** Which columns to read, where they are there; all by default. */
  columns?: readonly string[];
}

/** A text whose bytes are not UTF-8, with U+FFFD in their place. */
class Damaged {
  constructor(readonly text: string) {}
}

const parsers = {
  stringFromBytes(bytes: Uint8Array): string | Damaged {
    const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8');
    return isUtf8(bytes) ? text : new Damaged(text);
  },
};

/**
 * The rows of a Parquet file, one row group in memory at a time; `line` is the number of the row, from 1. Columns of a
 * row group are decoded in one piece each, which for groups of a million rows holds up the event loop.
 * @throws NotFoundError if the file is not there
 * @throws DataError if it is no Parquet file, or naming the row whose text is not UTF-8
 */
export async function* readParquet(file: string, options: ParquetOptions = {}): AsyncGenerator<JsonLine> {
  const { signal, expected = 'a Parquet file', invalidUtf8 = 'error' } = options;
  signal?.throwIfAborted();
  const breathe = breather(signal);
  let line = 0;
  for await (const row of rowsOf(file, { ...options, expected })) {
    line += 1;
    const damaged = Object.values(row).some((field) => field instanceof Damaged);
    if (damaged && invalidUtf8 === 'error') {
      throw new DataError({ file, line }, 'Expected UTF-8 text but found bytes that are not; convert it to UTF-8.');
    }
    const value = Object.fromEntries(Object.entries(row).map(([name, field]) => [name, plain(field)]));
    yield { value, line, ...(damaged && { damaged }) };
    await breathe();
  }
}

function plain(field: unknown): unknown {
  if (field instanceof Damaged) return field.text;
  return typeof field === 'bigint' ? Number(field) : field;
}

async function* rowsOf(file: string, { columns, expected }: ParquetOptions): AsyncGenerator<JsonRecord> {
  const buffer = await asyncBufferFromFile(file).catch((error: NodeJS.ErrnoException) => {
    throw new NotFoundError(`Expected ${expected} at ${file} but it cannot be opened (${error.code}).`, {
      cause: error,
    });
  });
  const reading = async <T>(work: Promise<T>): Promise<T> =>
    work.catch((error: Error) => {
      // A damaged file leads the reader astray, and what it stumbles over then tells nobody anything.
      const stumbled = error instanceof TypeError || error instanceof RangeError;
      const said = stumbled ? 'it is cut off or damaged' : `the reader says: ${error.message}`;
      throw new DataError({ file }, `Expected a Parquet file but ${said}; fetch or make it again.`, { cause: error });
    });
  const metadata = await reading(parquetMetadataAsync(buffer));
  const there = parquetSchema(metadata).children.map(({ element }) => element.name);
  const wanted = columns ? there.filter((name) => columns.includes(name)) : there;
  // Without a wanted column, the rows show what there is instead.
  const read = wanted.length > 0 ? wanted : there;
  let rowStart = 0;
  for (const group of metadata.row_groups) {
    const rowEnd = rowStart + Number(group.num_rows);
    const part = { file: buffer, metadata, compressors, parsers, columns: read, rowStart, rowEnd };
    yield* (await reading(parquetReadObjects(part))) as JsonRecord[];
    rowStart = rowEnd;
  }
}
