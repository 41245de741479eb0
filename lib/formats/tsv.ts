import { DataError } from '../errors.js';
import type { JsonLine } from './jsonl.js';
import { type ReadOptions, readLines } from './lines.js';

export interface TsvOptions extends ReadOptions {
  /** Names of columns that make the first line a header, if it has all of them. */
  header: readonly string[];
  /** Names of the columns of a file without a header, by their number. */
  columns: Readonly<Record<number, readonly string[]>>;
}

/**
 * The rows of a file of columns split by tabs, streamed, without quoting, as MS MARCO's collection.tsv is.
 * @throws NotFoundError if the file is not there
 * @throws DataError naming the line if it has another number of columns than the first line
 */
export async function* readTsv(file: string, options: TsvOptions): AsyncGenerator<JsonLine> {
  const { header, columns, ...reading } = options;
  let names: readonly string[] | undefined;
  for await (const { text, line, damaged } of readLines(file, { expected: 'a file of columns', ...reading })) {
    if (text === '') continue;
    const fields = text.split('\t');
    if (!names) {
      const isHeader = header.every((name) => fields.includes(name));
      names = isHeader ? fields : columns[fields.length];
      if (!names)
        throw new DataError({ file, line }, `Expected ${wanted(options)} but found ${fields.length} columns.`);
      if (isHeader) continue;
    }
    if (fields.length !== names.length) {
      const problem = `Expected ${names.length} columns split by tabs (${names.join(', ')}) but found ${fields.length}.`;
      throw new DataError({ file, line }, problem);
    }
    const value = Object.fromEntries(names.map((name, i) => [name, fields[i]]));
    yield { value, line, ...(damaged && { damaged }) };
  }
}

function wanted({ header, columns }: TsvOptions): string {
  const bare = Object.values(columns).map((names) => `${names.length} columns split by tabs (${names.join(', ')})`);
  return [`a header with ${header.map((name) => `"${name}"`).join(' and ')}`, ...bare].join(', or ');
}
