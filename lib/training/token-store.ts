import { mkdir, readdir, rename, rm, rmdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { writeLines } from '../formats/atomic.js';
import { makeDirectory, writing } from '../formats/writing.js';
import { hashFile, hashJson } from '../hashes.js';
import type { ModelSettings } from '../models/settings.js';
import type { Tokenizer } from '../models/tokenizer.js';
import type { LongWork, TrainingList } from '../types.js';
import { checkPositives, type LabelCounts, type Labelling, labelled } from './labels.js';
import { listsOf, openCorpus } from './list-source.js';
import { NumberWriter } from './number-file.js';
import { PassageRows } from './passage-rows.js';
import type { TrainingEvent } from './run-start.js';
import { identify } from './source-identity.js';
import type { ListsSource, NamedSource } from './sources.js';
import { FORMAT, openSet, type Part, RECORD, readRecord, type StoreRecord, tokenFiles } from './stored-set.js';
import { TokenWriter } from './token-writer.js';
import type { TrainingData, TrainingPair } from './training-set.js';

export interface StoreOptions extends LongWork {
  /** SHA-256 of the model's files: another tokenizer gives other tokens. */
  modelHash: string;
  /** Passages used of each list, from its front; default all. */
  listLength?: number;
  queryMaxLength: number;
  passageMaxLength: number;
  /** Of a cross-encoder: what becomes of scores. Texts are then parts of pairs, without special tokens. */
  labelling?: Labelling;
  /** Hears of scores that look like other labels than those that are made of them. */
  onEvent?: (event: TrainingEvent) => void;
}

/** How a model reads texts. */
export interface TextModel {
  tokenizer: Tokenizer;
  settings: Pick<ModelSettings, 'queryPrefix' | 'passagePrefix'>;
}

interface SetOptions extends StoreOptions {
  model: TextModel;
  /** What the lists are called in messages. */
  argument: string;
  devArgument: string;
}

/** Opens all sets of a run. Disposing of them closes their files. */
export async function openTrainingData(
  model: TextModel,
  sources: readonly NamedSource[],
  { store, ...options }: StoreOptions & { store: TokenStore },
): Promise<TrainingData & AsyncDisposable> {
  const sets: (TrainingPair & AsyncDisposable)[] = [];
  const close = async () => {
    for (const set of sets) await set[Symbol.asyncDispose]();
  };
  try {
    for (const [i, source] of sources.entries()) {
      const isOne = sources.length === 1;
      const argument = isOne ? 'lists' : `lists[${i}].lists`;
      const devArgument = isOne ? 'dev' : `lists[${i}].dev`;
      sets.push(await store.open(source, { ...options, model, argument, devArgument }));
    }
  } catch (error) {
    await close();
    throw error;
  }
  return { sets, [Symbol.asyncDispose]: close };
}

const MEMORY_BYTES = 2 ** 28;

/**
 * The training sets of a run as files: tokens of queries and distinct passages, rows, scores and ids. Each set lies in a
 * directory under a key of all that it depends on, is written once, and is opened again as it is when the run goes on.
 * In memory are 12 bytes for each passage of each list, 8 for each text, and tokens up to 256 MiB.
 */
export class TokenStore {
  readonly #directory: string;
  readonly #memoryBytes: number;
  /** Where sets are that were made here. */
  readonly #made: string[] = [];

  /** @param memoryBytes tokens up to this size are held in memory, for each of queries and passages */
  constructor(directory: string, memoryBytes = MEMORY_BYTES) {
    this.#directory = directory;
    this.#memoryBytes = memoryBytes;
  }

  /**
   * Opens a set, and makes it first where it is not there.
   * @throws NotFoundError, DataError from files; InvalidArgumentError or ListwiseError BAD_DATA for lists at hand
   */
  async open(source: NamedSource, options: SetOptions): Promise<TrainingPair & AsyncDisposable> {
    const identified = await identify(source, options);
    const { queryMaxLength, passageMaxLength, listLength = null, modelHash, labelling } = options;
    const { queryPrefix, passagePrefix } = options.model.settings;
    const parts = { FORMAT, modelHash, queryPrefix, passagePrefix, queryMaxLength, passageMaxLength, listLength };
    const labels = labelling && { ...labelling };
    const key = hashJson({ ...parts, labels, source: identified.identity }).slice(0, 32);
    const place = join(this.#directory, key);
    const record = (await readRecord(place)) ?? (await this.#build(place, identified.source, options));
    const { signal } = options;
    return openSet(place, record, { name: source.name, memoryBytes: this.#memoryBytes, signal });
  }

  /** Removes the sets that were made and not opened only. */
  async discard(): Promise<void> {
    for (const place of this.#made) await rm(place, { recursive: true, force: true });
    // Left where it holds those of another run.
    await rmdir(this.#directory).catch(() => {});
  }

  /** Removes sets that no run needs any more. */
  async clear(): Promise<void> {
    await writing(this.#directory, () => rm(this.#directory, { recursive: true, force: true }));
  }

  async #build(place: string, source: NamedSource, options: SetOptions): Promise<StoreRecord> {
    const beside = `${place}.tmp`;
    await makeDirectory(this.#directory);
    try {
      await writing(place, async () => {
        await rm(beside, { recursive: true, force: true });
        await mkdir(beside);
      });
      const record = await buildSet(beside, source, options);
      await writing(place, async () => {
        await rm(place, { recursive: true, force: true });
        await rename(beside, place);
      });
      this.#made.push(place);
      return record;
    } catch (error) {
      await rm(beside, { recursive: true, force: true });
      throw error;
    }
  }
}

async function buildSet(directory: string, source: NamedSource, options: SetOptions): Promise<StoreRecord> {
  const { listLength, signal, onProgress, argument, devArgument } = options;
  const countTokens = (texts: readonly string[]) => options.model.tokenizer.count(texts, { signal });
  await using corpus = await openCorpus(source.corpus, { signal, onProgress, countTokens });
  const { lookup } = corpus;
  const rows = new PassageRows(lookup);
  await using passages = await tokenWriter(directory, 'passages', options);
  const common = { directory, rows, passages, options };
  const reading = { corpus: lookup, listLength, signal, onProgress };
  const lengths = { train: 0, dev: 0 };
  const read = (source: ListsSource, name: string) => {
    const lists = listsOf(source, { ...reading, argument: name });
    const onEnd = name === argument ? (counts: LabelCounts) => judgeLabels(counts, source, options) : undefined;
    return options.labelling ? labelled(lists, options.labelling, { source, onEnd }) : lists;
  };
  lengths.train = await writeSet('train', read(source.lists, argument), common);
  if (source.dev !== undefined) {
    lengths.dev = await writeSet('dev', read(source.dev, devArgument), common);
  }
  await passages.finish();
  const files: Record<string, number> = {};
  for (const name of (await readdir(directory)).sort()) files[name] = (await stat(join(directory, name))).size;
  const record = { format: FORMAT, listLength: lengths, hashes: await hashSet(directory, files, signal), files };
  await writeLines(join(directory, RECORD), [JSON.stringify(record, null, 2)]);
  return record;
}

/** Training lists without a positive are refused; positives that become negatives are told of. */
function judgeLabels(counts: LabelCounts, source: ListsSource, { labelling, onEvent, argument }: SetOptions): void {
  checkPositives(counts, source);
  const { lists, judged } = counts;
  if (labelling?.labels !== 'first' || judged === 0) return;
  onEvent?.({ kind: 'labels', source: typeof source === 'string' ? source : argument, lists, judged });
}

interface Writing {
  directory: string;
  rows: PassageRows;
  passages: TokenWriter;
  options: SetOptions;
}

/** @returns how many passages each list has */
async function writeSet(part: Part, lists: AsyncIterable<TrainingList>, common: Writing): Promise<number> {
  const { directory, options } = common;
  await using queries = await tokenWriter(directory, `${part}.queries`, options);
  const names = ['rows.i32', 'teacher.f64', 'ids.u8', 'ids.f64'];
  const made = names.map((name) => NumberWriter.create(join(directory, `${part}.${name}`)));
  const [rowFile, teacher, ids, idEnds] = (await Promise.all(made)) as [
    NumberWriter,
    NumberWriter,
    NumberWriter,
    NumberWriter,
  ];
  let length = 0;
  try {
    for await (const list of lists) {
      length = list.passages.length;
      const taken = list.passages.map((passage) => common.rows.take(passage, list.id));
      for (const { text } of taken) if (text !== undefined) await common.passages.add(text);
      await rowFile.add(Int32Array.from(taken, ({ row }) => row));
      await teacher.add(Float64Array.from(list.passages, ({ score }) => score));
      await ids.add(Buffer.from(list.id));
      await idEnds.add(Float64Array.of(ids.bytes));
      await queries.add(list.query);
    }
    for (const file of [rowFile, teacher, ids, idEnds, queries]) await file.finish();
    return length;
  } finally {
    for (const file of [rowFile, teacher, ids, idEnds]) await file.close();
  }
}

function tokenWriter(directory: string, name: string, options: SetOptions): Promise<TokenWriter> {
  const { model, signal, onProgress, queryMaxLength, passageMaxLength } = options;
  const { queryPrefix, passagePrefix } = model.settings;
  const isPassage = name === 'passages';
  return TokenWriter.create(tokenFiles(directory, name), {
    ...{ tokenizer: model.tokenizer, signal, onProgress, unit: isPassage ? 'passages' : 'queries' },
    prefix: isPassage ? passagePrefix : queryPrefix,
    maxLength: isPassage ? passageMaxLength : queryMaxLength,
    areParts: options.labelling !== undefined,
  });
}

/** Hashes of what decides a run: the lists' queries, rows and scores, and the passages' texts. */
async function hashSet(
  directory: string,
  files: Record<string, number>,
  signal?: AbortSignal,
): Promise<Record<string, string>> {
  const hashOf = async (part: string) => {
    const names = Object.keys(files).filter((name) => name.startsWith(`${part}.`) && !name.includes('.ids.'));
    const hashes: string[] = [];
    for (const name of names) hashes.push(await hashFile(join(directory, name), signal));
    return hashJson(hashes);
  };
  const hasDev = 'dev.rows.i32' in files;
  return {
    lists: await hashOf('train'),
    ...(hasDev && { 'dev lists': await hashOf('dev') }),
    "passages' texts": await hashOf('passages'),
  };
}
