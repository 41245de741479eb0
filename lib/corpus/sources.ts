import { DataError, describe, InvalidArgumentError } from '../errors.js';
import { readCsv } from '../formats/csv.js';
import {
  type JsonLine,
  type JsonRecord,
  optionalString,
  readJsonl,
  requireRawId,
  requireString,
} from '../formats/jsonl.js';
import type { ReadOptions } from '../formats/lines.js';
import { readParquet } from '../formats/parquet.js';
import { readTsv } from '../formats/tsv.js';
import type { Passage } from '../types.js';
import { type CorpusFormat, type CorpusPlace, corpusFormats, findCorpusFiles } from './places.js';
import { type SplitOptions, settleSplitOptions, splitFile } from './text-files.js';

/** How the files of a corpus are read. */
export interface CorpusFileOptions extends SplitOptions {
  /** What the files are; by default their names say it. */
  corpusFormat?: CorpusFormat;
  /** Name of the field or column with the ids. Default '_id', or 'id' where there is no '_id'. */
  idField?: string;
  /** Name of the field with the titles, if there are any. Default 'title'. */
  titleField?: string;
  /** Name of the field with the texts. Default 'text'. */
  textField?: string;
}

/** Names of CorpusFileOptions, for refusing others. */
export const corpusFileOptionNames = [
  ...['corpusFormat', 'idField', 'titleField', 'textField'],
  ...['splitTokens', 'splitOverlap', 'countTokens'],
] as const;

/** A passage as it stands in a file. */
export interface PlacedPassage extends Passage {
  file: string;
  /** 1-based; of a Parquet file the number of the row. */
  line: number;
  /** There were bytes that are not UTF-8, now U+FFFD. */
  damaged?: boolean;
}

/** @throws InvalidArgumentError for an option that cannot be */
export function settleFileOptions<T extends CorpusFileOptions>(options: T): T {
  const { corpusFormat } = options;
  if (corpusFormat !== undefined && !corpusFormats.includes(corpusFormat)) {
    throw new InvalidArgumentError('corpusFormat', `one of ${corpusFormats.join(', ')}`, corpusFormat);
  }
  for (const name of ['idField', 'titleField', 'textField'] as const) {
    const value: unknown = options[name];
    if (value !== undefined && (typeof value !== 'string' || value === '')) {
      throw new InvalidArgumentError(name, 'the name of a field', value);
    }
  }
  settleSplitOptions(options);
  return options;
}

/**
 * The passages of a corpus as its files have them, streamed: ids that come twice and texts without words included.
 * @param path a file, a directory, or a path whose last part has `*`; see `findCorpusFiles`
 * @throws NotFoundError if there is nothing to read; DataError naming file and line
 */
export async function* readPlaced(
  path: string,
  options: CorpusFileOptions & ReadOptions = {},
): AsyncGenerator<PlacedPassage> {
  yield* readPlace(await findCorpusFiles(path, options.corpusFormat), options);
}

/** Those of files that were found already. */
export async function* readPlace(
  place: CorpusPlace,
  options: CorpusFileOptions & ReadOptions = {},
): AsyncGenerator<PlacedPassage> {
  settleFileOptions(options);
  for (const file of place.files) {
    if (place.format === 'text') {
      yield* splitFile(file, { ...options, root: place.root });
      continue;
    }
    for await (const row of READERS[place.format](file, options)) yield toPassage(row, file, options);
  }
}

type Reader = (file: string, options: CorpusFileOptions & ReadOptions) => AsyncGenerator<JsonLine>;

const READERS: Readonly<Record<Exclude<CorpusFormat, 'text'>, Reader>> = {
  jsonl: (file, { signal, invalidUtf8 }) =>
    readJsonl(file, { signal, invalidUtf8, expected: 'a corpus in JSON Lines' }),
  csv: (file, { signal, invalidUtf8 }) => readCsv(file, { signal, invalidUtf8, expected: 'a corpus in CSV' }),
  tsv: (file, { signal, invalidUtf8, ...names }) => {
    const { idField = '_id', titleField = 'title', textField = 'text' } = names;
    const columns = { 2: [idField, textField], 3: [idField, titleField, textField] };
    return readTsv(file, { signal, invalidUtf8, expected: 'a corpus in columns', header: [textField], columns });
  },
  parquet: (file, { signal, invalidUtf8, ...names }) => {
    const { idField, titleField = 'title', textField = 'text' } = names;
    const columns = [...(idField ? [idField] : ['_id', 'id']), titleField, textField];
    return readParquet(file, { signal, invalidUtf8, expected: 'a corpus in Parquet', columns });
  },
};

function toPassage({ value, line, damaged }: JsonLine, file: string, names: CorpusFileOptions): PlacedPassage {
  const { idField = idFieldOf(value), titleField = 'title', textField = 'text' } = names;
  const place = { file, line };
  const passage = {
    id: requireRawId(value, idField, place),
    title: (titleField in value && optionalString(value, titleField, place)) || '',
    text: requireString(value, textField, place),
    ...place,
  };
  if (names.titleField !== undefined && !(titleField in value)) throw missingTitles(titleField, value, place);
  return damaged ? { ...passage, damaged } : passage;
}

function idFieldOf(value: JsonRecord): string {
  return '_id' in value || !('id' in value) ? '_id' : 'id';
}

/** A title may be missing here and there; a name that was given and never fits is a slip. */
function missingTitles(field: string, value: JsonRecord, place: { file: string; line: number }): DataError {
  const names = Object.keys(value).slice(0, 10).map(describe).join(', ');
  return new DataError({ ...place, field }, `Expected a title, which may be null or empty; the record has ${names}.`);
}
