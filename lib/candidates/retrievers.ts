import { basename } from 'node:path';
import type { Corpus } from '../corpus/corpus.js';
import { DataError, InvalidArgumentError } from '../errors.js';
import { readTrecRun } from '../formats/trec.js';
import type { LongWork, Query, Run } from '../types.js';

/** What finds candidates: the best passages of the corpus for each query, best first. */
export interface CandidateRetriever {
  search(queries: readonly Query[], depth: number, work: LongWork): Promise<Run>;
}

/** A retriever as the user names it, taken apart. */
export interface RetrieverChoice {
  kind: 'dense' | 'bm25' | 'model' | 'run';
  /** Of its files, and in counts. */
  name: string;
  /** The model's directory or Hub name, or the run's file. */
  place: string;
}

const EXPECTED = "'dense', 'bm25', 'model:<directory or Hub name>' or 'run:<file>'";

/**
 * Takes names of retrievers apart: `dense` (the model itself), `bm25`, `model:` with a further embedder's directory or
 * Hub name, `run:` with a file in TREC's layout that any tool made. Each gets a name of its own for its files.
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
  const match = typeof text === 'string' ? /^(model|run):(.+)$/s.exec(text) : null;
  if (match) return { kind: match[1] as 'model' | 'run', place: match[2]! };
  throw new InvalidArgumentError('retrievers', `one or more of ${EXPECTED}`, text);
}

/** Candidates that another tool found, from a file in TREC's layout. */
export class RunRetriever implements CandidateRetriever {
  readonly #file: string;
  readonly #corpus: Corpus;

  constructor(file: string, corpus: Corpus) {
    this.#file = file;
    this.#corpus = corpus;
  }

  /**
   * The file's first `depth` passages for each query; queries that it lacks get none.
   * @throws NotFoundError, DataError as readTrecRun; DataError for a passage that the corpus lacks, or if the file has
   *   none of the queries
   */
  async search(queries: readonly Query[], depth: number, { signal }: LongWork): Promise<Run> {
    const all = await readTrecRun(this.#file, { signal });
    const run: Run = new Map();
    for (const { id } of queries) {
      const ranking = all.get(id);
      if (!ranking) continue;
      run.set(id, ranking.slice(0, depth));
      const foreign = ranking.find((found) => !this.#corpus.has(found.id));
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
