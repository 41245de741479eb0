import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism, freemem } from 'node:os';
import { dirname, join } from 'node:path';
import { runCommand, say } from './command.js';
import { SetupError } from './errors.js';
import { describeLibtorch } from './libtorch.js';
import { withLock } from './lock.js';
import { findNvcc, NVCC_FIX } from './nvcc.js';
import { root } from './paths.js';
import { digest, readStamp, writeStamp } from './stamp.js';

/** @typedef {import('./libtorch.js').Libtorch} Libtorch */

/** Memory that one compiler process may take with libtorch's headers. */
const BYTES_PER_COMPILER = 2 * 2 ** 30;

export const buildPaths = {
  addon: join(root, 'build', 'Release', 'listwise.node'),
  stamp: join(root, 'build', 'listwise-build.json'),
  // A directory of CMake's own, so that its files and those of node-gyp, which writes into build/, do not mix.
  cmake: join(root, 'build', 'cmake'),
};

/**
 * Compiles the addon by cmake-js, unless the one in build/ comes from the same sources and the same libtorch.
 * @param {Libtorch} libtorch
 * @returns {Promise<boolean>} whether anything was compiled
 * @throws {SetupError} if a tool is missing or the compiler fails
 */
export async function buildAddon(libtorch) {
  if (isBuilt(libtorch)) return false;
  return withLock(join(root, 'build', '.lock'), () => compile(libtorch), {
    onWait: () => say('Waiting for another process that compiles the addon.'),
  });
}

/** @param {Libtorch} libtorch */
export function isBuilt(libtorch) {
  return existsSync(buildPaths.addon) && readStamp(buildPaths.stamp).digest === buildDigest(libtorch);
}

const SOURCES = [join(root, 'csrc'), join(root, 'CMakeLists.txt')];

/** A digest of what the addon is compiled from, which the addon tells as `sources`; null where that is not there. */
export function sourcesDigest() {
  return SOURCES.every((path) => existsSync(path)) ? digest(root, SOURCES) : null;
}

/** With the nvcc, so that one that was installed or changed later compiles again. @param {Libtorch} libtorch */
function buildDigest(libtorch) {
  const { directory, version, cuda } = libtorch;
  const { nvcc } = findNvcc(libtorch);
  return digest(root, SOURCES, { directory, version, cuda, nvcc, platform: process.platform, arch: process.arch });
}

/** @param {Libtorch} libtorch */
async function compile(libtorch) {
  // Taken before compiling: sources edited meanwhile are compiled again by the next call.
  const [before, sources] = [buildDigest(libtorch), sourcesDigest()];
  if (isBuilt(libtorch)) return false;
  checkTools();
  say(`Compiling the addon against ${describeLibtorch(libtorch)}. This takes a minute or more, once.`);
  const { nvcc, problem } = findNvcc(libtorch);
  if (problem) say(`No kernels are compiled for GPUs: ${problem}. ${NVCC_FIX}.`);
  const started = Date.now();
  const place = { libtorch: libtorch.directory, nvcc: nvcc?.program ?? null };
  clearOthers(place);
  const definitions = { LIBTORCH: libtorch.directory, LISTWISE_NVCC: nvcc?.program ?? '', LISTWISE_SOURCES: sources };
  await cmakeJs(['configure', ...Object.entries(definitions).map(([name, value]) => `--CD${name}=${value}`)]);
  await cmakeJs(['build', '--parallel', String(jobs())]);
  installAddon();
  writeStamp(buildPaths.stamp, { digest: before, version: libtorch.version, ...place });
  say(`Compiled the addon in ${Math.round((Date.now() - started) / 1000)} s: ${buildPaths.addon}`);
  return true;
}

/** What CMake found in another libtorch, or of another nvcc, would be kept in its cache. @param {Record<string, unknown>} place */
function clearOthers(place) {
  const last = readStamp(buildPaths.stamp);
  if (Object.entries(place).every(([name, value]) => (last[name] ?? null) === value)) return;
  rmSync(buildPaths.cmake, { recursive: true, force: true });
}

/** Renamed into place, never overwritten: a process that has the old addon open keeps it. */
function installAddon() {
  mkdirSync(dirname(buildPaths.addon), { recursive: true });
  const fresh = `${buildPaths.addon}.${process.pid}`;
  copyFileSync(join(buildPaths.cmake, 'Release', 'listwise.node'), fresh);
  renameSync(fresh, buildPaths.addon);
}

/** @param {string[]} args */
async function cmakeJs(args) {
  const program = createRequire(import.meta.url).resolve('cmake-js/bin/cmake-js');
  // cmake-js takes the headers of Node-API from the package node-api-headers, as package.json's "binary" tells it to,
  // so nothing is downloaded.
  const all = [program, ...args, '--directory', root, '--out', buildPaths.cmake, '--log-level', 'error'];
  const { ok, reason } = await runCommand(process.execPath, all);
  if (ok) return;
  throw new SetupError(`Compiling the addon failed in \`cmake-js ${args[0]}\`: ${reason}.`, {
    fixes: [
      'see the first error of CMake or the compiler above',
      'the compiler must know C++20: GCC 11 or Clang 14 at least',
      'to start afresh, remove the directory build',
    ],
  });
}

function jobs() {
  return Math.max(1, Math.min(availableParallelism(), Math.floor(freemem() / BYTES_PER_COMPILER)));
}

function checkTools() {
  const packages = missingBuildPackages();
  if (packages.length) {
    throw new SetupError(`The addon must be compiled, and the npm packages ${packages.join(', ')} are missing.`, {
      fixes: ['install them: `npm install`'],
    });
  }
  const missing = missingTools();
  if (missing.length === 0) return;
  throw new SetupError(`The addon must be compiled, and ${missing.join(' and ')} cannot be found.`, {
    found: missing.map((tool) => `${tool} in PATH`),
    fixes: ['Debian, Ubuntu: `apt install g++ make cmake`', 'macOS: `xcode-select --install` and `brew install cmake`'],
  });
}

/** The npm packages that compiling needs and that cannot be found. @returns {string[]} */
export function missingBuildPackages() {
  const { resolve } = createRequire(import.meta.url);
  return ['cmake-js', 'node-addon-api', 'node-api-headers'].filter((name) => {
    try {
      resolve(`${name}/package.json`);
      return false;
    } catch {
      return true;
    }
  });
}

/** What compiling needs and this machine lacks. @returns {string[]} */
export function missingTools() {
  const compiler = process.env.CXX ? [process.env.CXX] : ['c++', 'g++', 'clang++'];
  const missing = toolVersion(['cmake']) ? [] : ['cmake'];
  if (!toolVersion(compiler)) missing.push('a C++ compiler');
  return missing;
}

/** The first line that the first of these programs that exists says about itself. @param {string[]} programs */
export function toolVersion(programs) {
  for (const program of programs) {
    const { status, stdout } = spawnSync(program, ['--version'], { encoding: 'utf8', timeout: 20_000 });
    if (status === 0) return `${program}: ${stdout.split('\n')[0]}`;
  }
  return null;
}
