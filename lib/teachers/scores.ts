import { DataError } from '../errors.js';
import { breather } from '../event-loop.js';
import { readJsonl, requireId, requireNumber, writeJsonl } from '../formats/jsonl.js';
import type { LongWork } from '../types.js';
import type { TeacherScores } from './teacher.js';

/**
 * Writes teacher scores, `{"query", "passage", "score"}` a line, whole or not at all.
 * @returns how many pairs were written
 */
export function writeTeacherScores(
  file: string,
  scores: Iterable<TeacherScores> | AsyncIterable<TeacherScores>,
  { signal }: Pick<LongWork, 'signal'> = {},
): Promise<number> {
  return writeJsonl(file, pairs(scores), { signal });
}

async function* pairs(scores: Iterable<TeacherScores> | AsyncIterable<TeacherScores>): AsyncGenerator<object> {
  for await (const { query, passages } of scores) {
    for (const { id, score } of passages) yield { query, passage: id, score };
  }
}

/**
 * Reads teacher scores as `writeTeacherScores` writes them: the lines of a query stand together.
 * @throws NotFoundError if the file is not there
 * @throws DataError naming the line for anything that is no score, or a query whose lines do not stand together
 */
export async function* readTeacherScores(
  file: string,
  { signal }: Pick<LongWork, 'signal'> = {},
): AsyncGenerator<TeacherScores> {
  const breathe = breather(signal);
  const seen = new Set<string>();
  let current: TeacherScores | undefined;
  for await (const { value, line } of readJsonl(file, { signal, expected: 'a JSON Lines file of teacher scores' })) {
    const place = { file, line };
    const query = requireId(value, 'query', place);
    if (query !== current?.query) {
      if (current) yield current;
      if (seen.has(query)) {
        throw new DataError(place, `Expected the scores of query "${query}" in one block but others stand between.`);
      }
      seen.add(query);
      current = { query, passages: [] };
    }
    current.passages.push({ id: requireId(value, 'passage', place), score: requireNumber(value, 'score', place) });
    await breathe();
  }
  if (current) yield current;
}
