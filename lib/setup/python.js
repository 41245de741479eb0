import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname } from 'node:path';

/** The Python that set-up asks: the variable PYTHON, else python3. @param {NodeJS.ProcessEnv} [env] */
export function pythonProgram(env = process.env) {
  return env.PYTHON || 'python3';
}

/**
 * Where that Python has its torch, without importing it, which would take seconds.
 * @param {NodeJS.ProcessEnv} [env]
 * @returns {{ directory: string | null }}
 */
export function pythonTorch(env = process.env) {
  // -P and the script's own folder are not enough: a folder named torch in the working directory would be found first.
  const script = [
    'import sys, importlib.util',
    "sys.path = [p for p in sys.path if p not in ('', '.')]",
    "spec = importlib.util.find_spec('torch')",
    "print(spec.origin or '' if spec else '')",
  ].join('\n');
  const { status, stdout } = spawnSync(pythonProgram(env), ['-c', script], { env, encoding: 'utf8', timeout: 20_000 });
  const origin = status === 0 ? stdout.trim() : '';
  return { directory: origin && existsSync(origin) ? dirname(origin) : null };
}

/** "3.11.7" and where the program lies, or null where it cannot be run. @param {NodeJS.ProcessEnv} [env] */
export function pythonVersion(env = process.env) {
  const script = "import sys; print('.'.join(map(str, sys.version_info[:3])), sys.executable)";
  const { status, stdout } = spawnSync(pythonProgram(env), ['-c', script], { env, encoding: 'utf8', timeout: 20_000 });
  const [version, executable] = status === 0 ? stdout.trim().split(' ') : [];
  return version && executable ? { version, executable } : null;
}

/** @param {NodeJS.ProcessEnv} [env] */
export function pythonHasPip(env = process.env) {
  const { status } = spawnSync(pythonProgram(env), ['-m', 'pip', '--version'], { env, timeout: 60_000 });
  return status === 0;
}
