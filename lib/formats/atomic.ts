import { open, rename, rm } from 'node:fs/promises';
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
  await makeDirectory(dirname(file));
  files += 1;
  const beside = `${file}.${process.pid}-${files}.tmp`;
  const handle = await writing(file, () => open(beside, 'wx'));
  const breathe = breather(signal);
  let count = 0;
  try {
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
    await writing(file, async () => {
      await handle.writeFile(buffer);
      await handle.sync();
      await handle.close();
      await rename(beside, file);
    });
  } catch (error) {
    await handle.close().catch(() => {});
    await rm(beside, { force: true });
    throw error;
  }
  return count;
}
