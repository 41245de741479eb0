import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { temporaryDirectory } from './helpers.js';

/** The directory of the test that runs, where `useDirectory` was called. */
export let directory: string;

/** Every test of the `describe` that this stands in has a directory of its own. */
export function useDirectory(): void {
  beforeEach(() => {
    directory = temporaryDirectory();
  });
}

/** Writes a file of the test's directory, and gives its path. */
export async function file(name: string, content: string | Buffer): Promise<string> {
  const path = join(directory, name);
  await mkdir(join(path, '..'), { recursive: true });
  await writeFile(path, content);
  return path;
}

export async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}
