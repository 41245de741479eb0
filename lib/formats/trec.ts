import { DataError, InvalidArgumentError } from '../errors.js';
import { breather } from '../event-loop.js';
import type { Run, ScoredPassage } from '../types.js';
import { type WriteOptions, writeLines } from './atomic.js';
import { type ReadOptions, readLines } from './lines.js';

interface RunEntry extends ScoredPassage {
  rank: number;
  line: number;
}

/**
 * A retriever's results in TREC's layout: query, "Q0", passage, rank, score, tag, split by white space. As in
 * trec_eval the score decides the order, highest first; the rank only orders equal scores.
 * @throws NotFoundError if the file is not there
 * @throws DataError naming the line: not 6 columns, a rank or score that is no number, a passage that a query has
 *   twice; or if there is no line
 */
export async function readTrecRun(file: string, options: ReadOptions = {}): Promise<Run> {
  const { signal, expected = 'a run in TREC layout' } = options;
  const entries = new Map<string, RunEntry[]>();
  for await (const { text, line } of readLines(file, { signal, expected })) {
    const columns = text.trim().split(/\s+/);
    if (columns.length === 1 && columns[0] === '') continue;
    const [query, entry] = parseEntry(columns, { file, line });
    const ranking = entries.get(query);
    if (ranking) ranking.push(entry);
    else entries.set(query, [entry]);
  }
  if (entries.size === 0) throw new DataError({ file }, 'Expected the lines of a run but the file has none.');
  const run: Run = new Map();
  const breathe = breather(signal);
  for (const [query, ranking] of entries) {
    run.set(query, order(ranking, query, file));
    await breathe();
  }
  return run;
}

function parseEntry(columns: string[], place: { file: string; line: number }): [string, RunEntry] {
  if (columns.length !== 6) {
    const found = `${columns.length} column${columns.length === 1 ? '' : 's'}`;
    throw new DataError(place, `Expected 6 columns (query, Q0, passage, rank, score, tag) but found ${found}.`);
  }
  const [query, , id, rank, score] = columns as [string, string, string, string, string];
  if (!Number.isFinite(Number(score))) {
    throw new DataError(place, `Expected a finite number as the score but found "${score}".`);
  }
  if (!Number.isFinite(Number(rank))) {
    throw new DataError(place, `Expected a number as the rank but found "${rank}".`);
  }
  return [query, { id, score: Number(score), rank: Number(rank), line: place.line }];
}

function order(ranking: RunEntry[], query: string, file: string): ScoredPassage[] {
  const lines = new Map<string, number>();
  for (const { id, line } of ranking) {
    const first = lines.get(id);
    if (first !== undefined) {
      throw new DataError(
        { file, line },
        `Expected each passage once a query but query "${query}" has "${id}" on line ${first} already.`,
      );
    }
    lines.set(id, line);
  }
  ranking.sort((a, b) => b.score - a.score || a.rank - b.rank);
  return ranking.map(({ id, score }) => ({ id, score }));
}

export interface WriteRunOptions extends WriteOptions {
  /** The last column: who made the run; 'listwise' by default. */
  tag?: string;
}

/**
 * Writes a run in TREC's layout, whole or not at all: ranks from 1, scores with all their digits, so that readTrecRun
 * gives back the same run.
 * @throws InvalidArgumentError if an id or the tag is empty or has white space, a score is not finite, or a ranking is
 *   not best first
 */
export async function writeTrecRun(file: string, run: Run, options: WriteRunOptions = {}): Promise<void> {
  const { tag = 'listwise', signal } = options;
  requireColumn('tag', tag);
  await writeLines(file, runLines(run, tag), { signal });
}

function* runLines(run: Run, tag: string): Generator<string> {
  for (const [query, ranking] of run) {
    requireColumn('run', query);
    let last = Infinity;
    for (const [index, { id, score }] of ranking.entries()) {
      if (!Number.isFinite(score)) {
        throw new InvalidArgumentError(`run (query "${query}", passage "${id}")`, 'a finite number as score', score);
      }
      if (score > last) {
        throw new InvalidArgumentError(`run (query "${query}")`, 'passages best first', `${score} after ${last}`);
      }
      last = score;
      yield `${query} Q0 ${requireColumn('run', id)} ${index + 1} ${score} ${tag}`;
    }
  }
}

/** An id as a column of TREC's layouts, which split at white space. @throws InvalidArgumentError if it cannot be one */
export function requireColumn(argument: string, text: string): string {
  if (text === '' || /\s/.test(text)) {
    throw new InvalidArgumentError(argument, 'ids without white space, as TREC files need', text);
  }
  return text;
}
