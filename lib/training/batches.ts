import { breather } from '../event-loop.js';
import type { PackedPairs } from '../models/pairs.js';
import type { PackedTexts } from '../native.js';
import { Random } from '../random.js';
import { clusterLists } from './clustering.js';
import type { TrainingSet } from './training-set.js';

/** One step's queries, lists and distinct passages. */
export interface Batch {
  /** The lists' places in the training set. */
  lists: Int32Array;
  queries: PackedTexts;
  /** Each passage of the lists once. */
  passages: PackedTexts;
  /** Lists × listLength rows into `passages`. */
  rows: Int32Array;
  /** Lists × listLength teacher scores; of a cross-encoder the labels. */
  teacher: Float64Array;
  listLength: number;
  /** Of a cross-encoder, which reads these: each query with each passage of its list, in the order of `rows`. */
  pairs?: PackedPairs;
}

/** Puts a batch together; see makeBatch. */
export type MakeBatch = (set: TrainingSet, lists: Int32Array, signal?: AbortSignal) => Promise<Batch>;

/** How lists are put into batches: at random, or so that lists of a batch share passages. */
export type Batching = 'random' | 'clustered';

export interface EpochOptions {
  batchSize: number;
  batching: Batching;
  seed: number;
  /** Counted from 0; each epoch has its own order. */
  epoch: number;
  /** Of several sets which one, from 0; each has its own order. Default 0. */
  set?: number;
  signal?: AbortSignal;
}

/** Some milliseconds' work. */
const PLACES_AT_ONCE = 16_384;

/**
 * The batches of an epoch, as places of lists in the set. Each list comes at most once; those that do not fill a last
 * batch are left out, by chance, unless the set is smaller than one batch. Depends on seed and epoch alone.
 */
export async function epochBatches(
  set: Pick<TrainingSet, 'size' | 'listLength' | 'rows'>,
  options: EpochOptions,
): Promise<Int32Array[]> {
  const { batchSize, batching, seed, epoch, set: number = 0, signal } = options;
  const random = Random.for(seed, 'epoch', epoch, ...(number > 0 ? ['set', number] : []));
  const order = await shuffledPlaces(set.size, random, signal);
  if (set.size <= batchSize) return [order];
  const kept = order.subarray(0, set.size - (set.size % batchSize));
  if (batching === 'clustered') return random.shuffle(await clusterLists(set, kept, { batchSize, signal }));
  return Array.from({ length: kept.length / batchSize }, (_, i) => kept.slice(i * batchSize, (i + 1) * batchSize));
}

/** 0 to size - 1 in random order, as one shuffle would put them; other work goes on in between. */
async function shuffledPlaces(size: number, random: Random, signal?: AbortSignal): Promise<Int32Array> {
  const places = new Int32Array(size).map((_, place) => place);
  const breathe = breather(signal);
  for (let last = size - 1; last > 0; last -= PLACES_AT_ONCE) {
    random.shuffle(places, last, Math.max(1, last - PLACES_AT_ONCE + 1));
    await breathe();
  }
  return places;
}

/**
 * Puts a batch together: its queries, and its distinct passages in the order in which the lists name them.
 * @throws `signal.reason` when aborted
 */
export async function makeBatch(set: TrainingSet, lists: Int32Array, signal?: AbortSignal): Promise<Batch> {
  const { listLength } = set;
  const rows = new Int32Array(lists.length * listLength);
  const teacher = new Float64Array(lists.length * listLength);
  const rowOf = new Map<number, number>();
  const breathe = breather(signal);
  for (let i = 0; i < lists.length; i++) {
    const start = lists[i]! * listLength;
    for (let j = 0; j < listLength; j++) {
      const passage = set.rows[start + j]!;
      const row = rowOf.get(passage) ?? rowOf.size;
      rowOf.set(passage, row);
      rows[i * listLength + j] = row;
    }
    teacher.set(set.teacher.subarray(start, start + listLength), i * listLength);
    await breathe();
  }
  const queries = await set.queries.gather(lists, signal);
  const passages = await set.passages.gather(Int32Array.from(rowOf.keys()), signal);
  return { lists, queries, passages, rows, teacher, listLength };
}
