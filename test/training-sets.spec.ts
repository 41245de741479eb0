import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { oneAhead, planEpoch } from '../lib/training/batch-stream.js';
import { settleSources } from '../lib/training/sources.js';
import { trainListwise } from '../lib/training/train.js';
import type { TrainingPair } from '../lib/training/training-set.js';
import type { TrainingList } from '../lib/types.js';
import { readSafetensors, temporaryDirectory, writeTinyModel } from './helpers.js';
import { rejection } from './rejection.js';
import { trainingTask } from './training-task.js';

const output = () => join(temporaryDirectory(), 'run');
const readLog = (directory: string): any[] =>
  readFileSync(join(directory, 'log.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));

function writeJsonl(name: string, records: readonly object[]): string {
  const file = join(temporaryDirectory(), name);
  writeFileSync(file, records.map((record) => `${JSON.stringify(record)}\n`).join(''));
  return file;
}

describe('trainListwise with several sets', () => {
  const { corpus, train, dev } = trainingTask();
  const model = writeTinyModel();
  const quick = { model, batchSize: 10, learningRate: 3e-3, warmupSteps: 2, seed: 7, epochs: 2, patience: 9 };
  // The same ids, but of other texts.
  const other = new Map([...corpus].map(([id, text]) => [id, [...text].reverse().join('')]));
  const sets = [
    { name: 'forwards', lists: train, dev, corpus },
    { name: 'backwards', lists: train.slice(0, 25), dev: dev.slice(0, 5), corpus: other },
  ];

  it('takes each step from one set, in proportion, and weights dev losses by size', async () => {
    const directory = output();
    const result = await trainListwise({ ...quick, lists: sets, output: directory });
    expect(result.plan).to.include({ stepsPerEpoch: 6, totalSteps: 12 });
    expect(result.lists).to.deep.equal({
      ...{ train: 65, dev: 15, listLength: 6, passages: 119 },
      sets: [
        { name: 'forwards', train: 40, dev: 10, listLength: 6, passages: 60 },
        { name: 'backwards', train: 25, dev: 5, listLength: 6, passages: 59 },
      ],
    });
    const records = readLog(directory);
    const steps = records.filter(({ kind }) => kind === 'step');
    expect(steps.slice(0, 6).filter(({ set }) => set === 'backwards')).to.have.length(2);
    expect(steps.slice(6).filter(({ set }) => set === 'backwards')).to.have.length(2);
    const evaluations = records.filter(({ kind }) => kind === 'evaluation');
    expect(evaluations).to.have.length(3);
    for (const { loss, sets: each } of evaluations) {
      expect(each.map(({ name, lists }: any) => [name, lists])).to.deep.equal([
        ['forwards', 10],
        ['backwards', 5],
      ]);
      expect(loss).to.be.closeTo((2 * each[0].loss + each[1].loss) / 3, 1e-12);
      expect(each[0].loss).to.not.be.closeTo(each[1].loss, 1e-3);
    }
  });

  it('keeps passages of two corpora apart that have the same id', async () => {
    const losses = async (lists: object[]) => {
      const directory = output();
      await trainListwise({
        ...quick,
        teacherTemperature: 0.3,
        lists: lists as typeof sets,
        output: directory,
        maxSteps: 1,
      });
      return readLog(directory)
        .find(({ kind }) => kind === 'evaluation')
        .sets.map(({ loss }: any) => loss);
    };
    const [forwards, backwards] = await losses(sets);
    const swapped = await losses([sets[1]!, sets[0]!]);
    expect(swapped).to.deep.equal([backwards, forwards]);
    const unshared = sets.map((set) => ({
      ...set,
      corpus: undefined,
      lists: withTexts(set.lists, set.corpus),
      dev: withTexts(set.dev, set.corpus),
    }));
    expect(await losses(unshared)).to.deep.equal([forwards, backwards]);
  });

  it('takes files side by side, named by their files, with one corpus for all', async () => {
    const lists = [writeJsonl('first.train.jsonl', train), writeJsonl('second.jsonl', train.slice(0, 20))];
    const devFiles = [writeJsonl('dev1.jsonl', dev), writeJsonl('dev2.jsonl', dev)];
    const directory = output();
    const result = await trainListwise({ ...quick, lists, dev: devFiles, corpus, output: directory });
    expect(result.lists.sets!.map(({ name, train: size }) => [name, size])).to.deep.equal([
      ['first', 40],
      ['second', 20],
    ]);
  });

  it('takes a corpus that stands in an array by itself, as on the command line, for that of all', () => {
    const settled = settleSources({ lists: ['a.jsonl', 'b.jsonl'], dev: ['c.jsonl', 'd.jsonl'], corpus: ['texts'] });
    expect(settled.map((one) => one.corpus)).to.deep.equal(['texts', 'texts']);
    expect(() => settleSources({ lists: ['a.jsonl', 'b.jsonl', 'c.jsonl'], corpus: ['x', 'y'] })).to.throw(
      'Expected 3 paths, one for each of lists, for corpus but received an array of 2.',
    );
  });

  it('refuses to stop by the very file that it trains on', () => {
    const message = 'Expected lists other than those trained on for dev but received "./lists.jsonl"';
    expect(() => settleSources({ lists: 'lists.jsonl', dev: './lists.jsonl' })).to.throw(message);
    expect(() => settleSources({ lists: ['a.jsonl', 'b.jsonl'], dev: ['c.jsonl', 'b.jsonl'] })).to.throw(
      'lists[1].dev',
    );
  });

  it('is the same run with one source as without', async () => {
    const plain = await trainListwise({ ...quick, lists: train, dev, corpus, output: output() });
    const source = await trainListwise({ ...quick, lists: [sets[0]!], output: output() });
    const [a, b] = [plain, source].map(({ directory }) => readSafetensors(join(directory, 'model.safetensors')));
    expect(b).to.deep.equal(a);
    expect(source.lists).to.deep.equal(plain.lists);
  });

  it('matches the temperature over the lists of all sets', async () => {
    const match = async (lists: typeof sets) =>
      (await trainListwise({ ...quick, lists, output: output(), maxSteps: 1 })).temperatureMatch!;
    const [both, first, second] = [await match(sets), await match([sets[0]!]), await match([sets[1]!])];
    expect(both.lists).to.equal(65);
    expect(both.studentEntropy).to.be.closeTo((40 * first.studentEntropy + 25 * second.studentEntropy) / 65, 1e-12);
  });
});

function withTexts(lists: readonly TrainingList[], corpus: ReadonlyMap<string, string>): TrainingList[] {
  return lists.map((list) => ({
    ...list,
    passages: list.passages.map(({ id, score }) => ({ id, score, text: corpus.get(id)! })),
  }));
}

describe('planEpoch', () => {
  const pair = (name: string, size: number) =>
    ({ name, train: { size, listLength: 2, rows: new Int32Array(2 * size) } }) as unknown as TrainingPair;
  const options = { batchSize: 10, batching: 'random' as const, seed: 3 };

  it('spreads the batches of each set evenly over the epoch', async () => {
    const plan = await planEpoch({ sets: [pair('large', 900), pair('small', 300)] }, { ...options, epoch: 0 });
    const places = plan.flatMap(({ pair: { name } }, i) => (name === 'small' ? [i] : []));
    expect(places).to.have.length(30);
    const gaps = places.slice(1).map((place, i) => place - places[i]!);
    expect(Math.min(...gaps)).to.be.at.least(3);
    expect(Math.max(...gaps)).to.be.at.most(5);
  });

  it('uses every list of each set once, in an order of its own in each epoch', async () => {
    const data = { sets: [pair('a', 100), pair('b', 40)] };
    const orders = new Set<string>();
    for (const epoch of [0, 1]) {
      const plan = await planEpoch(data, { ...options, epoch });
      for (const { name, train } of data.sets) {
        const own = plan.filter(({ pair: { name: of } }) => of === name).flatMap(({ lists }) => [...lists]);
        expect(own.toSorted((a, b) => a - b)).to.deep.equal(Array.from({ length: train.size }, (_, i) => i));
        orders.add(own.join());
      }
    }
    expect(orders.size).to.equal(4);
    expect(await planEpoch(data, { ...options, epoch: 1 })).to.deep.equal(
      await planEpoch(data, { ...options, epoch: 1 }),
    );
  });
});

describe('oneAhead', () => {
  async function* numbers(made: number[], broken = Number.NaN): AsyncGenerator<number> {
    try {
      for (let i = 0; i < 4; i++) {
        if (i === broken) throw new Error('broken');
        made.push(i);
        yield i;
      }
    } finally {
      made.push(-1);
    }
  }

  it('makes the next item while one is in use', async () => {
    const made: number[] = [];
    const got: number[] = [];
    for await (const item of oneAhead(numbers(made))) {
      await new Promise((resolve) => setImmediate(resolve));
      expect(made).to.include(item < 3 ? item + 1 : -1);
      got.push(item);
    }
    expect(got).to.deep.equal([0, 1, 2, 3]);
  });

  it('tells what went wrong when its turn comes, and ends what it takes from', async () => {
    const got: number[] = [];
    const all = async () => {
      for await (const item of oneAhead(numbers([], 2))) got.push(item);
    };
    expect((await rejection(all())).message).to.equal('broken');
    expect(got).to.deep.equal([0, 1]);
    const made: number[] = [];
    for await (const item of oneAhead(numbers(made))) if (item === 1) break;
    expect(made).to.deep.equal([0, 1, 2, -1]);
  });
});
