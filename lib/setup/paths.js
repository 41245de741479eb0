import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The package's own directory: the same two steps up from lib/setup and from dist/setup. */
export const root = fileURLToPath(new URL('../..', import.meta.url));

/**
 * True in a clone of the repository, where packages and compiled JavaScript are set-up's business too; false in an
 * installed package, which brings dist and not the compiler's options.
 */
export function isCheckout() {
  return existsSync(join(root, 'tsconfig.json'));
}

/**
 * Where listwise keeps what it downloads: LISTWISE_CACHE, or `listwise` in XDG_CACHE_HOME, or ~/.cache/listwise.
 * @param {NodeJS.ProcessEnv} [env]
 */
export function cacheDirectory(env = process.env) {
  return env.LISTWISE_CACHE || join(env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'listwise');
}
