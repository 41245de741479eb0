import { type Corpus, type CorpusSource, loadCorpus } from '../corpus/corpus.js';
import type { CountTokens } from '../corpus/splitter.js';
import { describe, InvalidArgumentError, ListwiseError } from '../errors.js';
import { breather } from '../event-loop.js';
import { streamLists } from '../lists/file.js';
import { settleGivenLists } from '../lists/given.js';
import type { LongWork, Passage, TrainingList } from '../types.js';
import type { ListsSource, TrainingCorpus } from './sources.js';

/** Where passages without a text of their own are looked up. `row` and `size` are there where passages have rows. */
export type PassageLookup = Pick<Corpus, 'has' | 'get'> & Partial<Pick<Corpus, 'row' | 'size'>>;

export interface OpenedCorpus extends AsyncDisposable {
  lookup: PassageLookup | undefined;
}

/** Opens a corpus for looking up; what was opened here is closed with it. */
export async function openCorpus(
  source: TrainingCorpus | undefined,
  reading: LongWork & { countTokens: CountTokens },
): Promise<OpenedCorpus> {
  const nothing = async () => {};
  if (source === undefined) return { lookup: undefined, [Symbol.asyncDispose]: nothing };
  if (source instanceof Map) return { lookup: mapLookup(source), [Symbol.asyncDispose]: nothing };
  const corpus = await loadCorpus(source as CorpusSource, reading);
  const close = async () => {
    // A corpus that the caller opened is the caller's.
    if ((corpus as unknown) !== source) corpus[Symbol.dispose]?.();
  };
  return { lookup: corpus, [Symbol.asyncDispose]: close };
}

function mapLookup(map: ReadonlyMap<string, unknown>): PassageLookup {
  return {
    has: (id) => map.has(id),
    get: (id) => {
      const found = map.get(id);
      return found === undefined ? undefined : mappedPassage(id, found);
    },
  };
}

/** @param found text, or text with a title, if the caller keeps to the type */
function mappedPassage(id: string, found: unknown): Passage {
  if (typeof found === 'string') return { id, title: '', text: found };
  const { title = '', text } = (found ?? {}) as { title?: unknown; text?: unknown };
  if (typeof title === 'string' && typeof text === 'string') return { id, title, text };
  const argument = `the corpus' passage ${describe(id)}`;
  throw new InvalidArgumentError(argument, 'a string, or an object with a string text and maybe a title,', found);
}

export interface ListOptions extends LongWork {
  /** What the source is called, for messages. */
  argument: string;
  corpus: PassageLookup | undefined;
  /** Passages used of each list, from its front; default all. */
  listLength?: number;
}

/** Lists one after the other, all of one length; those of a file are never all in memory. */
export async function* listsOf(source: ListsSource, options: ListOptions): AsyncGenerator<TrainingList> {
  const { listLength, signal } = options;
  if (typeof source === 'string') return yield* streamLists(source, options);
  const lists = await settleGivenLists(source, options.argument, { signal });
  const length = settleListLength(lists, listLength);
  const breathe = breather(signal);
  for (const list of lists) {
    yield length === list.passages.length ? list : { ...list, passages: list.passages.slice(0, length) };
    await breathe();
  }
}

function settleListLength(lists: readonly TrainingList[], wanted: number | undefined): number {
  const { id, passages } = lists[0]!;
  if (wanted === undefined) {
    const other = lists.find((list) => list.passages.length !== passages.length);
    if (!other) return passages.length;
    const problem = `has ${other.passages.length} passages, but that of ${describe(id)} has ${passages.length}; `;
    throw badList(other.id, `${problem}give all as many, or cut them by listLength.`);
  }
  const shortest = lists.reduce((least, list) => Math.min(least, list.passages.length), Number.POSITIVE_INFINITY);
  if (wanted <= shortest) return wanted;
  throw new InvalidArgumentError('listLength', `at most ${shortest}, the passages of the shortest list,`, wanted);
}

/** An error in a list that has no line. */
export function badList(id: string, problem: string): ListwiseError {
  return new ListwiseError('BAD_DATA', `The list of query ${describe(id)} ${problem}`);
}
