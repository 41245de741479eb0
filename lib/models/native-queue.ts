import { setMaxListeners } from 'node:events';
import { ListwiseError } from '../errors.js';

/**
 * Lets one caller at a time use a native object, in the order they came. The object itself would refuse a second
 * use as BUSY.
 */
export class NativeQueue {
  readonly #owner: string;
  readonly #closed = new AbortController();
  #last: Promise<unknown> = Promise.resolve();

  /** @param owner what the queue belongs to, for the message of DISPOSED */
  constructor(owner: string) {
    this.#owner = owner;
    // Every call that waits listens, and there may be many.
    setMaxListeners(0, this.#closed.signal);
  }

  /**
   * Runs `work` once those before it have ended. Its signal fires with the caller's, or when the queue is closed.
   * @throws ListwiseError DISPOSED once the queue is closed; `signal.reason` if the signal fires while waiting
   */
  async run<T>(work: (signal: AbortSignal) => Promise<T>, signal?: AbortSignal): Promise<T> {
    const closed = this.#closed.signal;
    closed.throwIfAborted();
    const either = eitherSignal(closed, signal);
    const before = this.#last;
    let leave!: () => void;
    const left = new Promise<void>((resolve) => {
      leave = resolve;
    });
    this.#last = before.then(() => left);
    try {
      await orAborted(before, either.signal);
      return await work(either.signal);
    } finally {
      either.unlink();
      leave();
    }
  }

  /** Refuses further work, stops what runs, and resolves when nothing runs any more. */
  async close(): Promise<void> {
    this.#closed.abort(
      new ListwiseError(
        'DISPOSED',
        `This ${this.#owner} has been disposed of and cannot be used again; load a new one.`,
      ),
    );
    await this.#last;
  }

  get isClosed(): boolean {
    return this.#closed.signal.aborted;
  }
}

/** Like AbortSignal.any, but leaves nothing behind on a signal that outlives the call. */
function eitherSignal(first: AbortSignal, second?: AbortSignal): { signal: AbortSignal; unlink: () => void } {
  if (!second) return { signal: first, unlink: () => {} };
  const either = new AbortController();
  const links = [first, second].map((source) => ({ source, abort: () => either.abort(source.reason) }));
  for (const { source, abort } of links) {
    if (source.aborted) abort();
    else source.addEventListener('abort', abort, { once: true });
  }
  return {
    signal: either.signal,
    unlink: () => {
      for (const { source, abort } of links) source.removeEventListener('abort', abort);
    },
  };
}

function orAborted(promise: Promise<unknown>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    if (signal.aborted) return abort();
    signal.addEventListener('abort', abort, { once: true });
    promise.then(() => {
      signal.removeEventListener('abort', abort);
      resolve();
    });
  });
}
