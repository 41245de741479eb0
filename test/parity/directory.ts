import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Where the reference numbers lie: the variable PARITY, relative to the project's root, or the project's own. */
export const parityDirectory = resolve(root, process.env.PARITY ?? 'test/fixtures/parity');

/** A file of the parity directory, or undefined where that directory does not have it. */
export function parityFile(name: string): string | undefined {
  const path = resolve(parityDirectory, name);
  return existsSync(path) ? path : undefined;
}
