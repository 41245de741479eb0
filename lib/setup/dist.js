import { existsSync, renameSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { runCommand, say } from './command.js';
import { SetupError } from './errors.js';
import { withLock } from './lock.js';
import { root } from './paths.js';
import { digest, readStamp, writeStamp } from './stamp.js';

const output = join(root, 'dist');
// Outside dist, which is published as it is.
const stamp = join(root, 'build', 'listwise-dist.json');

/**
 * Compiles lib to dist in a checkout, unless dist comes from the same sources.
 * @returns {Promise<boolean>} whether anything was compiled
 * @throws {SetupError} if the sources do not compile
 */
export async function buildDist() {
  if (isFresh()) return false;
  return withLock(join(root, 'build', '.dist.lock'), compile);
}

function sources() {
  return digest(
    root,
    ['lib', 'tsconfig.json', 'package-lock.json'].map((name) => join(root, name)),
  );
}

function isFresh() {
  return existsSync(output) && readStamp(stamp).digest === sources();
}

async function compile() {
  if (isFresh()) return false;
  const before = sources();
  say('Compiling lib to dist.');
  const partial = `${output}.${process.pid}`;
  const tsc = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin', 'tsc');
  // Types are checked by `npm run typecheck`; here they would cost time on every change.
  const args = [tsc, '--project', root, '--outDir', partial, '--noCheck'];
  const { ok, reason } = await runCommand(process.execPath, args, { cwd: root });
  if (!ok) {
    rmSync(partial, { recursive: true, force: true });
    throw new SetupError(`TypeScript did not compile lib: ${reason}.`, {
      fixes: ["see the compiler's messages above"],
    });
  }
  rmSync(output, { recursive: true, force: true });
  renameSync(partial, output);
  writeStamp(stamp, { digest: before });
  return true;
}
