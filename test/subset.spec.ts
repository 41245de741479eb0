import { expect } from 'chai';
import { collectionSubset } from '../lib/evaluation/subset.js';
import type { TestCollection } from '../lib/formats/beir.js';
import { rejection } from './rejection.js';

const collection: TestCollection = {
  corpus: Array.from({ length: 200 }, (_, i) => ({ id: `p${i}`, title: '', text: `passage ${i}` })),
  queries: Array.from({ length: 20 }, (_, i) => ({ id: `q${i}`, text: `query ${i}` })),
  qrels: new Map(Array.from({ length: 20 }, (_, i) => [`q${i}`, new Map([[`p${i * 3}`, 1]])])),
};

describe('collectionSubset', () => {
  it('keeps the judged passages of the sampled queries, those named, and a sample of the others', async () => {
    const part = await collectionSubset(collection, { queries: 5, distractors: 30, keep: ['p1', 'p199', 'no such'] });
    expect(part.queries).to.have.length(5);
    expect([...part.qrels.keys()]).to.have.members(part.queries.map(({ id }) => id));
    const ids = part.corpus.map(({ id }) => id);
    for (const grades of part.qrels.values()) expect(ids).to.include.members([...grades.keys()]);
    expect(ids).to.include.members(['p1', 'p199']);
    expect(ids).to.have.length(5 + 2 + 30);
    const order = ids.map((id) => Number(id.slice(1)));
    expect(order).to.deep.equal([...order].sort((a, b) => a - b));
  });

  it('is the same for the same seed, and another for another', async () => {
    const of = async (seed: number) =>
      (await collectionSubset(collection, { queries: 5, distractors: 30, seed })).corpus;
    expect(await of(1)).to.deep.equal(await of(1));
    expect(await of(1)).to.not.deep.equal(await of(2));
  });

  it('is the whole collection where it is asked for more than there is', async () => {
    expect(await collectionSubset(collection, { distractors: 10_000 })).to.deep.equal(collection);
  });

  it('is the same from a stream of passages, which is read twice', async () => {
    let readings = 0;
    const corpus = {
      async *[Symbol.asyncIterator]() {
        readings += 1;
        yield* collection.corpus;
      },
    };
    const options = { queries: 5, distractors: 30, keep: ['p1'], seed: 3 };
    const part = await collectionSubset({ ...collection, corpus }, options);
    expect(part).to.deep.equal(await collectionSubset(collection, options));
    expect(readings).to.equal(2);
  });

  it('refuses numbers that cannot be', async () => {
    const error = await rejection(collectionSubset(collection, { distractors: 0 }));
    expect(error.message).to.equal('Expected a whole number from 1 for distractors but received 0.');
  });
});
