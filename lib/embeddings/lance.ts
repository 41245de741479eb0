import { basename, dirname } from 'node:path';
import { ListwiseError } from '../errors.js';
import { breather } from '../event-loop.js';
import { makeDirectory } from '../formats/writing.js';
import type { EmbeddedTexts } from './target.js';

/** The part of LanceDB's client that is used; the package is the user's to install. */
interface Lance {
  connect(directory: string): Promise<{
    tableNames(): Promise<string[]>;
    createTable(name: string, rows: object[], options: { mode: 'overwrite' }): Promise<LanceTable>;
    openTable(name: string): Promise<LanceTable>;
  }>;
}

interface LanceTable {
  add(rows: object[]): Promise<unknown>;
  delete(where: string): Promise<unknown>;
  query(): { select(columns: string[]): { toArray(): Promise<{ id: string }[]> } };
}

/** Rows that go to LanceDB at a time. */
const BATCH = 2000;

/**
 * Writes embeddings to a LanceDB table with the columns `id`, `text` and `vector`; the table `passages` of the database
 * `data` is `data/passages.lance`.
 * @param isAppended whether to add to the table that is there; rows of ids that come again are replaced
 * @returns the ids that the table then holds, in its order
 * @throws ListwiseError SETUP if @lancedb/lancedb is not installed; `signal.reason` when aborted
 */
export async function writeLanceTable(
  path: string,
  { record, texts, values, signal }: EmbeddedTexts,
  isAppended: boolean,
): Promise<string[]> {
  const database = await connect(dirname(path));
  const name = basename(path, '.lance');
  const isThere = isAppended && (await database.tableNames()).includes(name);
  const { ids, dimension } = record;
  const breathe = breather(signal);
  let table = isThere ? await database.openTable(name) : undefined;
  for (let start = 0; start < ids.length; start += BATCH) {
    signal.throwIfAborted();
    const rows = ids.slice(start, start + BATCH).map((id, i) => ({
      ...{ id, text: texts[start + i] as string },
      vector: Array.from(values.subarray((start + i) * dimension, (start + i + 1) * dimension)),
    }));
    if (isThere) await table?.delete(`id IN (${rows.map(({ id }) => `'${id.replaceAll("'", "''")}'`).join(', ')})`);
    if (table) await table.add(rows);
    else table = await database.createTable(name, rows, { mode: 'overwrite' });
    await breathe();
  }
  const there = await (table as LanceTable).query().select(['id']).toArray();
  return there.map(({ id }) => id);
}

async function connect(directory: string): Promise<Awaited<ReturnType<Lance['connect']>>> {
  // A name that TypeScript does not look up: the package need not be there.
  const name: string = '@lancedb/lancedb';
  let lance: Lance;
  try {
    lance = (await import(name)) as Lance;
  } catch (cause) {
    throw new ListwiseError(
      'SETUP',
      'LanceDB tables need its client, which is not installed: run `npm install @lancedb/lancedb apache-arrow`, or ' +
        `write another format. (${(cause as Error).message.split('\n')[0]})`,
      { cause },
    );
  }
  await makeDirectory(directory);
  return lance.connect(directory);
}
