import { readdir, truncate, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { type Corpus, loadCorpus } from '../lib/corpus/corpus.js';
import { IdTable } from '../lib/corpus/id-table.js';
import { PackedCorpus } from '../lib/corpus/packed-corpus.js';
import { hash32, Random } from '../lib/random.js';
import type { Passage } from '../lib/types.js';
import { temporaryDirectory } from './helpers.js';
import { rejection } from './rejection.js';

/** Passages of many lengths, one longer than a chunk of the writer, with characters of one to four bytes. */
function somePassages(count: number): Passage[] {
  const random = Random.for(1, 'passages');
  return Array.from({ length: count }, (_, i) => {
    const text = 'aé漢😀'.repeat(i === 7 ? 1_200_000 : random.integer(60));
    return { id: `passage-${i}-${'é'.repeat(random.integer(3))}`, title: i % 2 ? `title ${i}` : '', text };
  });
}

const lines = (passages: readonly Passage[]) =>
  passages.map(({ id, title, text }) => `${JSON.stringify({ _id: id, title, text })}\n`).join('');

describe('IdTable', () => {
  it('finds rows over many growths, also of ids whose hashes are equal', async () => {
    const ids = Array.from({ length: 20_000 }, (_, i) => `id${i}`);
    // Two words that FNV-1a maps to one number.
    ids.push('costarring', 'liquid', 'declinate', 'macallums');
    expect(hash32('costarring')).to.equal(hash32('liquid'));
    const table = IdTable.empty();
    const idOf = (row: number) => ids[row]!;
    for (const [row, id] of ids.entries()) {
      await table.reserve(() => undefined);
      expect(table.add(id, row, idOf)).to.equal(-1);
    }
    for (const [row, id] of ids.entries()) expect(table.find(id, idOf)).to.equal(row);
    expect(table.find('nobody', idOf)).to.equal(-1);
    expect(table.add('id5', 99, idOf)).to.equal(5);
    expect(table.size).to.equal(ids.length);
  });
});

describe('PackedCorpus', () => {
  const passages = somePassages(3000);
  let directory: string;
  let corpus: Corpus;

  before(async () => {
    directory = temporaryDirectory();
    await writeFile(join(directory, 'corpus.jsonl'), lines(passages));
    corpus = await loadCorpus(directory, { corpusMemory: 10_000, corpusCache: join(directory, 'cache') });
  });
  after(() => corpus[Symbol.dispose]?.());

  it('gives the passages of the corpus in memory, in order and at random', async () => {
    expect(corpus).to.be.instanceOf(PackedCorpus);
    const inMemory = await loadCorpus(passages);
    expect(corpus.size).to.equal(inMemory.size);
    expect([...corpus]).to.deep.equal([...inMemory]);
    expect([...corpus.ids()]).to.deep.equal([...inMemory.ids()]);
    const random = Random.for(2, 'rows');
    for (let i = 0; i < 2000; i++) {
      const row = random.integer(passages.length);
      expect(corpus.at(row)).to.deep.equal(passages[row]);
      expect(corpus.id(row)).to.equal(passages[row]!.id);
      expect(corpus.row(passages[row]!.id)).to.equal(row);
      expect(corpus.get(passages[row]!.id)).to.deep.equal(passages[row]);
    }
    expect(corpus.has('nobody')).to.equal(false);
    expect(corpus.get('nobody')).to.equal(undefined);
    expect(() => corpus.at(3000)).to.throw(RangeError, 'There is no row 3000 in a corpus of 3000 passages.');
    expect(() => corpus.at(-1)).to.throw(RangeError);
  });

  it('is used again while the files are as they were, and made anew when they change', async () => {
    const options = { corpusMemory: 10_000, corpusCache: join(directory, 'cache') };
    const [name] = await readdir(options.corpusCache);
    const packed = join(options.corpusCache, name!, 'passages.bin');
    const old = new Date(2020, 1, 1);
    await utimes(packed, old, old);
    const again = await loadCorpus(directory, options);
    expect(again.report).to.deep.equal(corpus.report);
    expect(again.report?.read).to.equal(3000);
    expect(await readdir(options.corpusCache)).to.deep.equal([name]);
    await writeFile(join(directory, 'corpus.jsonl'), lines(passages.slice(0, 2000)));
    const changed = await loadCorpus(directory, options);
    expect(changed.size).to.equal(2000);
    expect(await readdir(options.corpusCache)).to.deep.equal([name]);
    // The corpus that was open stays readable.
    expect(corpus.at(2999)).to.deep.equal(passages[2999]);
    for (const opened of [again, changed]) opened[Symbol.dispose]?.();
  });

  it('opens by its own directory too', async () => {
    const cache = join(directory, 'cache');
    const opened = await loadCorpus(join(cache, (await readdir(cache))[0]!));
    expect(opened.at(5)).to.deep.equal(passages[5]);
    opened[Symbol.dispose]?.();
  });

  it('leaves no files behind of passages at hand, or of a file that is broken', async () => {
    const cache = temporaryDirectory();
    const options = { corpusMemory: 10_000, corpusCache: cache };
    const opened = await loadCorpus(passages, options);
    expect(opened).to.be.instanceOf(PackedCorpus);
    expect([...opened]).to.deep.equal(passages);
    const file = join(temporaryDirectory(), 'broken.jsonl');
    await writeFile(file, `${lines(passages)}{"_id": "passage-1-"`);
    expect((await rejection(loadCorpus(file, options))).message).to.match(/broken\.jsonl:3001: /);
    expect(await readdir(cache)).to.deep.equal([]);
    opened[Symbol.dispose]?.();
  });

  it('finds an id that comes twice, wherever the first is by then', async () => {
    const directory = temporaryDirectory();
    const file = join(directory, 'corpus.jsonl');
    const options = { corpusMemory: 10_000, corpusCache: join(directory, 'cache') };
    for (const first of [3, 2990]) {
      await writeFile(file, lines([...passages, { ...passages[first]!, text: 'again' }]));
      expect((await rejection(loadCorpus(file, options))).message).to.contain(
        `${file}:3001: Expected ids that stand once but "${passages[first]!.id}" stands on line ${first + 1} already`,
      );
    }
  });

  it('refuses a directory that has lost bytes', async () => {
    const cache = join(directory, 'cache');
    const packed = join(cache, (await readdir(cache))[0]!);
    await truncate(join(packed, 'offsets.f64'), 80);
    expect((await rejection(PackedCorpus.open(packed))).message).to.equal(
      `${packed}: Expected a packed corpus but its files do not fit together; remove the directory.`,
    );
  });
});
