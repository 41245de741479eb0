import { join, resolve } from 'node:path';
import { writeLines } from '../formats/atomic.js';
import { readRunFacts } from './facts.js';
import { reportPage } from './page.js';

export interface ReportOptions {
  signal?: AbortSignal;
}

/**
 * Writes report.html into a run directory: one self-contained page of what was run and what it gave. It is made from
 * the run's files alone, so it can be made again at any time, and of a run that is not complete.
 * @param directory the run directory, as specialize's `output`
 * @returns the page's path
 * @throws NotFoundError if there is no run; DataError if a file of it is broken; WriteError; `signal.reason` when aborted
 */
export async function writeReport(directory: string, { signal }: ReportOptions = {}): Promise<string> {
  const facts = await readRunFacts(resolve(directory), signal);
  const file = join(resolve(directory), 'report.html');
  await writeLines(file, [reportPage(facts)], signal ? { signal } : {});
  return file;
}
