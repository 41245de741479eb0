import { constants, isUtf8 } from 'node:buffer';
import { createReadStream } from 'node:fs';
import { DataError, NotFoundError } from '../errors.js';

export interface ReadOptions {
  signal?: AbortSignal;
  /** What the file should be, for the message when it is not there; 'a text file' by default. */
  expected?: string;
}

export interface Line {
  text: string;
  /** 1-based. */
  line: number;
}

const NEWLINE = 0x0a;
const CHUNK_BYTES = 1 << 18;

/**
 * The lines of a UTF-8 text file, streamed, without their ends ("\n" or "\r\n") and without a byte order mark.
 * @throws NotFoundError if the file is not there or cannot be read
 * @throws DataError naming the line if it is not UTF-8
 */
export async function* readLines(file: string, options: ReadOptions = {}): AsyncGenerator<Line> {
  const { signal, expected = 'a text file' } = options;
  signal?.throwIfAborted();
  const stream = createReadStream(file, { highWaterMark: CHUNK_BYTES });
  let parts: Buffer[] = [];
  let line = 0;
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      signal?.throwIfAborted();
      let start = 0;
      for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
        parts.push(chunk.subarray(start, end));
        start = end + 1;
        line += 1;
        yield { text: decode(parts, file, line), line };
        parts = [];
      }
      if (start < chunk.length) parts.push(chunk.subarray(start));
    }
  } catch (error) {
    throw unreadable(error, file, expected);
  }
  if (parts.length > 0) yield { text: decode(parts, file, line + 1), line: line + 1 };
}

function decode(parts: Buffer[], file: string, line: number): string {
  const bytes = parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts);
  if (bytes.length > constants.MAX_STRING_LENGTH) {
    throw new DataError({ file, line }, `Expected lines of text but this one has ${bytes.length} bytes.`);
  }
  if (!isUtf8(bytes)) {
    throw new DataError({ file, line }, 'Expected UTF-8 text but found bytes that are not; convert the file to UTF-8.');
  }
  const end = bytes.at(-1) === 0x0d ? bytes.length - 1 : bytes.length;
  const text = bytes.toString('utf8', 0, end);
  return line === 1 && text.startsWith('\ufeff') ? text.slice(1) : text;
}

/** What the file system says when a file cannot be read, in words; other errors as they are. */
function unreadable(error: unknown, file: string, expected: string): unknown {
  const problem = PROBLEMS[(error as NodeJS.ErrnoException)?.code ?? ''];
  if (!problem) return error;
  return new NotFoundError(`Expected ${expected} at ${file} but ${problem}.`, { cause: error });
}

const PROBLEMS: Record<string, string> = {
  ENOENT: 'there is no such file; check the path',
  ENOTDIR: 'a part of the path is a file, not a directory; check the path',
  EISDIR: 'it is a directory; give the path of a file',
  EACCES: 'reading it is not permitted; check its permissions',
  EPERM: 'reading it is not permitted; check its permissions',
};
