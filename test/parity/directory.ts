import { existsSync, readdirSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Where the reference numbers lie: the variable PARITY, relative to the project's root, or the project's own. */
export const parityDirectory = resolve(root, process.env.PARITY ?? 'test/fixtures/parity');

if (!existsSync(parityDirectory)) throw new Error(`PARITY names ${parityDirectory}, which is not there.`);

/** A file or folder of the parity directory, or undefined where that directory does not have it. */
export function parityFile(name: string): string | undefined {
  const path = resolve(parityDirectory, name);
  return existsSync(path) ? path : undefined;
}

/** The folders in a folder of the parity directory, in order, each with its path; none where there is no such folder. */
export function parityFolders(name: string): { name: string; path: string }[] {
  const folder = parityFile(name);
  if (!folder) return [];
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() || entry.isSymbolicLink())
    .map((entry) => ({ name: entry.name, path: resolve(folder, entry.name) }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Of these files, the ones that the folder does not have. */
export function missingFiles(folder: string, files: readonly string[]): string[] {
  return files.filter((file) => !existsSync(resolve(folder, file)));
}
