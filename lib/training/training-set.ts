import { type Corpus, type CorpusSource, loadCorpus } from '../corpus/corpus.js';
import { passageText } from '../corpus/passage.js';
import type { CountTokens } from '../corpus/splitter.js';
import { describe, InvalidArgumentError, ListwiseError } from '../errors.js';
import { breather } from '../event-loop.js';
import { readLists } from '../lists/file.js';
import { type GivenList, settleGivenLists } from '../lists/given.js';
import type { EmbeddingModel } from '../models/model.js';
import type { PackedTexts } from '../native.js';
import type { ListPassage, LongWork, Passage, TrainingList } from '../types.js';

/** One lists file, or lists at hand. */
export type ListsSource = string | readonly GivenList[];

/** Passages by id beside what loadCorpus takes. */
export type TrainingCorpus = CorpusSource | ReadonlyMap<string, { title?: string; text: string } | string>;

/** Lists as numbers: what batches are made of. */
export interface TrainingSet {
  /** How many lists. */
  size: number;
  /** Passages in each. */
  listLength: number;
  /** The queries' ids, for messages. */
  ids: string[];
  queries: PackedTexts;
  /** Size × listLength rows into the run's passages; the first of each list is the positive. */
  rows: Int32Array;
  /** Size × listLength teacher scores. */
  teacher: Float64Array;
}

/** A run's texts, tokenised once: each distinct passage of all lists, and the sets that refer to them. */
export interface TrainingData {
  passages: PackedTexts;
  train: TrainingSet;
  dev: TrainingSet | undefined;
}

export interface TrainingDataOptions extends LongWork {
  lists: ListsSource;
  dev?: ListsSource;
  corpus?: TrainingCorpus;
  /** Passages used of each list, from its front; default all. */
  listLength?: number;
  queryMaxLength: number;
  passageMaxLength: number;
}

/**
 * Reads lists and tokenises their texts with the model's prefixes.
 * @throws NotFoundError, DataError from the files; InvalidArgumentError or ListwiseError BAD_DATA for lists at hand
 */
export async function readTrainingData(model: EmbeddingModel, options: TrainingDataOptions): Promise<TrainingData> {
  const { signal, onProgress } = options;
  const countTokens: CountTokens = (texts) => model.tokenizer.count(texts, { signal });
  const corpus = await settleCorpus(options.corpus, { signal, onProgress, countTokens });
  const reading = { corpus, listLength: options.listLength, signal };
  const train = await settleLists(options.lists, 'lists', reading);
  const dev = options.dev === undefined ? undefined : await settleLists(options.dev, 'dev', reading);
  const texts = new PassageTexts(corpus);
  const collect = (lists: readonly TrainingList[]) =>
    texts.collect(lists, settleListLength(lists, options.listLength), signal);
  const sets = [await collect(train), dev && (await collect(dev))] as const;
  const packAll = (all: readonly string[], unit: 'queries' | 'passages') =>
    model.tokenizer.pack(all, {
      prefix: unit === 'queries' ? model.settings.queryPrefix : model.settings.passagePrefix,
      maxLength: unit === 'queries' ? options.queryMaxLength : options.passageMaxLength,
      signal,
      onSlice: (done) => onProgress?.({ stage: 'tokenizing', done, total: all.length, unit }),
    });
  const withQueries = async (set: Omit<TrainingSet, 'queries'>, lists: readonly TrainingList[]) => ({
    ...set,
    queries: await packAll(
      lists.map((list) => list.query),
      'queries',
    ),
  });
  return {
    passages: await packAll(texts.texts, 'passages'),
    train: await withQueries(sets[0], train),
    dev: dev && sets[1] && (await withQueries(sets[1], dev)),
  };
}

type PassageLookup = Pick<Corpus, 'has' | 'get'>;

async function settleCorpus(
  source: TrainingCorpus | undefined,
  reading: LongWork & { countTokens: CountTokens },
): Promise<PassageLookup | undefined> {
  if (source === undefined) return undefined;
  if (!(source instanceof Map)) return loadCorpus(source as CorpusSource, reading);
  const map = source as ReadonlyMap<string, { title?: string; text: string } | string>;
  return {
    has: (id) => map.has(id),
    get: (id) => {
      const found = map.get(id);
      if (found === undefined) return undefined;
      return mappedPassage(id, found);
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

async function settleLists(
  source: ListsSource,
  argument: string,
  options: { corpus?: PassageLookup; listLength?: number; signal?: AbortSignal },
): Promise<readonly TrainingList[]> {
  if (typeof source === 'string' && source !== '') return readLists(source, options);
  const expected = 'a file of training lists or an array of lists';
  if (!Array.isArray(source) || source.length === 0) throw new InvalidArgumentError(argument, expected, source);
  if (source.every((one) => typeof one === 'string')) {
    // Joined, they would be one set: a batch would mix them.
    const remedy = 'they are files, and one is taken; several that belong together can be joined to one';
    throw new InvalidArgumentError(argument, expected, source, remedy);
  }
  return settleGivenLists(source, argument, options);
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

/** The distinct passages of all lists and their texts, as a model reads them. */
class PassageTexts {
  readonly texts: string[] = [];
  readonly #rows = new Map<string, number>();
  readonly #corpus: PassageLookup | undefined;

  constructor(corpus: PassageLookup | undefined) {
    this.#corpus = corpus;
  }

  async collect(
    lists: readonly TrainingList[],
    listLength: number,
    signal?: AbortSignal,
  ): Promise<Omit<TrainingSet, 'queries'>> {
    const rows = new Int32Array(lists.length * listLength);
    const teacher = new Float64Array(lists.length * listLength);
    const breathe = breather(signal);
    const ids = lists.map(({ id }) => id);
    for (const [i, { passages }] of lists.entries()) {
      for (let j = 0; j < listLength; j++) {
        rows[i * listLength + j] = this.#row(passages[j]!, ids[i]!);
        teacher[i * listLength + j] = passages[j]!.score;
      }
      await breathe();
    }
    return { size: lists.length, listLength, ids, rows, teacher };
  }

  #row(passage: ListPassage, list: string): number {
    const text = this.#text(passage, list);
    const known = this.#rows.get(passage.id);
    if (known !== undefined) {
      if (this.texts[known] === text) return known;
      throw badList(
        list,
        `gives passage ${describe(passage.id)} another text than an earlier list; one id is one text.`,
      );
    }
    this.#rows.set(passage.id, this.texts.length);
    this.texts.push(text);
    return this.texts.length - 1;
  }

  #text({ id, text }: ListPassage, list: string): string {
    if (text !== undefined) return passageText({ title: '', text });
    const passage = this.#corpus?.get(id);
    if (passage) return passageText(passage);
    throw badList(
      list,
      this.#corpus
        ? `names passage ${describe(id)}, which is not in the corpus; check that the lists belong to this corpus.`
        : `names passage ${describe(id)} without its text, and no corpus was given to look it up in; give one of the two.`,
    );
  }
}

function badList(id: string, problem: string): ListwiseError {
  return new ListwiseError('BAD_DATA', `The list of query ${describe(id)} ${problem}`);
}
