import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, extname, join, relative, sep } from 'node:path';
import { NotFoundError } from '../errors.js';
import { COMPRESSED, withoutCompression } from '../formats/bytes.js';
import { compareCodePoints } from './code-point-order.js';

export const corpusFormats = ['jsonl', 'tsv', 'csv', 'parquet', 'text'] as const;

/**
 * 'jsonl': a JSON object a line. 'tsv': columns split by tabs, with a header or as MS MARCO's collection.tsv. 'csv',
 * 'parquet': columns by name. 'text': plain text and Markdown, split into passages.
 */
export type CorpusFormat = (typeof corpusFormats)[number];

/** The files of a corpus, in the order of their names' code points. */
export interface CorpusPlace {
  format: CorpusFormat;
  files: string[];
  /** The directory that ids of text files are relative to. */
  root: string;
}

const ENDINGS: Readonly<Record<string, CorpusFormat>> = {
  ...{ '.jsonl': 'jsonl', '.ndjson': 'jsonl', '.json': 'jsonl', '.tsv': 'tsv', '.csv': 'csv', '.parquet': 'parquet' },
  ...{ '.txt': 'text', '.text': 'text', '.md': 'text', '.markdown': 'text' },
};

function formatOf(file: string): CorpusFormat | undefined {
  return ENDINGS[extname(withoutCompression(file)).toLowerCase()];
}

/**
 * Finds the files of a corpus: one file; those that a path with `*` in its last part names; or of a directory its
 * corpus.jsonl (as BEIR has it) or collection.tsv (as MS MARCO has it), else all Parquet files in it, else all text and
 * Markdown files below it. Each may be compressed (.gz, .zst).
 * @throws NotFoundError saying what was looked for
 */
export async function findCorpusFiles(path: string, format?: CorpusFormat): Promise<CorpusPlace> {
  const stats = await stat(path).catch(() => undefined);
  if (stats?.isDirectory()) return inDirectory(path, format);
  if (!stats && basename(path).includes('*')) return byPattern(path, format);
  if (stats) return { format: format ?? formatOf(path) ?? 'jsonl', files: await readable([path]), root: dirname(path) };
  throw new NotFoundError(`Expected a corpus at ${path} but there is no such file or directory; check the path.`);
}

async function inDirectory(directory: string, format?: CorpusFormat): Promise<CorpusPlace> {
  const names = (await readdir(directory)).sort(compareCodePoints);
  for (const [name, its] of [['corpus.jsonl', 'jsonl'] as const, ['collection.tsv', 'tsv'] as const]) {
    const found = ['', ...COMPRESSED].map((ending) => name + ending).find((candidate) => names.includes(candidate));
    if (found && (format === undefined || format === its)) {
      return { format: its, files: await readable([join(directory, found)]), root: directory };
    }
  }
  if (format !== 'text') {
    const wanted = format ?? 'parquet';
    const files = names.filter((name) => formatOf(name) === wanted).map((name) => join(directory, name));
    if (files.length > 0) return { format: wanted, files: await readable(files), root: directory };
  }
  const texts = format === undefined || format === 'text' ? await textsBelow(directory) : [];
  if (texts.length > 0) return { format: 'text', files: texts, root: directory };
  const wanted = format ? `files of the format ${format}` : 'corpus.jsonl, collection.tsv, *.parquet, *.txt or *.md';
  const found = names.length > 0 ? `it has ${names.slice(0, 5).join(', ')}` : 'it is empty';
  throw new NotFoundError(
    `Expected a corpus in the directory ${directory} (${wanted}, also .gz or .zst) but ${found}.`,
  );
}

/** @throws NotFoundError for what is no file: a pipe can be read once, and a device may have no end */
async function readable(files: string[]): Promise<string[]> {
  for (const file of files) {
    const found = await stat(file).catch(() => undefined);
    if (!found || found.isFile()) continue;
    const problem = found.isDirectory()
      ? 'it is a directory'
      : 'it is a pipe or device, and a corpus may be read several times; write it to a file first';
    throw new NotFoundError(`Expected a file of a corpus at ${file} but ${problem}.`);
  }
  return files;
}

/** Without those in directories such as .git. */
async function textsBelow(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile() && formatOf(entry.name) === 'text')
    .map((entry) => join(entry.parentPath, entry.name))
    .filter(
      (file) =>
        !relative(directory, file)
          .split(sep)
          .some((part) => part.startsWith('.')),
    )
    .sort(compareCodePoints);
}

async function byPattern(path: string, format?: CorpusFormat): Promise<CorpusPlace> {
  const parts = basename(path)
    .split('*')
    .map((part) => part.replace(/[\\^$.|?+()[\]{}]/g, '\\$&'));
  const pattern = new RegExp(`^${parts.join('.*')}$`, 'su');
  const root = dirname(path);
  const names = await readdir(root).catch(() => [] as string[]);
  const found = names.filter((name) => pattern.test(name)).sort(compareCodePoints);
  const first = found[0];
  if (first === undefined)
    throw new NotFoundError(`Expected the files of a corpus at ${path} but none has such a name.`);
  const its = format ?? formatOf(first) ?? 'jsonl';
  const other = found.find((name) => format === undefined && (formatOf(name) ?? 'jsonl') !== its);
  if (other !== undefined) {
    throw new NotFoundError(
      `Expected files of one format at ${path} but found ${first} and ${other}; narrow the path.`,
    );
  }
  return { format: its, files: await readable(found.map((name) => join(root, name))), root };
}
