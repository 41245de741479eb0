import { createInterface } from 'node:readline/promises';

/** What a question can be asked on. */
export interface Terminal {
  input: NodeJS.ReadableStream & { isTTY?: boolean | undefined };
  output: NodeJS.WritableStream & { isTTY?: boolean | undefined };
}

/** Asks for yes or no on a terminal, no being the default; undefined where there is nobody to ask. */
export async function ask(
  question: string,
  { input, output }: Terminal,
  signal?: AbortSignal,
): Promise<boolean | undefined> {
  if (!input.isTTY || !output.isTTY) return undefined;
  const lines = createInterface({ input, output });
  // Ctrl-C reaches readline first here; it is for those who listen to the process.
  lines.on('SIGINT', () => process.kill(process.pid, 'SIGINT'));
  try {
    const answer = await lines.question(`${question} [y/N] `, signal ? { signal } : {});
    return /^\s*y(es)?\s*$/i.test(answer);
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    throw error;
  } finally {
    lines.close();
  }
}
