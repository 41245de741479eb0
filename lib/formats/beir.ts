import { readdir, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { DataError, NotFoundError } from '../errors.js';
import type { Passage, Qrels, Query } from '../types.js';
import { COMPRESSED, withoutCompression } from './bytes.js';
import { type JsonLine, optionalString, type RecordPlace, readJsonl, requireId, requireString } from './jsonl.js';
import type { ReadOptions } from './lines.js';
import { readQrelsFile } from './qrels.js';

/** A test collection in memory. */
export interface TestCollection {
  corpus: Passage[];
  /** The judged queries. */
  queries: Query[];
  qrels: Qrels;
}

export interface BeirOptions extends Pick<ReadOptions, 'signal'> {
  /** Which judgements: the name of a file in `qrels`, without `.tsv`; 'test' by default. */
  split?: string;
}

/**
 * Reads a directory in BEIR's layout: `corpus.jsonl`, `queries.jsonl`, `qrels/<split>.tsv`, each also as .gz or .zst. Of the queries only the
 * judged ones are kept. Judged passages that the corpus lacks are allowed, as some of BEIR's own sets have them.
 * @throws NotFoundError if a file is not there, naming the splits there are
 * @throws DataError naming file and line where one is broken, if a judged query is not in `queries.jsonl`, or if not
 *   one judged passage is in the corpus
 * @see Thakur et al. 2021, BEIR, arXiv:2104.08663
 */
export async function readBeir(directory: string, options: BeirOptions = {}): Promise<TestCollection> {
  const { signal } = options;
  const { queries, qrels } = await readJudgedQueries(directory, options);
  const corpus: Passage[] = [];
  for await (const passage of readCorpus(directory, { signal })) corpus.push(passage);
  const judged = judgedPassages(qrels);
  if (!corpus.some(({ id }) => judged.has(id))) throw noJudgedPassage(directory);
  return { corpus, queries, qrels };
}

/** The judged queries of a BEIR directory with their judgements, without its corpus. @throws as readBeir */
export async function readJudgedQueries(
  directory: string,
  { split = 'test', signal }: BeirOptions = {},
): Promise<Omit<TestCollection, 'corpus'>> {
  const qrels = await readQrels(directory, split, { signal });
  const judged = new Set(qrels.keys());
  const queries = (await readQueries(directory, { signal })).filter((query) => judged.delete(query.id));
  const [unknown] = judged;
  if (unknown === undefined) return { queries, qrels };
  throw new DataError(
    { file: join(directory, 'qrels', `${split}.tsv`) },
    `Expected every judged query in queries.jsonl but "${unknown}" is not there (${judged.size} such queries).`,
  );
}

/** Ids of all passages that are judged for any query. */
export function judgedPassages(qrels: Qrels): Set<string> {
  return new Set([...qrels.values()].flatMap((grades) => [...grades.keys()]));
}

/** What to say of a corpus that has not one judged passage. */
export function noJudgedPassage(directory: string): DataError {
  return new DataError(
    { file: join(directory, 'corpus.jsonl') },
    'Expected the judged passages but has none of them; corpus and qrels are of different collections or ids.',
  );
}

/**
 * The passages of a corpus file, streamed: JSON Lines with `_id`, `text` and, if there are titles, `title`. Ids that
 * are numbers become strings.
 * @param path the file, or a directory that has it as `corpus.jsonl`
 * @throws NotFoundError if there is no such file
 * @throws DataError naming the line: broken JSON, a missing field, an id that came before; or if there is no passage
 */
export async function* readCorpus(path: string, options: ReadOptions = {}): AsyncGenerator<Passage> {
  const { signal, expected = 'a corpus in JSON Lines' } = options;
  const file = await beirFile(path, 'corpus.jsonl');
  const ids = new UniqueIds(file);
  for await (const { value, line } of readJsonl(file, { signal, expected })) {
    const place = { file, line };
    const id = ids.add({ value, line });
    yield { id, title: optionalString(value, 'title', place) ?? '', text: requireString(value, 'text', place) };
  }
  ids.checkSome('{"_id": "1", "title": "...", "text": "..."}');
}

/**
 * The queries of a file: JSON Lines with `_id` and `text`, in the order of the file. Ids that are numbers become
 * strings. `type` and `source` are taken where they are strings.
 * @param path the file, or a directory that has it as `queries.jsonl`
 * @throws NotFoundError, DataError as readCorpus; an empty `text` too is an error
 */
export async function readQueries(path: string, options: ReadOptions = {}): Promise<Query[]> {
  const { signal, expected = 'queries in JSON Lines' } = options;
  const file = await beirFile(path, 'queries.jsonl');
  const ids = new UniqueIds(file);
  const queries: Query[] = [];
  for await (const { value, line } of readJsonl(file, { signal, expected })) {
    queries.push(toQuery(ids.add({ value, line }), value, { file, line }));
  }
  ids.checkSome('{"_id": "1", "text": "..."}');
  return queries;
}

function toQuery(id: string, value: JsonLine['value'], place: RecordPlace): Query {
  const text = requireString(value, 'text', place);
  if (text.trim() === '') {
    throw new DataError({ ...place, field: 'text' }, `Expected the text of query "${id}" but it is empty.`);
  }
  const query: Query = { id, text };
  if (typeof value.type === 'string') query.type = value.type;
  if (typeof value.source === 'string') query.source = value.source;
  return query;
}

/**
 * The judgements of one split of a BEIR directory.
 * @throws NotFoundError if there is no such split, naming those there are
 * @throws DataError naming the line where the file is broken
 */
export async function readQrels(directory: string, split = 'test', options: ReadOptions = {}): Promise<Qrels> {
  const file = await presentFile(join(directory, 'qrels', `${split}.tsv`));
  if (!(await kindOf(file))) throw new NotFoundError(await explainMissingSplit(directory, split));
  return readQrelsFile(file, options);
}

async function explainMissingSplit(directory: string, split: string): Promise<string> {
  if ((await kindOf(directory)) !== 'directory') {
    const layout = `corpus.jsonl, queries.jsonl, qrels/${split}.tsv`;
    return `Expected a BEIR directory (${layout}) at ${directory} but there is none; check the path.`;
  }
  const names = await readdir(join(directory, 'qrels')).catch(() => []);
  const splits = names
    .map(withoutCompression)
    .filter((name) => name.endsWith('.tsv'))
    .map((name) => basename(name, '.tsv'))
    .sort();
  const there = splits.length > 0 ? `the splits there are: ${splits.join(', ')}` : 'it has no qrels/*.tsv at all';
  return `Expected the judgements of split "${split}" at ${join(directory, 'qrels', `${split}.tsv`)} but ${there}.`;
}

/** A file of a BEIR directory, or where it is not there the same compressed; a path of anything else as it is. */
export async function beirFile(path: string, name: string): Promise<string> {
  return (await kindOf(path)) === 'directory' ? presentFile(join(path, name)) : path;
}

/** The file, or where it is not there the same compressed. */
async function presentFile(file: string): Promise<string> {
  for (const candidate of [file, ...COMPRESSED.map((ending) => file + ending)]) {
    if (await kindOf(candidate)) return candidate;
  }
  return file;
}

async function kindOf(path: string): Promise<'file' | 'directory' | undefined> {
  const stats = await stat(path).catch(() => undefined);
  if (!stats) return undefined;
  return stats.isDirectory() ? 'directory' : 'file';
}

/** The `_id`s of a file, each allowed once. */
class UniqueIds {
  readonly #lines = new Map<string, number>();

  constructor(readonly file: string) {}

  add({ value, line }: JsonLine): string {
    const id = requireId(value, '_id', { file: this.file, line });
    const first = this.#lines.get(id);
    if (first !== undefined) {
      throw new DataError(
        { file: this.file, line, field: '_id' },
        `Expected ids that stand once but "${id}" stands on line ${first} already.`,
      );
    }
    this.#lines.set(id, line);
    return id;
  }

  checkSome(example: string): void {
    if (this.#lines.size > 0) return;
    throw new DataError(
      { file: this.file },
      `Expected one JSON object a line, such as ${example}, but the file is empty.`,
    );
  }
}
