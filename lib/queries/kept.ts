import type { Corpus } from '../corpus/corpus.js';
import { DataError, describe } from '../errors.js';
import { breather } from '../event-loop.js';
import { optionalString, readJsonl, requireArray, requireId, requireString, writeJsonl } from '../formats/jsonl.js';
import type { LongWork, Query } from '../types.js';
import type { WrittenQuery } from './written.js';

/**
 * Writes queries, `{"id", "type", "query"}` a line with "passage" (the source) or "relevant" (ids), and with "model" and
 * "promptHash" where a language model wrote it; whole or not at all.
 */
export async function writeRunQueries(
  file: string,
  queries: readonly (Query & Pick<WrittenQuery, 'model' | 'promptHash'>)[],
  { signal }: Pick<LongWork, 'signal'> = {},
): Promise<void> {
  const records = queries.map(({ id, source, relevant, type, text, model, promptHash }) => ({
    ...{ id, passage: source, relevant, type, query: text, model, promptHash },
  }));
  await writeJsonl(file, records, { signal });
}

/**
 * Reads queries as `writeRunQueries` writes them.
 * @throws NotFoundError if the file is not there
 * @throws DataError naming the line for missing fields or passages that are not in the corpus
 */
export async function readQueriesOfRun(
  file: string,
  { corpus, signal }: { corpus: Corpus } & Pick<LongWork, 'signal'>,
): Promise<Query[]> {
  const queries: Query[] = [];
  const breathe = breather(signal);
  for await (const { value, line } of readJsonl(file, { signal, expected: 'the queries of a run' })) {
    const place = { file, line };
    const known = (passage: unknown): string => {
      if (typeof passage === 'string' && corpus.has(passage)) return passage;
      throw new DataError(place, `Expected a passage of the corpus but found ${describe(passage)}.`);
    };
    const positives =
      value.relevant === undefined
        ? { source: known(requireId(value, 'passage', place)) }
        : { relevant: requireArray(value, 'relevant', place).map(known) };
    const type = optionalString(value, 'type', place);
    queries.push({ id: requireId(value, 'id', place), type, text: requireString(value, 'query', place), ...positives });
    await breathe();
  }
  return queries;
}
