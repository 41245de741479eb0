import { mkdirSync, readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const HEARTBEAT_MS = 5_000;
const STALE_MS = 60_000;

/**
 * Runs `work` while no other process runs work under the same lock file. A holder that died is recognised by its
 * process id on this machine, or by a lock file that nobody has touched for a minute.
 * @template T
 * @param {string} file created for the time of the work
 * @param {() => Promise<T>} work
 * @param {{ onWait?: (holder: string) => void, signal?: AbortSignal | undefined }} [options] onWait: called once if
 *   somebody else holds the lock; signal: ends the waiting, with its reason
 * @returns {Promise<T>}
 */
export async function withLock(file, work, { onWait, signal } = {}) {
  mkdirSync(dirname(file), { recursive: true });
  let waited = false;
  while (!take(file)) {
    signal?.throwIfAborted();
    if (dropStale(file)) continue;
    if (!waited) onWait?.(holderOf(file));
    waited = true;
    await sleep(200);
  }
  const heartbeat = setInterval(() => touch(file), HEARTBEAT_MS);
  heartbeat.unref();
  try {
    return await work();
  } finally {
    clearInterval(heartbeat);
    rmSync(file, { force: true });
  }
}

/** @param {string} file */
function take(file) {
  try {
    writeFileSync(file, `${process.pid} ${hostname()}`, { flag: 'wx' });
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    throw error;
  }
}

/** Removes the lock of a holder that is gone. @param {string} file @returns {boolean} whether to try again at once */
function dropStale(file) {
  const holder = holderOf(file);
  if (!isStale(file, holder)) return false;
  // Renamed before removed: of two processes that judged the same lock stale, only one gets to remove it.
  const aside = `${file}.${process.pid}.stale`;
  try {
    renameSync(file, aside);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return true;
    throw error;
  }
  if (holderOf(aside) !== holder) renameSync(aside, file);
  rmSync(aside, { force: true });
  return true;
}

/** @param {string} file @param {string} holder */
function isStale(file, holder) {
  const [pid, host] = holder.split(' ');
  if (pid && host === hostname() && !isAlive(Number(pid))) return true;
  try {
    return Date.now() - statSync(file).mtimeMs > STALE_MS;
  } catch {
    return false;
  }
}

/** @param {number} pid */
function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return codeOf(error) === 'EPERM';
  }
}

/** "pid host", or an empty text while the holder is still writing it. @param {string} file */
function holderOf(file) {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
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
