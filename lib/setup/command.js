import { spawn } from 'node:child_process';

/** Lines of set-up go to stderr: stdout belongs to the program that asked for it. @param {string} line */
export function say(line) {
  process.stderr.write(`${line}\n`);
}

/**
 * Runs a program and shows its output, on stderr.
 * @param {string} program
 * @param {string[]} args
 * @param {{ cwd?: string, env?: NodeJS.ProcessEnv, quiet?: boolean }} [options] quiet: keep stdout to itself
 * @returns {Promise<{ ok: boolean, reason: string }>} reason: why it did not end well, for a message
 */
export function runCommand(program, args, { cwd, env, quiet = false } = {}) {
  return new Promise((resolve) => {
    const child = spawn(program, args, { cwd, env, stdio: ['ignore', quiet ? 'ignore' : 2, 2] });
    child.on('error', (error) => resolve({ ok: false, reason: error.message }));
    child.on('exit', (code, signal) => {
      resolve({ ok: code === 0, reason: signal ? `it was ended by ${signal}` : `it ended with exit code ${code}` });
    });
  });
}
