import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isTaken } from '../setup/processes.js';

/** Names under which files and directories are written beside, before they are renamed: `<name>.<pid>[-<n>].tmp`. */
const BESIDE = /\.(\d+)(?:-\d+)?\.tmp$/;

/**
 * Removes what killed processes left half-written in a directory and below it. What may still be written, by a process
 * that is alive, stays. Links are not followed.
 * @returns the paths removed
 */
export async function removeLeftovers(directory: string): Promise<string[]> {
  const removed: string[] = [];
  const entries = await readdir(directory, { withFileTypes: true }).catch(() => []);
  for (const entry of entries) {
    const path = join(directory, entry.name);
    const pid = BESIDE.exec(entry.name)?.[1];
    if (pid && (await isLeft(path, Number(pid)))) {
      await rm(path, { recursive: true, force: true });
      removed.push(path);
    } else if (entry.isDirectory()) removed.push(...(await removeLeftovers(path)));
  }
  return removed;
}

/** This process' own number may have been another's before, in a container for one, so age decides. */
async function isLeft(path: string, pid: number): Promise<boolean> {
  if (pid !== process.pid) return !isTaken(pid);
  const found = await stat(path).catch(() => undefined);
  return found !== undefined && found.mtimeMs < performance.timeOrigin;
}
