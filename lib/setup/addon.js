import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { constants } from 'node:os';
import { join } from 'node:path';
import { buildPaths, sourcesDigest } from './build.js';
import { SetupError } from './errors.js';
import { describeLibtorch, findLibtorch, inspect, libraries, minorVersion } from './libtorch.js';
import { isCheckout, root } from './paths.js';
import { readStamp } from './stamp.js';

/** @typedef {import('./libtorch.js').Libtorch} Libtorch */

const require = createRequire(import.meta.url);

/**
 * Loads the addon: the one that was compiled here, else a prebuilt one that fits the libtorch of this machine.
 * Never compiles or downloads anything; `npx listwise setup` does.
 * @returns {unknown} the addon's exports
 * @throws {SetupError} saying what was looked for and what to do
 */
export function loadAddon() {
  return existsSync(buildPaths.addon) ? loadCompiled() : loadPrebuilt();
}

function loadCompiled() {
  const { libtorch: directory } = readStamp(buildPaths.stamp);
  checkChosen(directory);
  let addon;
  try {
    addon = require('node-gyp-build')(root);
  } catch (error) {
    const gone = directory && !existsSync(join(directory, String(libraries()[0])));
    throw new SetupError(`The addon that was compiled here cannot be loaded: ${messageOf(error)}.`, {
      found: [
        buildPaths.addon,
        gone ? `libtorch in ${directory}, which is gone` : `libtorch in ${directory ?? 'build'}`,
      ],
      fixes: gone ? [COMPILE_AGAIN] : [MISSING_LIBRARY, COMPILE_AGAIN],
      cause: error,
    });
  }
  return checkSources(addon, buildPaths.addon, isCheckout() ? 'npm run setup' : 'npx listwise setup');
}

/**
 * An addon of other sources than this JavaScript's would fail late and oddly, or compute what an older version did.
 * @param {{ sources?: string }} addon
 * @param {string} place
 * @param {string} command that compiles it
 */
function checkSources(addon, place, command) {
  const wanted = sourcesDigest();
  if (wanted === null || addon.sources === wanted) return addon;
  throw new SetupError('The addon was compiled from other sources than those of this listwise.', {
    found: [place],
    fixes: [`compile it again: \`${command}\``],
  });
}

const COMPILE_AGAIN = 'compile it again, against a libtorch that is there: `npx listwise setup`';
const MISSING_LIBRARY =
  "if it names a library that cannot be opened, libtorch lacks what it needs: a CUDA build's libraries come with " +
  '`pip install torch`, not with --no-deps';

/** LIBTORCH chooses, so an addon of another libtorch must not be used in its stead. @param {string} [built] */
function checkChosen(built) {
  const wanted = process.env.LIBTORCH && built ? findLibtorch().libtorch : null;
  if (!wanted || wanted.directory === built) return;
  throw new SetupError(`LIBTORCH names ${wanted.directory}, but the addon was compiled against ${built}.`, {
    fixes: ['compile it against that one: `npx listwise setup`', 'or unset LIBTORCH'],
  });
}

function loadPrebuilt() {
  const { libtorch, skipped } = findLibtorch();
  if (!libtorch) {
    throw new SetupError('listwise has no libtorch to work with.', {
      found: skipped,
      fixes: [
        'let listwise find or fetch one and prepare the addon: `npx listwise setup`',
        'or install torch in the active Python: `pip install torch`',
        'or set LIBTORCH to an unpacked libtorch',
      ],
    });
  }
  const directory = prebuiltFor(libtorch);
  if (!directory) {
    throw new SetupError(`No addon fits ${describeLibtorch(libtorch)}.`, {
      found: [`a compiled one: ${buildPaths.addon}`, `a prebuilt one: ${prebuiltDirectory(libtorch)}`],
      fixes: ['compile it, which takes a minute or two: `npx listwise setup`'],
    });
  }
  preload(libtorch);
  let addon;
  try {
    addon = require('node-gyp-build')(directory);
  } catch (error) {
    throw new SetupError(
      `The prebuilt addon for ${describeLibtorch(libtorch)} cannot be loaded: ${messageOf(error)}.`,
      {
        found: [directory],
        fixes: ['compile it for this machine: `npx listwise setup --compile`'],
        cause: error,
      },
    );
  }
  return checkSources(addon, directory, 'npx listwise setup --compile');
}

/** @param {Libtorch} libtorch */
function prebuiltDirectory({ version }) {
  return join(root, 'prebuilds', `torch-${minorVersion(version)}`);
}

/**
 * The directory of a prebuilt addon for this platform and this libtorch's minor version, if the package brings one.
 * @param {Libtorch} libtorch
 * @returns {string | null}
 */
export function prebuiltFor(libtorch) {
  const directory = prebuiltDirectory(libtorch);
  try {
    require('node-gyp-build').resolve(directory);
    return directory;
  } catch {
    return null;
  }
}

/** RTLD_NODELETE of <dlfcn.h>, which Node does not name: the library stays open when Node closes it again. */
const STAY = process.platform === 'darwin' ? 0x80 : 0x1000;

/**
 * Opens libtorch's libraries for all to see. A prebuilt addon cannot know where libtorch lies on this machine, but the
 * dynamic linker takes a library that is already open by its name. Node complains that they are no addons.
 * @param {Libtorch} libtorch
 */
function preload({ directory, cuda }) {
  const cudaLibraries = cuda ? ['lib/libc10_cuda.so', 'lib/libtorch_cuda.so'] : [];
  const [c10, cpu, all] = libraries();
  const flags = constants.dlopen.RTLD_NOW | constants.dlopen.RTLD_GLOBAL | STAY;
  for (const library of [c10, cpu, ...cudaLibraries, all].map((file) => join(directory, String(file)))) {
    try {
      process.dlopen({ exports: {} }, library, flags);
    } catch (error) {
      if (messageOf(error).includes('did not self-register')) continue;
      throw new SetupError(`libtorch cannot be loaded: ${messageOf(error)}.`, {
        found: [library],
        fixes: [MISSING_LIBRARY, 'set LIBTORCH to another libtorch and run `npx listwise setup`'],
        cause: error,
      });
    }
  }
}

/**
 * What the addon in place was compiled against, for `listwise doctor`.
 * @returns {{ file: string, libtorch: Libtorch | null } | null}
 */
export function compiledAddon() {
  if (!existsSync(buildPaths.addon)) return null;
  const { libtorch: directory } = readStamp(buildPaths.stamp);
  const looked = directory ? inspect(directory, 'cache') : null;
  return { file: buildPaths.addon, libtorch: looked && 'libtorch' in looked ? looked.libtorch : null };
}

/** @param {unknown} error */
function messageOf(error) {
  return error instanceof Error ? error.message.replace(/\.$/, '') : String(error);
}
