import { DataError, InvalidArgumentError } from '../errors.js';
import { breather } from '../event-loop.js';
import { rejectUnknownOptions } from '../option-names.js';
import type { LongWork, Passage } from '../types.js';
import { Cleaning, type CleaningOptions, cleaningChoices, settleCleaning } from './cleaning.js';
import { CorpusCollector, openKept } from './collector.js';
import type { Corpus } from './corpus.js';
import { PackedCorpus } from './packed-corpus.js';
import { type CorpusPlace, findCorpusFiles } from './places.js';
import {
  type CorpusFileOptions,
  corpusFileOptionNames,
  type PlacedPassage,
  readPlace,
  settleFileOptions,
} from './sources.js';

/**
 * Where a corpus comes from: files (a BEIR directory or its corpus.jsonl, MS MARCO's collection.tsv, CSV, Parquet, a
 * directory of text and Markdown; see `findCorpusFiles`), or passages at hand.
 */
export type CorpusSource = string | Corpus | Iterable<Passage> | AsyncIterable<Passage>;

/** How a corpus is read, whoever reads it. */
export interface CorpusOptions extends CorpusFileOptions, CleaningOptions {
  /** Bytes of text up to which a corpus is held in memory; a larger one is packed into files. Default 256 MiB. */
  corpusMemory?: number;
  /**
   * Directory for packed corpora; by default `corpora` in listwise's cache. A corpus read from files is kept there and
   * used again while they are as they were; of other passages nothing stays.
   */
  corpusCache?: string;
}

/** Names of CorpusOptions, for refusing others. */
export const corpusOptionNames: readonly string[] = [
  ...corpusFileOptionNames,
  ...Object.keys(cleaningChoices),
  ...['corpusMemory', 'corpusCache'],
];

/** Of a function's options, those that say how its corpus is read. */
export function corpusOptionsOf(options: CorpusOptions): CorpusOptions {
  const given = Object.entries(options).filter(([name]) => corpusOptionNames.includes(name));
  return Object.fromEntries(given) as CorpusOptions;
}

/** @throws InvalidArgumentError for an option that cannot be */
export function settleCorpusOptions(options: CorpusOptions): Required<Pick<CorpusOptions, 'corpusMemory'>> {
  settleFileOptions(options);
  settleCleaning(options);
  const { corpusMemory = 2 ** 28, corpusCache = '-' } = options;
  if (!Number.isInteger(corpusMemory) || corpusMemory < 0) {
    throw new InvalidArgumentError('corpusMemory', 'a whole number of bytes', corpusMemory);
  }
  if (typeof corpusCache !== 'string' || corpusCache === '') {
    throw new InvalidArgumentError('corpusCache', 'a directory', corpusCache);
  }
  return { corpusMemory };
}

/**
 * Loads a corpus: into memory, or, if its texts take more than `corpusMemory`, packed into files, from which they are
 * read by position; both give the same passages in the same rows. Of ten million passages some 30 bytes each stay in
 * memory.
 * @param source files or passages; see `CorpusSource`
 * @returns the corpus; its `report` says what was found in files. Dispose of it when it is no longer needed.
 * @throws NotFoundError, DataError naming file and line, for files; InvalidArgumentError for a source that is none, a
 * passage without a good id or text, an id that comes twice, no passages at all, or an option that cannot be
 */
export async function loadCorpus(source: CorpusSource, options: CorpusOptions & LongWork = {}): Promise<Corpus> {
  rejectUnknownOptions(options, [...corpusOptionNames, 'signal', 'onProgress'], 'loadCorpus');
  checkCorpusSource(source);
  if (isCorpus(source)) return source;
  const { corpusMemory } = settleCorpusOptions(options);
  if (typeof source !== 'string') return collect(source, { ...options, corpusMemory });
  if (PackedCorpus.isAt(source)) return PackedCorpus.open(source);
  const place = await findCorpusFiles(source, options.corpusFormat);
  const kept = await openKept(place, options);
  return kept ?? collectFiles(source, place, { ...options, corpusMemory });
}

