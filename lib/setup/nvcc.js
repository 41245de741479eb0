import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

/**
 * A compiler of CUDA kernels that fits a libtorch.
 * @typedef {object} Nvcc
 * @property {string} program
 * @property {string} version such as '12.4'
 */

/**
 * Looks at CUDACXX, CUDA_PATH, CUDA_HOME, PATH and /usr/local/cuda for an nvcc of the CUDA that libtorch was built for.
 * One of another major version makes code that libtorch's runtime and the drivers that go with it do not run.
 * @param {{ cuda: string | null }} libtorch
 * @param {NodeJS.ProcessEnv} [env]
 * @returns {{ nvcc: Nvcc | null, problem: string | null }} problem: why a CUDA libtorch goes without one; null for a CPU
 *   build, which needs none
 */
export function findNvcc({ cuda }, env = process.env) {
  if (cuda === null) return { nvcc: null, problem: null };
  const found = candidates(env).flatMap((program) => versionOf(program, env) ?? []);
  const nvcc = found.find(({ version }) => major(version) === major(cuda)) ?? null;
  if (nvcc) return { nvcc, problem: null };
  const wanted = `libtorch was built for CUDA ${cuda}`;
  if (found.length === 0) return { nvcc, problem: `no nvcc was found, and ${wanted}` };
  const others = found.map(({ program, version }) => `${program} is of CUDA ${version}`);
  return { nvcc, problem: `${others.join(', ')}, but ${wanted}` };
}

/** @param {NodeJS.ProcessEnv} env */
function candidates(env) {
  const homes = [env.CUDA_PATH, env.CUDA_HOME].flatMap((home) => (home ? join(home, 'bin', 'nvcc') : []));
  return [...new Set([...(env.CUDACXX ? [env.CUDACXX] : []), ...homes, 'nvcc', '/usr/local/cuda/bin/nvcc'])];
}

/** @param {string} program @param {NodeJS.ProcessEnv} env @returns {Nvcc | null} */
function versionOf(program, env) {
  const { status, stdout } = spawnSync(program, ['--version'], { encoding: 'utf8', timeout: 20_000, env });
  const version = status === 0 ? /release (\d+\.\d+)/.exec(stdout)?.[1] : undefined;
  return version ? { program, version } : null;
}

/** @param {string} version */
function major(version) {
  return version.split('.')[0];
}

/** What can be done for kernels. */
export const NVCC_FIX =
  "for faster element-wise work on a GPU, install the nvcc of libtorch's CUDA, let CUDACXX name it, and run setup again";
