import { basename } from 'node:path';
import type { Corpus } from '../corpus/corpus.js';
import { DataError, InvalidArgumentError } from '../errors.js';
import { readTrecRun } from '../formats/trec.js';
import type { LongWork, Query, Run } from '../types.js';

/** What finds candidates: the best passages of the corpus for each query, best first. */
export interface CandidateRetriever {
  search(queries: readonly Query[], depth: number, work: LongWork & { corpus: Corpus }): Promise<Run>;
}

/** A retriever as the user names it, taken apart. */
export interface RetrieverChoice {
  kind: 'dense' | 'bm25' | (typeof PLACED)[number];
  /** Of its files, and in counts. */
  name: string;
  /** The model's directory or Hub name, the run's file, or the directory and table of LanceDB. */
  place: string;
}

const PLACED = ['model', 'run', 'lancedb', 'lancedb-text'] as const;
const EXPECTED =
  "'dense', 'bm25', 'model:<directory or Hub name>', 'run:<file>', 'lancedb:<directory>/<table>' or " +
  "'lancedb-text:<directory>/<table>'";

/**
 * Takes names of retrievers apart: `dense` (the model itself), `bm25`, `model:` with a further embedder's directory or
 * Hub name, `run:` with a file in TREC's layout that any tool made, `lancedb:` and `lancedb-text:` with a table that has
 * the corpus' vectors or a full-text index. Each gets a name of its own for its files.
 * @throws InvalidArgumentError naming the first that is none, or comes twice
 */
export function parseRetrievers(given: unknown): RetrieverChoice[] {
  if (!Array.isArray(given) || given.length === 0) {
    throw new InvalidArgumentError('retrievers', `one or more of ${EXPECTED}`, given);
  }
  const choices: RetrieverChoice[] = [];
  for (const text of given) {
    const { kind, place } = parse(text);
    if (choices.some((other) => other.kind === kind && other.place === place)) {
      throw new InvalidArgumentError('retrievers', 'each retriever once', text);
    }
    const stem = place === '' ? kind : `${kind}-${basename(place).replace(/[^\w.-]/g, '_')}`;
    const alike = choices.filter(({ name }) => name === stem || name.startsWith(`${stem}+`)).length;
    choices.push({ kind, place, name: alike === 0 ? stem : `${stem}+${alike + 1}` });
  }
  return choices;
}

function parse(text: unknown): Pick<RetrieverChoice, 'kind' | 'place'> {
  if (text === 'dense' || text === 'bm25') return { kind: text, place: '' };
  const kind = PLACED.find(
    (name) => typeof text === 'string' && text.startsWith(`${name}:`) && text.length > name.length + 1,
  );
  if (kind) return { kind, place: (text as string).slice(kind.length + 1) };
  throw new InvalidArgumentError('retrievers', `one or more of ${EXPECTED}`, text);
}

/** Candidates that another tool found, from a file in TREC's layout. */
export class RunRetriever implements CandidateRetriever {
  readonly #file: string;

  constructor(file: string) {
    this.#file = file;
  }

  /**
   * The file's first `depth` passages for each query; queries that it lacks get none.
   * @throws NotFoundError, DataError as readTrecRun; DataError for a passage that the corpus lacks, or if the file has
   *   none of the queries
   */
  async search(
    queries: readonly Query[],
    depth: number,
    { corpus, signal }: LongWork & { corpus: Corpus },
  ): Promise<Run> {
    const all = await readTrecRun(this.#file, { signal });
    const run: Run = new Map();
    for (const { id } of queries) {
      const ranking = all.get(id);
      if (!ranking) continue;
      run.set(id, ranking.slice(0, depth));
      const foreign = ranking.find((found) => !corpus.has(found.id));
      if (foreign) {
        const problem = `Expected passages of the corpus but for query "${id}" it has "${foreign.id}"`;
        throw new DataError({ file: this.#file }, `${problem}; is it a run over another corpus?`);
      }
    }
    if (run.size > 0) return run;
    const sample = queries[0] ? ` (such as "${queries[0].id}")` : '';
    throw new DataError(
      { file: this.#file },
      `Expected results for the queries of queries.jsonl${sample} but has none.`,
    );
  }
}
