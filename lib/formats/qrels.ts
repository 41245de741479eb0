import { DataError, InvalidArgumentError } from '../errors.js';
import type { Qrels } from '../types.js';
import { type WriteOptions, writeLines } from './atomic.js';
import { type ReadOptions, readLines } from './lines.js';
import { requireColumn } from './trec.js';

const WHOLE_NUMBER = /^[+-]?\d+$/;
const BEIR_HEADER = 'query-id\tcorpus-id\tscore';

/**
 * Relevance judgements from a file in either layout, told apart by the first line: BEIR's (tab-separated query id,
 * passage id, grade, below an optional header) or TREC's (query id, iteration, passage id, grade, split by white
 * space). A judgement that stands twice with the same grade counts once.
 * @throws NotFoundError if the file is not there
 * @throws DataError naming the line: wrong columns, a grade that is no whole number, a second, different grade; or if
 *   there is no judgement
 */
export async function readQrelsFile(file: string, options: ReadOptions = {}): Promise<Qrels> {
  const { signal, expected = 'relevance judgements (BEIR .tsv or TREC qrels)' } = options;
  const qrels: Qrels = new Map();
  let layout: Layout | undefined;
  for await (const { text, line } of readLines(file, { signal, expected })) {
    if (text.trim() === '') continue;
    const first = layout === undefined;
    layout ??= sniff(text, file, line);
    const columns = layout.split(text);
    if (columns.length !== layout.columns) {
      const found = `${columns.length} column${columns.length === 1 ? '' : 's'}`;
      throw new DataError({ file, line }, `Expected ${layout.description} but found ${found}.`);
    }
    const [query, passage, grade] = layout.pick(columns) as [string, string, string];
    if (first && layout === BEIR && !WHOLE_NUMBER.test(grade)) continue;
    addJudgement(qrels, { query, passage, grade }, { file, line });
  }
  if (qrels.size === 0) throw new DataError({ file }, 'Expected relevance judgements but the file has none.');
  return qrels;
}

interface Layout {
  columns: number;
  description: string;
  split: (text: string) => string[];
  /** Query id, passage id, grade. */
  pick: (columns: string[]) => (string | undefined)[];
}

const BEIR: Layout = {
  columns: 3,
  description: '3 columns split by tabs (query-id, corpus-id, score)',
  split: (text) => text.split('\t').map((column) => column.trim()),
  pick: (columns) => columns,
};

const TREC: Layout = {
  columns: 4,
  description: '4 columns split by white space (query, iteration, passage, grade)',
  split: (text) => text.trim().split(/\s+/),
  pick: ([query, , passage, grade]) => [query, passage, grade],
};

function sniff(text: string, file: string, line: number): Layout {
  if (BEIR.split(text).length === BEIR.columns) return BEIR;
  if (TREC.split(text).length === TREC.columns) return TREC;
  throw new DataError({ file, line }, `Expected ${BEIR.description} or ${TREC.description} but the line has neither.`);
}

interface Judgement {
  query: string;
  passage: string;
  grade: string;
}

function addJudgement(qrels: Qrels, { query, passage, grade }: Judgement, place: { file: string; line: number }): void {
  if (query === '' || passage === '') {
    throw new DataError(
      place,
      `Expected a query id and a passage id but the ${query === '' ? 'first' : 'second'} is empty.`,
    );
  }
  if (!WHOLE_NUMBER.test(grade)) {
    throw new DataError(place, `Expected a whole number as the grade but found "${grade}".`);
  }
  const judged = qrels.get(query) ?? new Map<string, number>();
  qrels.set(query, judged);
  const before = judged.get(passage);
  if (before !== undefined && before !== Number(grade)) {
    throw new DataError(
      place,
      `Expected one grade for query "${query}" and passage "${passage}" but found ${grade} after ${before}.`,
    );
  }
  judged.set(passage, Number(grade));
}

/**
 * Writes judgements in TREC's layout, whole or not at all.
 * @throws InvalidArgumentError if an id is empty or has white space, which the layout cannot hold
 */
export async function writeTrecQrels(file: string, qrels: Qrels, options: WriteOptions = {}): Promise<void> {
  await writeLines(file, trecQrelsLines(qrels), options);
}

function* trecQrelsLines(qrels: Qrels): Generator<string> {
  for (const [query, judged] of qrels) {
    requireColumn('qrels', query);
    for (const [passage, grade] of judged) yield `${query} 0 ${requireColumn('qrels', passage)} ${grade}`;
  }
}

/**
 * Writes judgements in BEIR's layout, with its header, whole or not at all.
 * @throws InvalidArgumentError if an id is empty, has a tab or a line break, or white space at its ends
 */
export async function writeBeirQrels(file: string, qrels: Qrels, options: WriteOptions = {}): Promise<void> {
  await writeLines(file, beirQrelsLines(qrels), options);
}

function* beirQrelsLines(qrels: Qrels): Generator<string> {
  yield BEIR_HEADER;
  for (const [query, judged] of qrels) {
    for (const [passage, grade] of judged) {
      for (const id of [query, passage]) {
        if (id === '' || id !== id.trim() || /[\t\r\n]/.test(id)) {
          throw new InvalidArgumentError('qrels', 'ids without tabs, line breaks or white space at their ends', id);
        }
      }
      yield `${query}\t${passage}\t${grade}`;
    }
  }
}
