/** Longest stretch of work between two turns of the event loop, in milliseconds. */
const STRETCH = 20;

/**
 * For loops that may run long in JavaScript: call the result in each round and await what it returns, if anything.
 * Every 20 ms it lets timers and input run, then checks the signal.
 * @example
 * const breathe = breather(signal);
 * for (const item of items) {
 *   await breathe();
 *   work(item);
 * }
 * @throws `signal.reason`, from the promise, once the signal has fired
 */
export function breather(signal?: AbortSignal): () => Promise<void> | undefined {
  let last = performance.now();
  return () => {
    if (performance.now() - last < STRETCH) return undefined;
    return new Promise<void>((resolve, reject) => {
      setImmediate(() => {
        last = performance.now();
        if (signal?.aborted) reject(signal.reason);
        else resolve();
      });
    });
  };
}
