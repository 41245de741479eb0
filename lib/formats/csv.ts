import { isUtf8 } from 'node:buffer';
import { pipeline, Readable } from 'node:stream';
import { CsvError, type Options, parse } from 'csv-parse';
import { DataError } from '../errors.js';
import { readBytes } from './bytes.js';
import type { JsonLine } from './jsonl.js';
import type { ReadOptions } from './lines.js';

interface Parsed {
  record: Record<string, Buffer>;
  info: { lines: number };
}

const OPTIONS: Options = {
  // Fields stay bytes, so that those that are not UTF-8 can be told; `bom` would decode them.
  encoding: null,
  info: true,
  skip_empty_lines: true,
};

/**
 * The rows of a CSV file below its header, streamed, by the header's names; quoted fields may hold line breaks (RFC
 * 4180). A row's line is that of its beginning.
 * @throws NotFoundError if the file is not there
 * @throws DataError naming the line: another number of fields than the header has, an open quote, bytes that are not
 *   UTF-8; or if there is no header
 */
export async function* readCsv(file: string, options: ReadOptions = {}): AsyncGenerator<JsonLine> {
  const { signal, expected = 'a CSV file', invalidUtf8 = 'error' } = options;
  const columns = (header: unknown[]) => header.map(String);
  const source = Readable.from(plainLines(readBytes(file, { signal, expected })), { objectMode: true });
  const rows = pipeline(source, parse({ ...OPTIONS, columns }), () => {});
  try {
    for await (const { record, info } of rows as AsyncIterable<Parsed>) {
      const line = info.lines - Object.values(record).reduce((sum, field) => sum + newlines(field), 0);
      const damaged = Object.values(record).some((field) => !isUtf8(field));
      if (damaged && invalidUtf8 === 'error') {
        throw new DataError({ file, line }, 'Expected UTF-8 text but found bytes that are not; convert it to UTF-8.');
      }
      const value = Object.fromEntries(Object.entries(record).map(([name, field]) => [name, field.toString('utf8')]));
      yield { value, line, ...(damaged && { damaged }) };
    }
  } catch (error) {
    if (!(error instanceof CsvError)) throw error;
    const place = typeof error['lines'] === 'number' ? { file, line: error['lines'] } : { file };
    throw new DataError(place, `Expected CSV with a header but the parser says: ${error.message}.`, { cause: error });
  }
}

function newlines(field: Buffer): number {
  let count = 0;
  for (let at = field.indexOf(NEWLINE); at >= 0; at = field.indexOf(NEWLINE, at + 1)) count += 1;
  return count;
}

const MARK = Buffer.from('\ufeff');
const NEWLINE = 0x0a;
const RETURN = 0x0d;

/**
 * Without the byte order mark that spreadsheets put first, and with "\n" for "\r\n", which inside quotes the parser
 * counts as two lines.
 */
async function* plainLines(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let first = true;
  let held = false;
  for await (const chunk of chunks) {
    const bytes = first && chunk.subarray(0, 3).equals(MARK) ? chunk.subarray(3) : chunk;
    first = false;
    const out = Buffer.allocUnsafe(bytes.length + 1);
    let used = 0;
    for (const byte of bytes) {
      if (held && byte !== NEWLINE) out[used++] = RETURN;
      held = byte === RETURN;
      if (!held) out[used++] = byte;
    }
    yield out.subarray(0, used);
  }
  if (held) yield Buffer.of(RETURN);
}
