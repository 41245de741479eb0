import type { Corpus } from '../corpus/corpus.js';
import { DataError, describe } from '../errors.js';
import { breather } from '../event-loop.js';
import { type JsonLine, optionalString, readJsonl, requireId, requireString } from '../formats/jsonl.js';
import type { LongWork, Query } from '../types.js';
import { cleanReply } from './reply.js';

/** A query written for a passage, the id of which is its `source`. */
export interface WrittenQuery extends Query {
  source: string;
}

export interface WrittenQueries {
  /** In the file's order. */
  queries: WrittenQuery[];
  /** Lines whose query was empty after cleaning. */
  failed: { line: number; source: string; type?: string }[];
}

/**
 * Reads queries that were written for passages, one `{"passage", "type", "query"}` a line: the passage's id, the
 * query's type (may be absent) and its text, cleaned as an LLM's reply is. An `"id"` may be given; else the id is
 * `passage:type`, with `:2`, `:3`, ... for further queries of the same passage and type in the file's order.
 * @throws NotFoundError if the file is not there
 * @throws DataError naming the line for broken JSON, missing fields, a passage that is not in the corpus, or an id that
 * came before
 */
export async function readWrittenQueries(
  file: string,
  { corpus, signal, onProgress }: { corpus: Corpus } & LongWork,
): Promise<WrittenQueries> {
  const result: WrittenQueries = { queries: [], failed: [] };
  const lines = new Map<string, number>();
  const places = new Map<string, number>();
  const breathe = breather(signal);
  for await (const { value, line } of readJsonl(file, { signal, expected: 'a JSON Lines file of written queries' })) {
    const { id, ...query } = parse({ value, line }, file, corpus);
    if (query.text === '') {
      result.failed.push({ line, source: query.source, type: query.type });
      continue;
    }
    const unique = id ?? madeId(query, places);
    const earlier = lines.get(unique);
    if (earlier !== undefined) {
      const problem = `Expected an id of its own but ${describe(unique)} is also the id of line ${earlier}.`;
      throw new DataError({ file, line, field: 'id' }, problem);
    }
    lines.set(unique, line);
    result.queries.push({ id: unique, ...query });
    const pause = breathe();
    if (!pause) continue;
    onProgress?.({ stage: 'queries', done: result.queries.length, total: 0, unit: 'queries' });
    await pause;
  }
  if (result.queries.length > 0) return result;
  throw new DataError({ file }, 'Expected at least one query, as {"passage", "type", "query"} a line, but found none.');
}

type Parsed = Omit<WrittenQuery, 'id'> & { id?: string };

function parse({ value, line }: JsonLine, file: string, corpus: Corpus): Parsed {
  const place = { file, line };
  const source = requireId(value, 'passage', place);
  if (!corpus.has(source)) {
    const problem = `Expected the id of a passage of the corpus (${corpus.size} passages) but found ${describe(source)}.`;
    throw new DataError({ ...place, field: 'passage' }, problem);
  }
  const type = optionalString(value, 'type', place);
  if (type === '')
    throw new DataError({ ...place, field: 'type' }, 'Expected a query type, or no such field, but found "".');
  const id = value.id === undefined || value.id === null ? undefined : requireId(value, 'id', place);
  return { id, source, type, text: cleanReply(requireString(value, 'query', place)) };
}

/** Runs are files of columns, so the made ids hold no white space. */
function madeId({ source, type }: Omit<WrittenQuery, 'id'>, places: Map<string, number>): string {
  const base = `${source}:${type ?? 'query'}`.replace(/\s+/g, '_');
  const place = (places.get(base) ?? 0) + 1;
  places.set(base, place);
  return place === 1 ? base : `${base}:${place}`;
}
