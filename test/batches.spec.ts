import { expect } from 'chai';
import { Random } from '../lib/random.js';
import { type Batching, epochBatches, makeBatch } from '../lib/training/batches.js';
import { MemoryTokens } from '../lib/training/token-source.js';
import type { TrainingSet } from '../lib/training/training-set.js';
import { pausesDuring } from './environment.js';
import { rejection } from './rejection.js';

/** Lists over few passages: list i holds the passages of its group. */
function groupedSet(groups: number, perGroup: number, listLength: number): TrainingSet {
  const random = Random.for(1, 'groups');
  const size = groups * perGroup;
  const rows = new Int32Array(size * listLength);
  for (let i = 0; i < size; i++) {
    for (let j = 0; j < listLength; j++)
      rows[i * listLength + j] = (i % groups) * 2 * listLength + random.integer(2 * listLength);
  }
  const texts = (count: number) =>
    new MemoryTokens({ ids: new Int32Array(count), offsets: Int32Array.from({ length: count + 1 }, (_, i) => i) });
  return {
    size,
    listLength,
    idOf: (place) => `q${place}`,
    queries: texts(size),
    passages: texts(groups * 2 * listLength),
    rows,
    teacher: new Float64Array(rows.length),
  };
}

describe('epochBatches', () => {
  const set = groupedSet(40, 16, 8);

  for (const batching of ['random', 'clustered'] satisfies Batching[]) {
    describe(batching, () => {
      const options = { batchSize: 30, batching, seed: 3, epoch: 0 };

      it('uses each list at most once, and leaves out what does not fill a batch', async () => {
        const batches = await epochBatches(set, options);
        expect(batches.map((batch) => batch.length)).to.deep.equal(new Array(21).fill(30));
        expect(new Set(batches.flatMap((batch) => [...batch]))).to.have.property('size', 630);
      });

      it('depends on seed and epoch alone', async () => {
        const first = await epochBatches(set, options);
        expect(await epochBatches(set, options)).to.deep.equal(first);
        expect(await epochBatches(set, { ...options, epoch: 1 })).to.not.deep.equal(first);
        expect(await epochBatches(set, { ...options, seed: 4 })).to.not.deep.equal(first);
      });

      it('leaves out other lists in another epoch', async () => {
        const leftOut = async (epoch: number) => {
          const used = new Set((await epochBatches(set, { ...options, epoch })).flatMap((batch) => [...batch]));
          return Array.from({ length: set.size }, (_, i) => i).filter((i) => !used.has(i));
        };
        expect(await leftOut(0))
          .to.have.length(10)
          .and.not.deep.equal(await leftOut(1));
      });

      it('makes one batch of a set that is smaller than one', async () => {
        const [batch, ...more] = await epochBatches(groupedSet(2, 3, 4), options);
        expect(more).to.deep.equal([]);
        expect([...batch!].sort()).to.deep.equal([0, 1, 2, 3, 4, 5]);
      });
    });
  }

  it('shuffles many lists in turns as it would at once', async () => {
    const size = 40_000;
    const one = { size, listLength: 1, rows: new Int32Array(size) };
    const [batch] = await epochBatches(one, { batchSize: size, batching: 'random', seed: 3, epoch: 2 });
    const places = Array.from({ length: size }, (_, place) => place);
    expect([...batch!]).to.deep.equal(Random.for(3, 'epoch', 2).shuffle(places));
  });

  it('does not hold up the event loop with many lists to cluster', async () => {
    const many = groupedSet(4000, 50, 20);
    const options = { batchSize: 4096, batching: 'clustered', seed: 3, epoch: 0 } as const;
    const { busy, work } = await pausesDuring(() => epochBatches(many, options));
    expect(work, 'the work lasts long enough to tell').to.be.above(100);
    expect(busy).to.be.below(50);
  });

  it('clusters lists that share passages', async () => {
    const distinct = async (batching: Batching) => {
      const batches = await epochBatches(set, { batchSize: 30, batching, seed: 3, epoch: 0 });
      const counts = batches.map(
        (batch) => new Set([...batch].flatMap((i) => [...set.rows.subarray(i * 8, i * 8 + 8)])).size,
      );
      return counts.reduce((sum, count) => sum + count) / counts.length;
    };
    expect(await distinct('clustered')).to.be.below(0.5 * (await distinct('random')));
  });
});

describe('makeBatch', () => {
  it('holds each passage once, and rows that lead back to what the lists name', async () => {
    const set: TrainingSet = {
      ...{ size: 3, listLength: 2, idOf: String },
      queries: new MemoryTokens({
        ids: Int32Array.of(10, 11, 11, 12, 12, 12),
        offsets: Int32Array.of(0, 1, 3, 6),
      }),
      passages: new MemoryTokens({ ids: Int32Array.of(5, 6, 6, 7, 7, 7), offsets: Int32Array.of(0, 1, 3, 6) }),
      rows: Int32Array.of(2, 0, 1, 2, 0, 2),
      teacher: Float64Array.of(0.1, 0.2, 0.3, 0.4, 0.5, 0.6),
    };
    expect(await makeBatch(set, Int32Array.of(2, 0))).to.deep.equal({
      lists: Int32Array.of(2, 0),
      queries: { ids: Int32Array.of(12, 12, 12, 10), offsets: Int32Array.of(0, 3, 4) },
      passages: { ids: Int32Array.of(5, 7, 7, 7), offsets: Int32Array.of(0, 1, 4) },
      rows: Int32Array.of(0, 1, 1, 0),
      teacher: Float64Array.of(0.5, 0.6, 0.1, 0.2),
      listLength: 2,
    });
  });

  it('does not hold up the event loop with 4,096 lists of 20 passages of 200 tokens', async () => {
    const [lists, listLength] = [4096, 20];
    const rows = Int32Array.from({ length: lists * listLength }, (_, i) => i);
    const texts = (count: number, tokens: number) =>
      new MemoryTokens({
        ids: new Int32Array(count * tokens),
        offsets: Int32Array.from({ length: count + 1 }, (_, i) => i * tokens),
      });
    const set = {
      ...{ size: lists, listLength, idOf: String, rows },
      queries: texts(lists, 16),
      passages: texts(rows.length, 200),
      teacher: new Float64Array(rows.length),
    };
    const all = Int32Array.from({ length: lists }, (_, i) => i);
    const { busy } = await pausesDuring(() => makeBatch(set, all));
    expect(busy).to.be.below(50);
  });

  it('stops when aborted', async () => {
    const set = groupedSet(40, 500, 8);
    const all = Int32Array.from({ length: 20_000 * 40 }, (_, i) => i % 20_000);
    const reason = new Error('no longer wanted');
    const stop = new AbortController();
    setImmediate(() => stop.abort(reason));
    expect(await rejection(makeBatch(set, all, stop.signal))).to.equal(reason);
  });
});
