import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Corpus } from '../corpus/corpus.js';
import { passageText } from '../corpus/passage.js';
import { DataError, describe, NotFoundError } from '../errors.js';
import { readQrels, readQueries } from '../formats/beir.js';
import { optionalString, readJsonl, requireString } from '../formats/jsonl.js';
import { readLines } from '../formats/lines.js';
import type { OwnExample } from './query-type.js';

export interface ExampleQueriesOptions {
  corpus: Corpus;
  /** Queries that must not be shown, such as those of the test set. */
  hidden?: ReadonlySet<string>;
  signal?: AbortSignal;
}

export interface ExampleQueries {
  examples: OwnExample[];
  /** How many were left out because they are hidden. */
  hidden: number;
}

/**
 * Reads the user's own queries, as examples for prompts. Three kinds of source:
 * - JSON Lines of {"query", "passage"?, "type"?}: `passage` is the id of a passage of the corpus that answers it, `type`
 *   the type of query that it is an example of;
 * - a BEIR directory with queries.jsonl and qrels/train.tsv: each query with a passage judged relevant;
 * - a text file (.txt) with one query a line.
 * @throws NotFoundError, DataError for files, and for ids that are not in the corpus
 */
export async function readExampleQueries(source: string, options: ExampleQueriesOptions): Promise<ExampleQueries> {
  const { hidden = new Set<string>() } = options;
  const found = await stat(source).catch((cause: unknown) => {
    throw new NotFoundError(`Expected example queries at ${source} but there is no such file or directory.`, { cause });
  });
  const all: OwnExample[] = [];
  const entries = found.isDirectory() ? fromBeir(source, options) : fromFile(source, options);
  for await (const example of entries) all.push(example);
  if (all.length === 0) throw new DataError({ file: source }, 'Expected at least one example query but found none.');
  const examples = all.filter(({ query }) => !hidden.has(query));
  if (examples.length > 0) return { examples, hidden: all.length - examples.length };
  const problem = `All ${all.length} example queries are queries of the test set, which must not be shown; give others.`;
  throw new DataError({ file: source }, problem);
}

async function* fromFile(file: string, { corpus, signal }: ExampleQueriesOptions): AsyncGenerator<OwnExample> {
  if (file.endsWith('.txt')) {
    for await (const { text } of readLines(file, { signal, expected: 'a text file of queries' })) {
      if (text.trim() !== '') yield { query: text.trim() };
    }
    return;
  }
  for await (const { value, line } of readJsonl(file, { signal, expected: 'a JSON Lines file of queries' })) {
    const place = { file, line };
    const query = requireString(value, 'query', place).trim();
    if (query === '') throw new DataError({ ...place, field: 'query' }, 'Expected a query but found an empty text.');
    const id = optionalString(value, 'passage', place);
    const passage = id === undefined ? undefined : corpus.get(id);
    if (id !== undefined && !passage) {
      const problem = `Expected the id of a passage of the corpus (${corpus.size} passages) but found ${describe(id)}.`;
      throw new DataError({ ...place, field: 'passage' }, problem);
    }
    const type = optionalString(value, 'type', place);
    yield { query, type, ...(passage && { passage: passageText(passage) }) };
  }
}

/** Each judged query of the training split with the passage of the highest grade, the first of equals. */
async function* fromBeir(directory: string, { corpus, signal }: ExampleQueriesOptions): AsyncGenerator<OwnExample> {
  const qrels = await readQrels(directory, 'train', { signal });
  for await (const { id, text } of await readQueries(join(directory, 'queries.jsonl'), { signal })) {
    const judged = [...(qrels.get(id) ?? [])].filter(([passage, grade]) => grade > 0 && corpus.has(passage));
    if (judged.length === 0) continue;
    const [best] = judged.reduce((a, b) => (b[1] > a[1] ? b : a));
    yield { query: text, passage: passageText(corpus.get(best)!) };
  }
}