type Collecting = CorpusOptions & LongWork & { corpusMemory: number };

async function collect(passages: Iterable<Passage> | AsyncIterable<Passage>, options: Collecting): Promise<Corpus> {
  const { signal, onProgress } = options;
  const breathe = breather(signal);
  await using collector = new CorpusCollector(options);
  let place = 0;
  for await (const given of passages) {
    const passage = checkPassage(given, place);
    const earlier = await collector.add(passage, breathe);
    if (earlier >= 0) throw givenTwice(passage.id, place, earlier);
    place += 1;
    const pause = breathe();
    if (!pause) continue;
    onProgress?.({ stage: 'corpus', done: place, total: 0, unit: 'passages' });
    await pause;
  }
  if (place === 0) throw new InvalidArgumentError('corpus', 'at least one passage', 'none');
  return await collector.finish();
}

async function collectFiles(path: string, place: CorpusPlace, options: Collecting): Promise<Corpus> {
  const { signal, onProgress, invalidUtf8 = 'error' } = options;
  const breathe = breather(signal);
  const cleaning = new Cleaning(options);
  const reading = { ...options, invalidUtf8: invalidUtf8 === 'error' ? invalidUtf8 : ('replace' as const) };
  await using collector = new CorpusCollector({ ...options, place });
  for await (const read of readPlace(place, reading)) {
    const passage = cleaning.clean(read);
    if (passage) {
      const earlier = await collector.add(passage, breathe);
      if (earlier >= 0) cleaning.duplicate(passage, earlierPlace(passage, collector.placeOf(earlier)));
    }
    const pause = breathe();
    if (!pause) continue;
    onProgress?.({ stage: 'corpus', done: cleaning.report.read, total: 0, unit: 'passages' });
    await pause;
  }
  const { report } = cleaning;
  if (report.read === 0) throw new DataError({ file: path }, 'Expected at least one passage but found none.');
  if (report.read === report.skipped) {
    throw new DataError({ file: path }, `Expected a passage to use but all ${report.read} were skipped for mistakes.`);
  }
  return await collector.finish(report);
}

function earlierPlace({ file }: PlacedPassage, earlier: { file: string; line: number }): string {
  return earlier.file === file ? `on line ${earlier.line}` : `in ${earlier.file}:${earlier.line}`;
}

function givenTwice(id: string, place: number, earlier: number): InvalidArgumentError {
  return new InvalidArgumentError(
    `corpus passage ${place}`,
    `an id that no other passage has (passage ${earlier} has it)`,
    id,
    'give each passage its own id',
  );
}

/** @throws InvalidArgumentError if it is nothing that a corpus can come from */
export function checkCorpusSource(source: unknown): asserts source is CorpusSource {
  if (typeof source === 'string' && source !== '') return;
  const isObject = typeof source === 'object' && source !== null;
  if (isObject && (Symbol.iterator in source || Symbol.asyncIterator in source)) return;
  throw new InvalidArgumentError('corpus', 'the path of a corpus, or passages,', source);
}

function isCorpus(source: CorpusSource): source is Corpus {
  return typeof source === 'object' && 'row' in source && 'at' in source && 'size' in source;
}

function checkPassage(passage: Passage, place: number): Passage {
  const name = `corpus passage ${place}`;
  if (typeof passage !== 'object' || passage === null) {
    throw new InvalidArgumentError(name, 'an object with id, title and text', passage);
  }
  const { id, title = '', text } = passage;
  if (typeof id !== 'string' || id === '' || /\s/.test(id)) {
    throw new InvalidArgumentError(`${name}'s id`, 'a string that is not empty and has no white space', id);
  }
  if (!id.isWellFormed()) {
    throw new InvalidArgumentError(`${name}'s id`, 'whole characters, no halves of surrogate pairs,', id);
  }
  if (typeof title !== 'string') throw new InvalidArgumentError(`${name}'s title`, 'a string or nothing', title);
  if (typeof text !== 'string') throw new InvalidArgumentError(`${name}'s text`, 'a string', text);
  return { id, title, text };
}
