import { setTimeout as sleep } from 'node:timers/promises';
import { ListwiseError } from './errors.js';
import { writing } from './formats/writing.js';
import { type Holder, tryLock } from './setup/lock.js';
import { isRunning } from './setup/processes.js';

const ATTEMPTS = 20;

/**
 * Makes this process the only one that writes to a directory, until the result is disposed of. A lock that a dead
 * process left is taken over.
 * @param directory there already
 * @param options.file where the lock is
 * @param options.hint what else to say to those who find it taken
 * @throws ListwiseError BUSY naming the process that has it; WriteError if the lock cannot be written
 */
export async function lockOutput(
  directory: string,
  { file, hint = '' }: { file: string; hint?: string },
): Promise<Disposable> {
  for (let attempt = 1; ; attempt++) {
    const lock = await writing(file, async () => tryLock(file));
    if ('release' in lock) return { [Symbol.dispose]: lock.release };
    // A dead holder's lock is being taken over by another process, which then is the one to name.
    if (lock.holder && isRunning(lock.holder) === false && attempt < ATTEMPTS) await sleep(50);
    else throw busy(directory, lock.holder, hint);
  }
}

function busy(directory: string, holder: Holder | undefined, hint: string): ListwiseError {
  const who = holder ? `process ${holder.pid} on ${holder.host} since ${holder.since}` : 'another process';
  const isElsewhere = !holder || isRunning(holder) === undefined;
  const elsewhere = isElsewhere ? ' If that machine is down, it is free two minutes after its last sign of life.' : '';
  return new ListwiseError(
    'BUSY',
    `Expected a directory that no other run writes to, but ${directory} is in use by ${who}; wait for it or stop it, ` +
      `or give another output.${hint}${elsewhere}`,
  );
}
