/** Raised through the session's signal when the user or the system asks the command to stop. */
export class Interrupted extends Error {
  constructor(readonly exitCode: number) {
    super('Stopped.');
    this.name = 'Interrupted';
  }
}

const EXIT_CODES = { SIGINT: 130, SIGTERM: 143 } as const;

/**
 * One AbortSignal for Ctrl-C and SIGTERM while `work` runs: the first asks it to stop cleanly, a second ends the
 * process at once.
 */
export async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>, onInterrupt: () => void): Promise<T> {
  const controller = new AbortController();
  const stop = (name: NodeJS.Signals) => {
    const code = EXIT_CODES[name as keyof typeof EXIT_CODES];
    if (controller.signal.aborted) process.exit(code);
    onInterrupt();
    controller.abort(new Interrupted(code));
  };
  for (const name of Object.keys(EXIT_CODES)) process.on(name, stop);
  try {
    return await work(controller.signal);
  } finally {
    for (const name of Object.keys(EXIT_CODES)) process.off(name, stop);
  }
}
