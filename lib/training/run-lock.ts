import { join } from 'node:path';
import { ListwiseError } from '../errors.js';
import { makeDirectory, writing } from '../formats/writing.js';
import { withLock } from '../setup/lock.js';

/**
 * Does work that has an output directory for itself. A process that was killed does not keep it.
 * @throws ListwiseError BUSY if another process has it; WriteError if it cannot be written to
 */
export async function withOutput<T>(output: string, work: () => Promise<T>): Promise<T> {
  await makeDirectory(output);
  let isHeld = false;
  const held = () => {
    isHeld = true;
    return work();
  };
  try {
    return await withLock(join(output, '.lock'), held, { onWait: (holder) => refuse(output, holder) });
  } catch (error) {
    if (isHeld) throw error;
    return writing(output, () => Promise.reject(error));
  }
}

function refuse(output: string, holder: string): never {
  const [process, host] = holder.split(' ');
  const who = process ? `process ${process} on ${host}` : 'another process';
  throw new ListwiseError(
    'BUSY',
    `Expected an output that no other run writes to, but ${who} trains into ${output}; wait for it, or give another output.`,
  );
}
