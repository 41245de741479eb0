import { basename, dirname } from 'node:path';
import type { Corpus } from '../corpus/corpus.js';
import { DataError, ListwiseError, NotFoundError } from '../errors.js';
import { breather } from '../event-loop.js';
import type { LongWork, Query, Run, ScoredPassage } from '../types.js';
import type { Embeddings } from './embeddings.js';
import type { CandidateRetriever } from './retrievers.js';

/** What of @lancedb/lancedb is used: it is an optional peer dependency, whose types need not be there. */
interface LanceQuery {
  distanceType(type: 'dot'): LanceQuery;
  fullTextSearch(text: string): LanceQuery;
  nearestTo(vector: Float32Array): LanceQuery;
  select(columns: string[]): LanceQuery;
  limit(count: number): LanceQuery;
  toArray(): Promise<Record<string, unknown>[]>;
}

interface LanceTable {
  query(): LanceQuery;
  schema(): Promise<{ fields: { name: string }[] }>;
  version(): Promise<number>;
  close(): void;
}

interface LanceModule {
  connect(
    directory: string,
  ): Promise<{ openTable(name: string): Promise<LanceTable>; tableNames(): Promise<string[]> }>;
}

const ID_COLUMNS = ['_id', 'id'];
/** Searches that the engine, which has threads of its own, gets at a time. */
const AT_ONCE = 8;

export interface LanceOptions {
  corpus: Corpus;
  /** The queries' embeddings, to search for the nearest vectors by inner product; without them the text is searched. */
  embedded?: Embeddings;
}

/**
 * Candidates from a LanceDB table (an embedded engine with indexes for vectors and for full text), for corpora beyond
 * exact search. The table has the corpus' ids in a column `_id` or `id`, vectors of the same model in a column of their
 * own, and for full text a full-text index.
 */
export class LanceRetriever implements CandidateRetriever {
  readonly #place: string;
  readonly #table: LanceTable;
  readonly #idColumn: string;

  private constructor(place: string, table: LanceTable, idColumn: string) {
    this.#place = place;
    this.#table = table;
    this.#idColumn = idColumn;
  }

  /**
   * @param place the database's directory and the table's name, as one path
   * @throws ListwiseError SETUP without the package, NotFoundError naming the tables there are, DataError for a
   *   table without ids
   */
  static async open(place: string): Promise<LanceRetriever> {
    const lancedb = await loadPackage();
    const [directory, name] = [dirname(place), basename(place).replace(/\.lance$/, '')];
    const database = await lancedb.connect(directory);
    const names = await database.tableNames();
    if (!names.includes(name)) {
      const there = names.length > 0 ? `its tables are: ${names.join(', ')}` : 'it has no tables';
      throw new NotFoundError(`Expected a LanceDB table ${name} in ${directory} but ${there}.`);
    }
    const table = await database.openTable(name);
    const columns = (await table.schema()).fields.map((field) => field.name);
    const idColumn = ID_COLUMNS.find((column) => columns.includes(column));
    if (idColumn) return new LanceRetriever(place, table, idColumn);
    throw new DataError({ file: place }, `Expected a column "_id" or "id" but the table has ${columns.join(', ')}.`);
  }

  /** Where the table lies, and beside it the record that `encode` writes of what its vectors are of. */
  static fileOf(place: string): string {
    return place.endsWith('.lance') ? place : `${place}.lance`;
  }

  /** The table's version, which rises with each change. */
  async version(): Promise<string> {
    return `version ${await this.#table.version()}`;
  }

  /**
   * @throws DataError for a passage that the corpus lacks, or what the engine refuses: vectors of another dimension, or
   *   a table without a full-text index
   */
  async search(
    queries: readonly Query[],
    depth: number,
    { corpus, embedded, signal, onProgress }: LanceOptions & LongWork,
  ): Promise<Run> {
    const run: Run = new Map();
    const breathe = breather(signal);
    for (let start = 0; start < queries.length; start += AT_ONCE) {
      signal?.throwIfAborted();
      const block = queries.slice(start, start + AT_ONCE);
      const found = await Promise.all(block.map((query) => this.#find(query, depth, embedded)));
      for (const [i, query] of block.entries()) run.set(query.id, this.#checked(found[i]!, query, corpus));
      onProgress?.({ stage: 'searching', done: run.size, total: queries.length, unit: 'queries' });
      await breathe();
    }
    return run;
  }

  async #find({ id, text }: Query, depth: number, embedded?: Embeddings): Promise<ScoredPassage[]> {
    const score = embedded ? '_distance' : '_score';
    const query = embedded
      ? this.#table.query().nearestTo(embedded.get(id)).distanceType('dot')
      : this.#table.query().fullTextSearch(text);
    const rows = await query
      .select([this.#idColumn, score])
      .limit(depth)
      .toArray()
      .catch((error: Error) => {
        const said = error.message.split('\n')[0];
        throw new DataError({ file: this.#place }, `LanceDB refuses to search for query "${id}": ${said}.`, {
          cause: error,
        });
      });
    // The engine's distance by inner product is 1 minus the product.
    const scoreOf = (row: Record<string, unknown>) => (embedded ? 1 - Number(row[score]) : Number(row[score]));
    return rows.map((row) => ({ id: String(row[this.#idColumn]), score: scoreOf(row) }));
  }

  #checked(found: ScoredPassage[], query: Query, corpus: Corpus): ScoredPassage[] {
    const foreign = found.find(({ id }) => !corpus.has(id));
    if (!foreign) return found;
    const problem = `Expected passages of the corpus but for query "${query.id}" it has "${foreign.id}"`;
    throw new DataError({ file: this.#place }, `${problem}; is it a table of another corpus?`);
  }

  [Symbol.dispose](): void {
    this.#table.close();
  }
}

const PACKAGE = '@lancedb/lancedb';

async function loadPackage(): Promise<LanceModule> {
  try {
    return (await import(PACKAGE)) as LanceModule;
  } catch (cause) {
    throw new ListwiseError(
      'SETUP',
      `Candidates from LanceDB need its client, which is not installed: run \`npm install ${PACKAGE} apache-arrow\`.`,
      { cause },
    );
  }
}
