import { readLists } from '../lib/lists/file.js';
import { Random } from '../lib/random.js';
import { type Batching, epochBatches } from '../lib/training/batches.js';
import type { TrainingSet } from '../lib/training/training-set.js';

/**
 * `node --import=tsx bench/batching.ts [LISTS BATCH_SIZE...]`: the share of distinct passages in a batch, and the time
 * to order an epoch, for random and clustered batches; over a lists file, else over 100,000 and a million made-up lists.
 */
type Lists = Pick<TrainingSet, 'size' | 'listLength' | 'rows'>;

const LENGTH = 20;

/** Candidates lie around a source, as those of a retriever do: 20 of 200 neighbours. */
function madeUp(size: number, passages: number): Lists {
  const random = Random.for(1, 'lists');
  const rows = new Int32Array(size * LENGTH);
  for (let i = 0; i < size; i++) {
    const source = random.integer(passages);
    for (let j = 0; j < LENGTH; j++) {
      const row = source + Math.floor((random.float() - 0.5) * 200);
      rows[i * LENGTH + j] = Math.min(passages - 1, Math.max(0, row));
    }
  }
  return { size, listLength: LENGTH, rows };
}

async function fromFile(file: string): Promise<Lists> {
  const lists = await readLists(file, { corpus: { has: () => true } });
  const rowOf = new Map<string, number>();
  const rows = lists.flatMap(({ passages }) =>
    passages.map(({ id }) => {
      if (!rowOf.has(id)) rowOf.set(id, rowOf.size);
      return rowOf.get(id)!;
    }),
  );
  return { size: lists.length, listLength: rows.length / lists.length, rows: Int32Array.from(rows) };
}

async function report(name: string, set: Lists, batchSize: number): Promise<void> {
  for (const batching of ['random', 'clustered'] satisfies Batching[]) {
    const started = performance.now();
    const batches = await epochBatches(set as TrainingSet, { batchSize, batching, seed: 1, epoch: 0 });
    const seconds = ((performance.now() - started) / 1000).toFixed(2);
    const slots = batches.reduce((sum, batch) => sum + batch.length * set.listLength, 0);
    const unique = batches.reduce((sum, batch) => sum + distinct(set, batch), 0);
    console.log(
      `${name}, ${batchSize} a batch, ${batching}: unique share ${(unique / slots).toFixed(3)}, ${seconds} s`,
    );
  }
}

function distinct({ rows, listLength }: Lists, batch: Int32Array): number {
  const seen = new Set<number>();
  for (const place of batch) for (let j = 0; j < listLength; j++) seen.add(rows[place * listLength + j]!);
  return seen.size;
}

const [file, ...sizes] = process.argv.slice(2);
if (file) {
  const set = await fromFile(file);
  for (const size of sizes.length > 0 ? sizes : ['64']) await report(`${set.size} lists`, set, Number(size));
} else {
  await report('100,000 lists over 100,000 passages', madeUp(100_000, 100_000), 4096);
  await report('100,000 lists over a million passages', madeUp(100_000, 1_000_000), 4096);
  await report('a million lists over a million passages', madeUp(1_000_000, 1_000_000), 4096);
}
