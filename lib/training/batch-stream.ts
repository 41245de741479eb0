import { Random } from '../random.js';
import { type Batch, epochBatches, type MakeBatch, makeBatch } from './batches.js';
import type { SettledRunOptions } from './run-options.js';
import type { TrainingData, TrainingPair } from './training-set.js';

/** A step's batch, and where it stands. */
export interface PlacedBatch {
  pair: TrainingPair;
  batch: Batch;
  /** From 0. */
  epoch: number;
  /** Its number in the epoch, from 0, and how many the epoch has. */
  index: number;
  epochSteps: number;
}

type OrderOptions = Pick<SettledRunOptions, 'batchSize' | 'batching' | 'seed' | 'signal'>;

/** How batches are put together; of an embedding model by default. */
export interface Making {
  make?: MakeBatch;
}

/** The batches of a run, from a place in an epoch on, without end. */
export async function* trainingBatches(
  data: TrainingData,
  { make = makeBatch, ...options }: OrderOptions & Making,
  from: { epoch: number; batch: number },
): AsyncGenerator<PlacedBatch> {
  for (let epoch = from.epoch; ; epoch++) {
    const plan = await planEpoch(data, { ...options, epoch });
    for (let index = epoch === from.epoch ? from.batch : 0; index < plan.length; index++) {
      const { pair, lists } = plan[index]!;
      const batch = await make(pair.train, lists, options.signal);
      yield { pair, batch, epoch, index, epochSteps: plan.length };
    }
  }
}

/** A batch, and how long the trainer waited for it. */
export interface TakenBatch extends PlacedBatch {
  waitSeconds: number;
}

/** The next batch of those that have no end. */
export async function nextOf(batches: AsyncGenerator<PlacedBatch>): Promise<TakenBatch> {
  const asked = performance.now();
  const { value } = await batches.next();
  return { ...(value as PlacedBatch), waitSeconds: (performance.now() - asked) / 1000 };
}

/** The batches of an epoch in their order. Each is of one set; several sets take turns in proportion to their sizes. */
export async function planEpoch(
  { sets }: TrainingData,
  options: OrderOptions & { epoch: number },
): Promise<{ pair: TrainingPair; lists: Int32Array }[]> {
  const random = Random.for(options.seed, 'turns', options.epoch);
  const turns: { pair: TrainingPair; lists: Int32Array; when: number }[] = [];
  for (const [set, pair] of sets.entries()) {
    const batches = await epochBatches(pair.train, { ...options, set });
    // Evenly spread over the epoch, from a random start.
    const start = random.float();
    for (const [i, lists] of batches.entries()) turns.push({ pair, lists, when: (i + start) / batches.length });
  }
  if (sets.length > 1) turns.sort((a, b) => a.when - b.when);
  return turns;
}

/** The batches of a set's dev lists, in order; the last may be smaller. */
export async function* devBatches(
  { dev }: TrainingPair,
  { batchSize, signal, make = makeBatch }: Pick<SettledRunOptions, 'batchSize' | 'signal'> & Making,
): AsyncGenerator<Batch> {
  if (!dev) return;
  for (let start = 0; start < dev.size; start += batchSize) {
    const size = Math.min(batchSize, dev.size - start);
    yield await make(
      dev,
      Int32Array.from({ length: size }, (_, i) => start + i),
      signal,
    );
  }
}

/** Makes each item while the one before is in use, so that nobody waits for it. */
export async function* oneAhead<T>(items: AsyncGenerator<T>): AsyncGenerator<T> {
  let next = items.next();
  try {
    for (;;) {
      const { done, value } = await next;
      if (done) return;
      next = items.next();
      // What goes wrong is told when the item's turn comes.
      next.catch(() => {});
      yield value;
    }
  } finally {
    await next.catch(() => {});
    await items.return(undefined);
  }
}
