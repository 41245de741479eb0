import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { breather } from '../event-loop.js';
import { makeDirectory, writing } from './writing.js';

const BUFFER_CHARACTERS = 1 << 18;
let files = 0;

export interface WriteOptions {
  signal?: AbortSignal;
}

/**
 * Writes lines of text so that the file is either whole or as it was before: beside it first, then renamed over it.
 * Directories on the way are made. A newline is put after each line.
 * @returns how many lines were written
 * @throws WriteError if the file system refuses; `signal.reason` when aborted, and whatever `lines` throws; the half-written file is then removed
 */
export async function writeLines(
  file: string,
  lines: Iterable<string> | AsyncIterable<string>,
  options: WriteOptions = {},
): Promise<number> {
  const { signal } = options;
  signal?.throwIfAborted();
  const breathe = breather(signal);
  let count = 0;
  await replaceFile(file, async (handle) => {
    let buffer = '';
    for await (const line of lines) {
      buffer += `${line}\n`;
      count += 1;
      if (buffer.length > BUFFER_CHARACTERS) {
        await writing(file, () => handle.writeFile(buffer));
        buffer = '';
      }
      await breathe();
    }
    signal?.throwIfAborted();
    await writing(file, () => handle.writeFile(buffer));
  });
  return count;
}

/**
 * Has `write` fill a file beside the named one, then syncs it and renames it over that. Directories on the way are made.
 * @throws WriteError if the file system refuses, and whatever `write` throws; the half-written file is then removed
 */
export async function replaceFile(file: string, write: (handle: FileHandle) => Promise<void>): Promise<void> {
  await makeDirectory(dirname(file));
  files += 1;
  const beside = `${file}.${process.pid}-${files}.tmp`;
  const handle = await writing(file, () => open(beside, 'wx'));
  try {
    await write(handle);
    await writing(file, async () => {
      await handle.sync();
      await handle.close();
      await rename(beside, file);
    });
  } catch (error) {
    await handle.close().catch(() => {});
    await rm(beside, { force: true });
    throw error;
  }
}
