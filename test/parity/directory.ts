import { existsSync, readdirSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** What a folder of a model, and one of a training run, must have to be compared. */
export const MODEL_FILES = ['config.json', 'expected.json', 'model.safetensors'];
export const TRAINING_FILES = [
  ...['config.json', 'run.json', 'model.safetensors', 'first-gradient-clipped.safetensors', 'final.safetensors'],
];

/** Where the reference numbers lie: the variable PARITY, relative to the project's root, or the project's own. */
export const parityDirectory = resolve(root, process.env.PARITY ?? 'test/fixtures/parity');

/** A directory without a single case would pass without a single comparison. @throws Error if it is such a one */
export function requireCases(directory: string): void {
  if (!existsSync(directory)) throw new Error(`PARITY names ${directory}, which is not there.`);
  const hasFile = ['losses.json', 'metrics.json'].some((name) => existsSync(resolve(directory, name)));
  const hasWhole = (name: string, files: readonly string[]) =>
    foldersIn(resolve(directory, name)).some(({ path }) => missingFiles(path, files).length === 0);
  if (hasFile || hasWhole('models', MODEL_FILES) || hasWhole('training', TRAINING_FILES)) return;
  throw new Error(
    `PARITY names ${directory}, which has nothing to compare with: expected losses.json, metrics.json, ` +
      `models/<name>/ with ${MODEL_FILES.join(', ')}, or training/<name>/ with ${TRAINING_FILES.join(', ')}, ` +
      'as test/fixtures/parity has them.',
  );
}

requireCases(parityDirectory);

/** A file or folder of the parity directory, or undefined where that directory does not have it. */
export function parityFile(name: string): string | undefined {
  const path = resolve(parityDirectory, name);
  return existsSync(path) ? path : undefined;
}

/** The folders in a folder of the parity directory, in order, each with its path; none where there is no such folder. */
export function parityFolders(name: string): { name: string; path: string }[] {
  return foldersIn(resolve(parityDirectory, name));
}

function foldersIn(folder: string): { name: string; path: string }[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() || entry.isSymbolicLink())
    .map((entry) => ({ name: entry.name, path: resolve(folder, entry.name) }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Of these files, the ones that the folder does not have. */
export function missingFiles(folder: string, files: readonly string[]): string[] {
  return files.filter((file) => !existsSync(resolve(folder, file)));
}
