import { existsSync, readdirSync, readFileSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { SetupError } from './errors.js';
import { cacheDirectory } from './paths.js';
import { pythonProgram, pythonTorch } from './python.js';

/**
 * A libtorch that the addon can be compiled against and loaded with.
 * @typedef {object} Libtorch
 * @property {string} directory holds include/ and lib/
 * @property {string} version such as '2.13.0', without the part that names the build
 * @property {'LIBTORCH' | 'python' | 'cache'} source how it was found
 * @property {string | null} cuda the CUDA version that it was built for, or null for a CPU build
 * @property {boolean} cxx11Abi whether std::string in its interface is the C++11 one
 */

export const OLDEST_LIBTORCH = '2.6';
/** What set-up fetches where there is no libtorch, and the newest that listwise was tested with. */
export const OWN_LIBTORCH = '2.13.0';

/**
 * Looks, in this order, at the variable LIBTORCH, at the torch of the active python3 (PYTHON names another), and at
 * the copy that set-up keeps. Nothing is downloaded.
 * @param {NodeJS.ProcessEnv} [env]
 * @returns {{ libtorch: Libtorch | null, skipped: string[] }} skipped: what was looked at and why it was not taken
 * @throws {SetupError} if LIBTORCH is set and cannot be used
 */
export function findLibtorch(env = process.env) {
  if (env.LIBTORCH) return { libtorch: named(env.LIBTORCH), skipped: [] };
  const skipped = ['the variable LIBTORCH: not set'];
  for (const { directory, source, what } of candidates(env)) {
    const looked = directory ? inspect(directory, source) : { problem: 'not there' };
    if ('libtorch' in looked) return { libtorch: looked.libtorch, skipped };
    skipped.push(`${what}: ${looked.problem}`);
  }
  return { libtorch: null, skipped };
}

/**
 * @param {NodeJS.ProcessEnv} env
 * @returns {Generator<{ directory: string | null, source: 'python' | 'cache', what: string }>}
 */
function* candidates(env) {
  const python = pythonTorch(env);
  yield { ...python, source: 'python', what: `the torch of ${pythonProgram(env)}${at(python.directory)}` };
  const store = join(cacheDirectory(env), 'libtorch');
  const versions = existsSync(store) ? readdirSync(store).filter((name) => /^\d+\.\d+/.test(name)) : [];
  if (versions.length === 0) yield { directory: null, source: 'cache', what: `listwise's own copy in ${store}` };
  for (const version of versions.sort(compareVersions).reverse()) {
    const directory = join(store, version, 'torch');
    yield { directory, source: 'cache', what: `listwise's own copy${at(directory)}` };
  }
}

/** @param {string | null} directory */
function at(directory) {
  return directory ? ` (${directory})` : '';
}

/** @param {string} directory what LIBTORCH names: a torch package, an unpacked libtorch, or the folder around either */
function named(directory) {
  const inside = ['', 'torch', 'libtorch'].map((name) => join(directory, name));
  const looked = inspect(inside.find((path) => existsSync(join(path, 'include', 'ATen'))) ?? directory, 'LIBTORCH');
  if ('libtorch' in looked) return looked.libtorch;
  throw new SetupError(`The variable LIBTORCH names ${directory}, which cannot be used: ${looked.problem}.`, {
    fixes: [
      "let LIBTORCH name the directory that holds include/ and lib/: an unpacked libtorch, or a Python's " +
        'site-packages/torch',
      "or unset LIBTORCH, to use the torch of python3 or listwise's own copy",
    ],
  });
}

/**
 * @param {string} directory
 * @param {Libtorch['source']} source
 * @returns {{ libtorch: Libtorch } | { problem: string }}
 */
export function inspect(directory, source) {
  const needed = ['include/ATen/ATen.h', 'include/torch/csrc/api/include/torch/torch.h', ...libraries()];
  const missing = needed.filter((file) => !existsSync(join(directory, file)));
  if (missing.length) return { problem: `it lacks ${missing.join(', ')}` };
  const version = versionOf(directory);
  if (!version) return { problem: 'neither version.py nor build-version says which version it is' };
  if (compareVersions(version, OLDEST_LIBTORCH) < 0) {
    return { problem: `it is version ${version}, and the oldest supported is ${OLDEST_LIBTORCH}` };
  }
  const cmake = read(join(directory, 'share/cmake/Torch/TorchConfig.cmake'));
  const cxx11Abi = !cmake.includes('_GLIBCXX_USE_CXX11_ABI=0');
  return { libtorch: { directory: realpathSync(directory), version, source, cuda: cudaOf(directory), cxx11Abi } };
}

/** The libraries that an addon needs, in the order in which they can be loaded. */
export function libraries() {
  const suffix = process.platform === 'darwin' ? 'dylib' : 'so';
  return ['c10', 'torch_cpu', 'torch'].map((name) => `lib/lib${name}.${suffix}`);
}

/** @param {string} directory */
function versionOf(directory) {
  const python = /^__version__ = ['"]([^'"]+)['"]/m.exec(read(join(directory, 'version.py')))?.[1];
  const version = python ?? read(join(directory, 'build-version')).trim();
  return /^\d+\.\d+(\.\d+)?/.exec(version)?.[0] ?? null;
}

/** @param {string} directory */
function cudaOf(directory) {
  if (!existsSync(join(directory, 'lib/libtorch_cuda.so'))) return null;
  const python = /^cuda[^=]*= ['"]([^'"]+)['"]/m.exec(read(join(directory, 'version.py')))?.[1];
  const build = /\+cu(\d+)(\d)/.exec(read(join(directory, 'build-version')));
  return python ?? (build ? `${build[1]}.${build[2]}` : 'unknown');
}

/** @param {string} file */
function read(file) {
  return existsSync(file) ? readFileSync(file, 'utf8') : '';
}

/** '2.13.0' → '2.13': what an addon is compiled for. @param {string} version */
export function minorVersion(version) {
  return version.split('.').slice(0, 2).join('.');
}

/** @param {string} a @param {string} b @returns {number} negative if a is older */
export function compareVersions(a, b) {
  const [left, right] = [a, b].map((version) => version.split('.').map(Number));
  for (let i = 0; i < 3; i++) {
    const difference = (left?.[i] ?? 0) - (right?.[i] ?? 0);
    if (difference) return difference;
  }
  return 0;
}

/** One line for people: what was found and where. @param {Libtorch} libtorch */
export function describeLibtorch({ directory, version, source, cuda }) {
  const how = { LIBTORCH: 'named by LIBTORCH', python: 'the torch of python3', cache: "listwise's own copy" }[source];
  return `libtorch ${version} (${cuda ? `CUDA ${cuda}` : 'CPU'}; ${how}: ${directory})`;
}
