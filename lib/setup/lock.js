import { randomUUID } from 'node:crypto';
import { linkSync, mkdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isRunning, thisProcess } from './processes.js';

const HEARTBEAT_MS = 5_000;
/** Without a sign of life for so long, a holder on another machine counts as gone. */
const STALE_MS = 120_000;

/**
 * Who holds a lock: a process, since when, and a name that no other lock has.
 * @typedef {import('./processes.js').ProcessMark & { since: string, id: string }} Holder
 */

/**
 * Takes a lock if nobody holds it. A holder on this machine that died, whenever and however, is recognised by its
 * process id and start time, and its lock taken over; one on another machine by a lock file that it has not touched for
 * two minutes.
 * @param {string} file made for the time of the lock, as are directories on the way
 * @returns {{ release: () => void } | { holder: Holder | undefined }} holder: who has it, unless its file cannot be read
 */
export function tryLock(file) {
  mkdirSync(dirname(file), { recursive: true });
  const holder = { ...thisProcess(), since: new Date().toISOString(), id: randomUUID() };
  while (!take(file, holder)) if (!dropStale(file)) return { holder: holderOf(file) };
  const heartbeat = setInterval(() => touch(file), HEARTBEAT_MS);
  heartbeat.unref();
  const release = () => {
    clearInterval(heartbeat);
    if (holderOf(file)?.id === holder.id) rmSync(file, { force: true });
  };
  return { release };
}

/**
 * Runs `work` while no other process runs work under the same lock file, and waits for those that do.
 * @template T
 * @param {string} file
 * @param {() => Promise<T>} work
 * @param {{ onWait?: () => void, signal?: AbortSignal | undefined }} [options] onWait: called once if
 *   somebody else holds the lock; signal: ends the waiting, with its reason
 * @returns {Promise<T>}
 */
export async function withLock(file, work, { onWait, signal } = {}) {
  let waited = false;
  for (;;) {
    const lock = tryLock(file);
    if ('release' in lock) {
      try {
        return await work();
      } finally {
        lock.release();
      }
    }
    signal?.throwIfAborted();
    if (!waited) onWait?.();
    waited = true;
    await sleep(200);
  }
}

/** Who holds a lock, as far as its file says. @param {string} file @returns {Holder | undefined} */
export function holderOf(file) {
  try {
    const holder = JSON.parse(readFileSync(file, 'utf8'));
    return typeof holder?.id === 'string' ? holder : undefined;
  } catch {
    return undefined;
  }
}

/** Whether the holder of a lock is gone, so that the lock may be taken over. @param {string} file */
export function isStale(file) {
  const holder = holderOf(file);
  const running = holder && isRunning(holder);
  if (running !== undefined) return !running;
  try {
    return Date.now() - statSync(file).mtimeMs > STALE_MS;
  } catch {
    return false;
  }
}

/** Makes the lock file with its content in one go. @param {string} file @param {Holder} holder */
function take(file, holder) {
  const content = JSON.stringify(holder);
  // Named as what removeLeftovers takes away, should this process be killed before it does so itself.
  const beside = `${file}.${holder.id}.${holder.pid}.tmp`;
  try {
    writeFileSync(beside, content);
    linkSync(beside, file);
    return true;
  } catch (error) {
    const code = codeOf(error);
    if (code === 'EEXIST') return false;
    // A file system without hard links: the content comes a moment after the file.
    if (code === 'EPERM' || code === 'ENOTSUP' || code === 'ENOSYS') return takePlain(file, content);
    throw error;
  } finally {
    rmSync(beside, { force: true });
  }
}

/** @param {string} file @param {string} content */
function takePlain(file, content) {
  try {
    writeFileSync(file, content, { flag: 'wx' });
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    throw error;
  }
}

/**
 * Removes the lock of a holder that is gone. Of several processes that find it so, one at a time gets to look again and
 * remove it, under a lock of that: a lock that another has taken meanwhile is never removed.
 * @param {string} file @returns {boolean} whether to try again at once
 */
function dropStale(file) {
  if (!isStale(file)) return false;
  const own = { ...thisProcess(), since: new Date().toISOString(), id: randomUUID() };
  const removal = `${file}.removal`;
  if (!take(removal, own)) {
    if (!isStale(removal)) return false;
    rmSync(removal, { force: true });
    return true;
  }
  try {
    if (isStale(file)) rmSync(file, { force: true });
  } finally {
    rmSync(removal, { force: true });
  }
  return true;
}

/** @param {string} file */
function touch(file) {
  try {
    utimesSync(file, new Date(), new Date());
  } catch {
    // Somebody removed the lock by hand; the work goes on.
  }
}

/** @param {unknown} error */
function codeOf(error) {
  return /** @type {NodeJS.ErrnoException} */ (error).code;
}
