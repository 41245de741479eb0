import { breather } from '../event-loop.js';
import type { TrainingSet } from './training-set.js';

type Breathe = ReturnType<typeof breather>;
type Lists = Pick<TrainingSet, 'size' | 'rows' | 'listLength'>;

/**
 * Groups lists by shared passages: each batch starts with the first list that is left, in `order`, and takes on, one by
 * one, the list that has most passages in common with the batch so far; among equals, the one that reached this first.
 * @param order lists to group, a multiple of `batchSize` of them
 */
export async function clusterLists(
  set: Lists,
  order: Int32Array,
  { batchSize, signal }: { batchSize: number; signal?: AbortSignal },
): Promise<Int32Array[]> {
  const breathe = breather(signal);
  const index = await indexLists(set, order, breathe);
  const growing = new GrowingBatch(set, index);
  const batches: Int32Array[] = [];
  let next = 0;
  while (batches.length * batchSize < order.length) {
    const places = new Int32Array(batchSize);
    growing.start();
    for (let i = 0; i < batchSize; i++) {
      let place = growing.closest();
      if (place === undefined) {
        while (growing.isTaken(order[next]!)) next += 1;
        place = order[next]!;
      }
      places[i] = place;
      await growing.take(place, breathe);
    }
    batches.push(places);
  }
  return batches;
}

/** Passage → lists that hold it, in `order`: those of passage p are lists[starts[p]] to lists[starts[p + 1] - 1]. */
interface ListIndex {
  starts: Int32Array;
  lists: Int32Array;
}

/** By counting, so that it takes two passes and no objects. */
async function indexLists({ rows, listLength }: Lists, order: Int32Array, breathe: Breathe): Promise<ListIndex> {
  let passages = 0;
  for (let i = 0; i < rows.length; i++) {
    if (rows[i]! >= passages) passages = rows[i]! + 1;
    if (i % 65_536 === 0) await breathe();
  }
  const starts = new Int32Array(passages + 1);
  for (const place of order) {
    for (let j = 0; j < listLength; j++) starts[rows[place * listLength + j]! + 1]! += 1;
    await breathe();
  }
  for (let p = 0; p < passages; p++) starts[p + 1]! += starts[p]!;
  const lists = new Int32Array(order.length * listLength);
  const filled = starts.slice();
  for (const place of order) {
    for (let j = 0; j < listLength; j++) lists[filled[rows[place * listLength + j]!]!++] = place;
    await breathe();
  }
  return { starts, lists };
}

/** A batch as it grows, with the lists left over sorted into bins by how many of their passages it holds. */
class GrowingBatch {
  readonly #set: Lists;
  readonly #index: ListIndex;
  readonly #taken: Uint8Array;
  /** The batch that a passage was last in, and a list last shared a passage with: marks need not be wiped. */
  readonly #batchOfPassage: Int32Array;
  readonly #batchOfList: Int32Array;
  readonly #shared: Uint16Array;
  #batch = 0;
  /** A list is put into a further bin each time it rises; bins below its own hold it no longer truly. */
  #bins: number[][] = [];
  #starts: number[] = [];

  constructor(set: Lists, index: ListIndex) {
    this.#set = set;
    this.#index = index;
    this.#taken = new Uint8Array(set.size);
    this.#batchOfPassage = new Int32Array(index.starts.length);
    this.#batchOfList = new Int32Array(set.size);
    this.#shared = new Uint16Array(set.size);
  }

  isTaken(place: number): boolean {
    return this.#taken[place] === 1;
  }

  /** Begins the next batch. */
  start(): void {
    this.#batch += 1;
    this.#bins = [];
    this.#starts = [];
  }

  async take(place: number, breathe: Breathe): Promise<void> {
    const { rows, listLength } = this.#set;
    this.#taken[place] = 1;
    for (let j = 0; j < listLength; j++) {
      const passage = rows[place * listLength + j]!;
      if (this.#batchOfPassage[passage] === this.#batch) continue;
      this.#batchOfPassage[passage] = this.#batch;
      this.#raise(passage);
      await breathe();
    }
  }

  /** The lists that hold this passage share one more with the batch. */
  #raise(passage: number): void {
    const { starts, lists } = this.#index;
    for (let i = starts[passage]!; i < starts[passage + 1]!; i++) {
      const list = lists[i]!;
      if (this.#taken[list]) continue;
      const before = this.#batchOfList[list] === this.#batch ? this.#shared[list]! : 0;
      this.#batchOfList[list] = this.#batch;
      this.#shared[list] = before + 1;
      this.#bins[before + 1] ??= [];
      this.#bins[before + 1]!.push(list);
    }
  }

  /** The list that shares most, or undefined where none shares any. */
  closest(): number | undefined {
    for (let shared = this.#bins.length - 1; shared > 0; shared--) {
      const bin = this.#bins[shared] ?? [];
      let start = this.#starts[shared] ?? 0;
      while (start < bin.length && (this.#taken[bin[start]!] || this.#shared[bin[start]!] !== shared)) start += 1;
      this.#starts[shared] = start;
      if (start < bin.length) return bin[start];
    }
    return undefined;
  }
}
