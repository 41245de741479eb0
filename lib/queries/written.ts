import type { Corpus } from '../corpus/corpus.js';
import { DataError, describe } from '../errors.js';
import { breather } from '../event-loop.js';
import {
  type JsonLine,
  optionalString,
  type RecordPlace,
  readJsonl,
  requireId,
  requireString,
} from '../formats/jsonl.js';
import type { LongWork, Query } from '../types.js';
import { cleanReply } from './reply.js';

/** A query written for a passage, the id of which is its `source`. */
export interface WrittenQuery extends Query {
  source: string;
  /** The model that wrote it, and the SHA-256 of what that was told; there where the file says so. */
  model?: string;
  promptHash?: string;
}

export interface WrittenQueries {
  /** In the file's order. */
  queries: WrittenQuery[];
  /** Lines whose query was empty after cleaning. */
  failed: { file: string; line: number; source: string; type?: string }[];
}

/**
 * Reads queries that were written for passages, one `{"passage", "type", "query"}` a line: the passage's id, the
 * query's type (may be absent) and its text, cleaned as an LLM's reply is. An `"id"` may be given; else the id is
 * `passage:type`, with `:2`, `:3`, ... for further queries of the same passage and type in the order of the files.
 * @throws NotFoundError if the file is not there
 * @throws DataError naming the line for broken JSON, missing fields, a passage that is not in the corpus, or an id that
 * came before
 */
export async function readWrittenQueries(
  source: string | readonly string[],
  { corpus, signal, onProgress }: { corpus: Corpus } & LongWork,
): Promise<WrittenQueries> {
  const files = typeof source === 'string' ? [source] : source;
  const result: WrittenQueries = { queries: [], failed: [] };
  const ids = new QueryIds();
  const breathe = breather(signal);
  for (const file of files) {
    for await (const { value, line } of readJsonl(file, { signal, expected: 'a JSON Lines file of written queries' })) {
      const query = parse({ value, line }, file, corpus);
      if (query.text === '') result.failed.push({ file, line, source: query.source, type: query.type });
      else result.queries.push(ids.add(query, { file, line }));
      const pause = breathe();
      if (!pause) continue;
      onProgress?.({ stage: 'queries', done: result.queries.length, total: 0, unit: 'queries' });
      await pause;
    }
  }
  if (result.queries.length > 0) return result;
  const problem = 'Expected at least one query, as {"passage", "type", "query"} a line, but found none.';
  throw new DataError({ file: files.join(', ') }, problem);
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
  const text = cleanReply(requireString(value, 'query', place));
  const { model, promptHash } = value;
  return {
    ...{ id, source, type, text },
    ...(typeof model === 'string' && { model }),
    ...(typeof promptHash === 'string' && { promptHash }),
  };
}

/** Ids that are unique over several files. */
class QueryIds {
  readonly #places = new Map<string, RecordPlace>();
  readonly #made = new Map<string, number>();

  add({ id, ...query }: Parsed, place: RecordPlace): WrittenQuery {
    const unique = id ?? this.#make(query);
    const earlier = this.#places.get(unique);
    if (earlier !== undefined) {
      const where = earlier.file === place.file ? `line ${earlier.line}` : `${earlier.file}:${earlier.line}`;
      const problem = `Expected an id of its own but ${describe(unique)} is also the id of ${where}.`;
      throw new DataError({ ...place, field: 'id' }, problem);
    }
    this.#places.set(unique, place);
    return { id: unique, ...query };
  }

  /** Runs are UTF-8 files of columns, so the made ids hold no white space and no halves of surrogate pairs. */
  #make({ source, type }: Parsed): string {
    const base = `${source}:${type ?? 'query'}`.replace(/\s+/g, '_').toWellFormed();
    for (;;) {
      const place = (this.#made.get(base) ?? 0) + 1;
      this.#made.set(base, place);
      const id = place === 1 ? base : `${base}:${place}`;
      // A type may end as a made id does.
      if (!this.#places.has(id)) return id;
    }
  }
}
