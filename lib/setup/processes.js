import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';

/**
 * A process of some machine. A number alone is given to another process sooner or later, and in a container the same
 * few numbers come back at each start; with the time at which the process began it is one process for ever.
 * @typedef {object} ProcessMark
 * @property {number} pid
 * @property {string} host
 * @property {string} began when it began, as its system counts; '' where the system does not tell
 */

/** @returns {ProcessMark} this process */
export function thisProcess() {
  own ??= { pid: process.pid, host: hostname(), began: beginOf(process.pid) ?? '' };
  return own;
}

/** @type {ProcessMark | undefined} */
let own;

/**
 * Whether a process is still there; undefined for one of another machine, which cannot be known.
 * @param {ProcessMark} mark
 * @returns {boolean | undefined}
 */
export function isRunning({ pid, host, began }) {
  if (host !== hostname()) return undefined;
  if (!isTaken(pid)) return false;
  const now = beginOf(pid);
  return now === undefined || began === '' || now === began;
}

/**
 * Whether some process has this number. One that ended and whose parent has not taken note of it has done all it will
 * do, and where the first process of a container takes no note of others, it keeps its number for good: it has none.
 * @param {number} pid
 */
export function isTaken(pid) {
  try {
    process.kill(pid, 0);
    return process.platform !== 'linux' || !/^[ZX]$/.test(statOf(pid)[0] ?? '');
  } catch (error) {
    return /** @type {NodeJS.ErrnoException} */ (error).code === 'EPERM';
  }
}

/**
 * What Linux tells of a process after its name, which may hold spaces and parentheses: its state is the first field, its
 * start in ticks since boot the 20th. Nothing where the process is gone or /proc is hidden.
 * @param {number} pid @returns {string[]}
 */
function statOf(pid) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  } catch {
    return [];
  }
}

/** @param {number} pid @returns {string | undefined} */
function beginOf(pid) {
  try {
    if (process.platform === 'linux') {
      const ticks = statOf(pid)[19];
      if (ticks === undefined) return undefined;
      return `${readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim()} ${ticks}`;
    }
    if (process.platform === 'win32') return undefined;
    const options = { encoding: /** @type {const} */ ('latin1'), env: { ...process.env, LC_ALL: 'C' } };
    return execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], options).trim();
  } catch {
    return undefined;
  }
}
