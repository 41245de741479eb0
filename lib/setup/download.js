import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { runCommand, say } from './command.js';
import { SetupError } from './errors.js';
import { describeLibtorch, findLibtorch, inspect, OLDEST_LIBTORCH, OWN_LIBTORCH } from './libtorch.js';
import { withLock } from './lock.js';
import { cacheDirectory, isCheckout } from './paths.js';
import { pythonHasPip, pythonProgram, pythonVersion } from './python.js';

/** @typedef {import('./libtorch.js').Libtorch} Libtorch */

/**
 * The libtorch that is there already.
 * @returns {Libtorch}
 * @throws {SetupError} if there is none
 */
export function requireLibtorch() {
  const { libtorch, skipped } = findLibtorch();
  if (libtorch) return libtorch;
  throw new SetupError('The addon must be compiled, and there is no libtorch to compile it against.', {
    found: skipped,
    fixes: [
      `let listwise fetch one and compile: \`${isCheckout() ? 'npm run setup' : 'npx listwise setup'}\``,
      'or install torch in the active Python: `pip install torch`',
      'or set LIBTORCH to an unpacked libtorch',
    ],
  });
}

/**
 * Finds libtorch, and where there is none makes listwise's own copy by pip. pip's configuration decides where it
 * comes from and so which build it is.
 * @returns {Promise<Libtorch>}
 * @throws {SetupError} if there is none and none can be fetched
 */
export async function ensureLibtorch() {
  const { libtorch } = findLibtorch();
  if (libtorch) return libtorch;
  const store = join(cacheDirectory(), 'libtorch');
  return withLock(join(store, '.lock'), () => fetchLibtorch(store), {
    onWait: () => say(`Waiting for another process that fetches libtorch into ${store}.`),
  });
}

/** @param {string} store @returns {Promise<Libtorch>} */
async function fetchLibtorch(store) {
  const { libtorch, skipped } = findLibtorch();
  if (libtorch) return libtorch;
  checkPython(skipped);
  say(`No libtorch from ${OLDEST_LIBTORCH} on was found, so listwise makes a copy of its own:`);
  for (const line of skipped) say(`  looked for ${line}`);
  say(`  what:  torch ${OWN_LIBTORCH} from the Python package index, by pip`);
  say('  size:  0.2 GB for a CPU build, 2.5 GB for a CUDA build with its libraries; pip says which it is');
  say(`  where: ${join(store, OWN_LIBTORCH)}`);
  // We hold the lock, so any that are there are of processes that were killed, each some gigabytes.
  for (const name of readdirSync(store)) {
    if (name.startsWith('.partial-')) rmSync(join(store, name), { recursive: true, force: true });
  }
  const target = join(store, `.partial-${process.pid}`);
  mkdirSync(target, { recursive: true });
  try {
    await install(target, ['--no-deps', `torch==${OWN_LIBTORCH}`]);
    const cudaPackages = cudaRequirements(target);
    if (cudaPackages.length) {
      say(`This is a CUDA build, so CUDA's libraries follow: ${cudaPackages.join(', ')}`);
      await install(target, cudaPackages);
    }
    const home = join(store, OWN_LIBTORCH);
    rmSync(home, { recursive: true, force: true });
    renameSync(target, home);
    return accept(home);
  } finally {
    rmSync(target, { recursive: true, force: true });
  }
}

/** @param {string} home */
function accept(home) {
  const looked = inspect(join(home, 'torch'), 'cache');
  if ('problem' in looked) {
    throw new SetupError(`The copy of torch in ${home} cannot be used: ${looked.problem}.`, {
      fixes: ['set LIBTORCH to a libtorch for this platform (see "libtorch" in the README)'],
    });
  }
  say(`Ready: ${describeLibtorch(looked.libtorch)}.`);
  return looked.libtorch;
}

/** @param {string} target @param {string[]} requirements and options of pip */
async function install(target, requirements) {
  const args = ['-m', 'pip', 'install', '--target', target, ...requirements];
  const { ok, reason } = await runCommand(pythonProgram(), args);
  if (ok) return;
  throw new SetupError(`\`${pythonProgram()} ${args.join(' ')}\` did not succeed: ${reason}.`, {
    fixes: [
      "see pip's own message above: no network, no space left, or a Python that torch has no build for",
      `install torch (${OLDEST_LIBTORCH} or newer) yourself, \`pip install torch\`, and let PYTHON name that Python`,
      'or unpack a libtorch and set LIBTORCH to its directory',
    ],
  });
}

/** @param {string[]} skipped */
function checkPython(skipped) {
  const found = pythonVersion();
  if (found && pythonHasPip()) return;
  const problem = found
    ? `${found.executable} has no pip, so no copy can be fetched`
    : `${pythonProgram()} cannot be run, so no copy can be fetched`;
  throw new SetupError(`No libtorch was found, and ${problem}.`, {
    found: skipped,
    fixes: [
      'install Python 3.10 or newer with pip (Debian: `apt install python3-pip`), then run this again',
      'or let PYTHON name another Python',
      'or unpack a libtorch and set LIBTORCH to its directory',
    ],
  });
}

/**
 * The packages of CUDA libraries that a torch wheel asks for. `--no-deps` leaves them out, and without them a CUDA
 * build cannot be loaded. Read from the wheel's own metadata, from lines such as
 * `Requires-Dist: nvidia-nccl-cu13==2.29.7; platform_system == "Linux"`.
 * @param {string} target
 * @returns {string[]} pip requirements
 */
export function cudaRequirements(target) {
  const info = existsSync(target) && readdirSync(target).find((name) => /^torch-.*\.dist-info$/.test(name));
  if (!info) return [];
  const metadata = readFileSync(join(target, info, 'METADATA'), 'utf8');
  return [...metadata.matchAll(/^Requires-Dist:\s*((?:nvidia-|cuda-toolkit\b).*\S)\s*$/gm)]
    .map(([, requirement]) => String(requirement))
    .filter((requirement) => !/;.*\bextra\b/.test(requirement));
}
