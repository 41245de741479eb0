import { breather } from '../event-loop.js';
import { gatherManyTexts } from '../models/packed-texts.js';
import type { PackedTexts } from '../native.js';
import { Random } from '../random.js';
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
  teacher: Float64Array;
  listLength: number;
}

type Breathe = ReturnType<typeof breather>;

/** How lists are put into batches: at random, or so that lists of a batch share passages. */
export type Batching = 'random' | 'clustered';

export interface EpochOptions {
  batchSize: number;
  batching: Batching;
  seed: number;
  /** Counted from 0; each epoch has its own order. */
  epoch: number;
  signal?: AbortSignal;
}

/**
 * The batches of an epoch, as places of lists in the set. Each list comes at most once; those that do not fill a last
 * batch are left out, by chance, unless the set is smaller than one batch. Depends on seed and epoch alone.
 */
export async function epochBatches(set: TrainingSet, options: EpochOptions): Promise<Int32Array[]> {
  const { batchSize, batching, seed, epoch, signal } = options;
  const random = Random.for(seed, 'epoch', epoch);
  const order = random.shuffle(Int32Array.from({ length: set.size }, (_, place) => place));
  if (set.size <= batchSize) return [order];
  const kept = order.subarray(0, set.size - (set.size % batchSize));
  if (batching === 'clustered') return random.shuffle(await clusterLists(set, kept, { batchSize, signal }));
  return Array.from({ length: kept.length / batchSize }, (_, i) => kept.slice(i * batchSize, (i + 1) * batchSize));
}

/**
 * Groups lists by shared passages: each batch starts with the first list that is left, in `order`, and takes on, one by
 * one, the list that has most passages in common with the batch so far; among equals, the one that reached this first.
 */
async function clusterLists(
  set: TrainingSet,
  order: Int32Array,
  { batchSize, signal }: { batchSize: number; signal?: AbortSignal },
): Promise<Int32Array[]> {
  const breathe = breather(signal);
  const listsOf = await listsByPassage(set, order, breathe);
  const taken = new Uint8Array(set.size);
  const batches: Int32Array[] = [];
  let next = 0;
  while (batches.length * batchSize < order.length) {
    const batch = new GrowingBatch(set, listsOf, taken);
    const places = new Int32Array(batchSize);
    for (let i = 0; i < batchSize; i++) {
      let place = batch.closest();
      if (place === undefined) {
        while (taken[order[next]!]) next += 1;
        place = order[next]!;
      }
      places[i] = place;
      await batch.take(place, breathe);
    }
    batches.push(places);
  }
  return batches;
}

/** Passage → the lists that hold it, in `order`. */
async function listsByPassage(set: TrainingSet, order: Int32Array, breathe: Breathe): Promise<Map<number, number[]>> {
  const listsOf = new Map<number, number[]>();
  for (const place of order) {
    for (let j = 0; j < set.listLength; j++) {
      const passage = set.rows[place * set.listLength + j]!;
      const lists = listsOf.get(passage);
      if (lists) lists.push(place);
      else listsOf.set(passage, [place]);
    }
    await breathe();
  }
  return listsOf;
}

/** A batch as it grows, with the lists left over sorted into bins by how many of their passages it holds. */
class GrowingBatch {
  readonly #set: TrainingSet;
  readonly #listsOf: Map<number, number[]>;
  readonly #taken: Uint8Array;
  readonly #passages = new Set<number>();
  readonly #shared = new Map<number, number>();
  /** A list is put into a further bin each time it rises; bins below its own hold it no longer truly. */
  readonly #bins: number[][] = [];
  readonly #starts: number[] = [];

  constructor(set: TrainingSet, listsOf: Map<number, number[]>, taken: Uint8Array) {
    this.#set = set;
    this.#listsOf = listsOf;
    this.#taken = taken;
  }

  async take(place: number, breathe: Breathe): Promise<void> {
    const { rows, listLength } = this.#set;
    this.#taken[place] = 1;
    for (let j = 0; j < listLength; j++) {
      const passage = rows[place * listLength + j]!;
      if (this.#passages.has(passage)) continue;
      this.#passages.add(passage);
      for (const list of this.#listsOf.get(passage)!) {
        if (this.#taken[list]) continue;
        const shared = (this.#shared.get(list) ?? 0) + 1;
        this.#shared.set(list, shared);
        this.#bins[shared] ??= [];
        this.#bins[shared].push(list);
      }
      await breathe();
    }
  }

  /** The list that shares most, or undefined where none shares any. */
  closest(): number | undefined {
    for (let shared = this.#bins.length - 1; shared > 0; shared--) {
      const bin = this.#bins[shared] ?? [];
      let start = this.#starts[shared] ?? 0;
      while (start < bin.length && (this.#taken[bin[start]!] || this.#shared.get(bin[start]!) !== shared)) start += 1;
      this.#starts[shared] = start;
      if (start < bin.length) return bin[start];
    }
    return undefined;
  }
}

/**
 * Puts a batch together: its queries, and its distinct passages in the order in which the lists name them.
 * @throws `signal.reason` when aborted
 */
export async function makeBatch(
  set: TrainingSet,
  passages: PackedTexts,
  lists: Int32Array,
  signal?: AbortSignal,
): Promise<Batch> {
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
  const queries = await gatherManyTexts(set.queries, lists, signal);
  const distinct = await gatherManyTexts(passages, Int32Array.from(rowOf.keys()), signal);
  return { lists, queries, passages: distinct, rows, teacher, listLength };
}
