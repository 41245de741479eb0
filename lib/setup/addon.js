import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

const require = createRequire(import.meta.url);

/** Loads the compiled addon. @returns {unknown} */
export function loadAddon() {
  return require('node-gyp-build')(fileURLToPath(new URL('../..', import.meta.url)));
}
