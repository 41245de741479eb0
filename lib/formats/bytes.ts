import { createReadStream } from 'node:fs';
import { pipeline, Transform } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { Decompress } from 'fzstd';
import { DataError, NotFoundError } from '../errors.js';

const CHUNK_BYTES = 1 << 18;
/** Compressed bytes that are unpacked in JavaScript between two turns of the event loop. */
const ZSTD_BYTES = 1 << 15;

export interface BytesOptions {
  signal?: AbortSignal;
  /** What the file should be, for the message when it is not there; 'a file' by default. */
  expected?: string;
}

/** Endings of compressed files that `readBytes` unpacks. */
export const COMPRESSED = ['.gz', '.zst'] as const;

/** A file's name without the ending of a compression: what it is when unpacked. */
export function withoutCompression(file: string): string {
  const ending = COMPRESSED.find((candidate) => file.toLowerCase().endsWith(candidate));
  return ending ? file.slice(0, -ending.length) : file;
}

/**
 * The bytes of a file in pieces, unpacked where its name ends in .gz or .zst.
 * @throws NotFoundError if the file is not there or cannot be read
 * @throws DataError if it is not the gzip or Zstandard file that its name says, or was cut off
 */
export async function* readBytes(file: string, options: BytesOptions = {}): AsyncGenerator<Buffer> {
  const { signal, expected = 'a file' } = options;
  signal?.throwIfAborted();
  try {
    for await (const chunk of open(file)) {
      signal?.throwIfAborted();
      yield chunk as Buffer;
    }
  } catch (error) {
    throw unreadable(error, file, expected);
  }
}

function open(file: string): AsyncIterable<unknown> {
  const source = createReadStream(file, { highWaterMark: CHUNK_BYTES });
  const name = file.toLowerCase();
  if (name.endsWith('.gz')) return pipeline(source, createGunzip({ chunkSize: CHUNK_BYTES }), () => {});
  if (name.endsWith('.zst')) return pipeline(source, unzstd(), () => {});
  return source;
}

/** Marks an error of fzstd, which throws plain errors. */
class ZstdError extends Error {}

function unzstd(): Transform {
  let ended = false;
  const unpacked = new Decompress((chunk, final) => {
    if (chunk.length > 0) stream.push(Buffer.from(chunk));
    ended = final === true;
  });
  const stream = new Transform({
    transform(chunk: Buffer, _, done) {
      unpack(unpacked, chunk).then(() => done(), done);
    },
    flush(done) {
      unpack(unpacked, Buffer.alloc(0), true).then(() => done(ended ? null : new ZstdError('unexpected end')), done);
    },
  });
  return stream;
}

async function unpack(unpacked: Decompress, chunk: Buffer, final = false): Promise<void> {
  try {
    if (final) unpacked.push(new Uint8Array(0), true);
    for (let at = 0; at < chunk.length; at += ZSTD_BYTES) {
      unpacked.push(chunk.subarray(at, at + ZSTD_BYTES));
      await new Promise((resolve) => setImmediate(resolve));
    }
  } catch (error) {
    throw new ZstdError((error as Error).message);
  }
}

/** What the file system or an unpacker says, in words; other errors as they are. */
function unreadable(error: unknown, file: string, expected: string): unknown {
  const code = (error as NodeJS.ErrnoException)?.code ?? '';
  const problem = PROBLEMS[code];
  if (problem) return new NotFoundError(`Expected ${expected} at ${file} but ${problem}.`, { cause: error });
  const packer = error instanceof ZstdError ? 'Zstandard' : /^Z_/.test(code) ? 'gzip' : undefined;
  if (!packer) return error;
  const said = (error as Error).message;
  return new DataError(
    { file },
    `Expected a whole ${packer} file but unpacking it gives "${said}"; fetch or make it again.`,
    { cause: error },
  );
}

const PROBLEMS: Record<string, string> = {
  ENOENT: 'there is no such file; check the path',
  ENOTDIR: 'a part of the path is a file, not a directory; check the path',
  EISDIR: 'it is a directory; give the path of a file',
  EACCES: 'reading it is not permitted; check its permissions',
  EPERM: 'reading it is not permitted; check its permissions',
};
