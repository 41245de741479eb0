import { constants, isUtf8 } from 'node:buffer';
import { DataError } from '../errors.js';
import { type BytesOptions, readBytes } from './bytes.js';

export interface ReadOptions extends BytesOptions {
  /** What becomes of bytes that are not UTF-8: an error (the default), or U+FFFD, and the line says `damaged`. */
  invalidUtf8?: 'error' | 'replace';
}

export interface Line {
  text: string;
  /** 1-based. */
  line: number;
  /** There were bytes that are not UTF-8. */
  damaged?: boolean;
}

const NEWLINE = 0x0a;

/**
 * The lines of a UTF-8 text file, streamed, without their ends ("\n" or "\r\n") and without a byte order mark. A file
 * whose name ends in .gz or .zst is unpacked on the way.
 * @throws NotFoundError if the file is not there or cannot be read
 * @throws DataError naming the line if it is not UTF-8, or the file if it cannot be unpacked
 */
export async function* readLines(file: string, options: ReadOptions = {}): AsyncGenerator<Line> {
  const { signal, expected = 'a text file', invalidUtf8 = 'error' } = options;
  const take = (parts: Buffer[], line: number) => decode(parts, { file, line, invalidUtf8 });
  let parts: Buffer[] = [];
  let line = 0;
  for await (const chunk of readBytes(file, { signal, expected })) {
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      parts.push(chunk.subarray(start, end));
      start = end + 1;
      line += 1;
      yield take(parts, line);
      parts = [];
    }
    if (start < chunk.length) parts.push(chunk.subarray(start));
  }
  if (parts.length > 0) yield take(parts, line + 1);
}

interface Decoding {
  file: string;
  line: number;
  invalidUtf8: 'error' | 'replace';
}

function decode(parts: Buffer[], { file, line, invalidUtf8 }: Decoding): Line {
  const bytes = parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts);
  if (bytes.length > constants.MAX_STRING_LENGTH) {
    throw new DataError({ file, line }, `Expected lines of text but this one has ${bytes.length} bytes.`);
  }
  const damaged = !isUtf8(bytes);
  if (damaged && invalidUtf8 === 'error') {
    throw new DataError({ file, line }, 'Expected UTF-8 text but found bytes that are not; convert the file to UTF-8.');
  }
  const end = bytes.at(-1) === 0x0d ? bytes.length - 1 : bytes.length;
  const text = bytes.toString('utf8', 0, end);
  const clean = line === 1 && text.startsWith('\ufeff') ? text.slice(1) : text;
  return damaged ? { text: clean, line, damaged } : { text: clean, line };
}
