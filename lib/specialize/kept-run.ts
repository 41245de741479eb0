import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { readJsonl, writeJsonl } from '../formats/jsonl.js';
import type { LongWork, Query, Run, ScoredPassage } from '../types.js';
import type { PartialWork } from './partial-work.js';

/** Queries that are searched for before what was found for them is kept. */
const BLOCK_QUERIES = 1024;

export interface KeptRunOptions extends LongWork {
  /** Under which the blocks are kept, apart from those of other runs. */
  name: string;
  partial: PartialWork;
  /** Searches for a block of the queries, the first of which is query number `start` of all. */
  search: (queries: readonly Query[], start: number, work: LongWork) => Promise<Run>;
}

/** Searches for queries block by block; a block that an earlier process kept is read and not searched for again. */
export async function keptRun(queries: readonly Query[], options: KeptRunOptions): Promise<Run> {
  const { name, partial, search, signal, onProgress } = options;
  const run: Run = new Map();
  for (let start = 0; start < queries.length; start += BLOCK_QUERIES) {
    const block = queries.slice(start, start + BLOCK_QUERIES);
    const file = join(partial.directory, `${name}-${start}.jsonl`);
    const report: LongWork['onProgress'] =
      onProgress && ((one) => onProgress({ ...one, done: start + one.done, total: queries.length }));
    let found = await readBlock(file, signal);
    if (!found) {
      found = await search(block, start, { signal, onProgress: report });
      const records = Array.from(found, ([query, ranking]) => ({ query, ranking }));
      await writeJsonl(file, records, { signal });
    }
    for (const [query, ranking] of found) run.set(query, ranking);
  }
  return run;
}

async function readBlock(file: string, signal?: AbortSignal): Promise<Run | undefined> {
  const isThere = await stat(file).catch(() => undefined);
  if (!isThere) return undefined;
  const run: Run = new Map();
  for await (const { value } of readJsonl(file, { signal })) {
    const { query, ranking } = value as unknown as { query: string; ranking: ScoredPassage[] };
    run.set(query, ranking);
  }
  return run;
}
