import { readLines } from '../formats/lines.js';

/** The ids in a text file, one a line; blank lines are passed over. @throws NotFoundError if it is not there */
export async function readIds(file: string, signal?: AbortSignal): Promise<string[]> {
  const ids: string[] = [];
  for await (const { text } of readLines(file, { signal, expected: 'a file of passage ids, one a line,' })) {
    if (text.trim() !== '') ids.push(text.trim());
  }
  return ids;
}
