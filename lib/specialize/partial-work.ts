import { readdir, rm, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { makeDirectory, writing } from '../formats/writing.js';
import { FILES } from './run-directory.js';

/** What a stage has done before it is complete. */
export interface PartialWork {
  /**
   * A directory for the stage alone, made already. It holds what earlier processes left there under the same key, that
   * is, with the same options and inputs, and nothing else; it is removed when the stage is complete.
   */
  directory: string;
}

/** Digits of a stage's key in the directory's name. */
const KEY_DIGITS = 16;

/** Opens a stage's partial directory under its key; what other keys left is removed. */
export async function openPartial(run: string, stage: string, key: string): Promise<PartialWork> {
  const name = `${stage}-${key.slice(0, KEY_DIGITS)}`;
  for (const other of await partialDirectories(run, stage))
    if (other !== name) await remove(join(run, FILES.partial, other));
  const directory = join(run, FILES.partial, name);
  await makeDirectory(directory);
  return { directory };
}

/** Whether a stage left anything when it was stopped, under whatever key. */
export async function hasPartialWork(run: string, stage: string): Promise<boolean> {
  for (const name of await partialDirectories(run, stage)) {
    if ((await readdir(join(run, FILES.partial, name))).length > 0) return true;
  }
  return false;
}

/** Removes what a stage left while it was not complete. */
export async function removePartial(run: string, stage: string): Promise<void> {
  for (const name of await partialDirectories(run, stage)) await remove(join(run, FILES.partial, name));
  // Not empty where another stage left something, which stays.
  await rmdir(join(run, FILES.partial)).catch(() => {});
}

async function partialDirectories(run: string, stage: string): Promise<string[]> {
  const names = await readdir(join(run, FILES.partial)).catch(() => []);
  return names.filter((name) => name.startsWith(`${stage}-`));
}

async function remove(directory: string): Promise<void> {
  await writing(directory, () => rm(directory, { recursive: true, force: true }));
}
