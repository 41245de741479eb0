import { appendFileSync, readdirSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { loadCorpus } from '../lib/corpus/corpus.js';
import { type EmbeddingModel, loadModel } from '../lib/models/model.js';
import type { PackedTexts } from '../lib/native.js';
import { Random } from '../lib/random.js';
import { NumberWriter } from '../lib/training/number-file.js';
import { FileTokens, MemoryTokens } from '../lib/training/token-source.js';
import { openTrainingData, TokenStore } from '../lib/training/token-store.js';
import { pausesDuring } from './environment.js';
import { temporaryDirectory, writeTinyModel } from './helpers.js';
import { rejection } from './rejection.js';
import { trainingTask } from './training-task.js';

async function writeNumbers(file: string, numbers: Int32Array | Float64Array): Promise<string> {
  const writer = await NumberWriter.create(file);
  await writer.add(numbers);
  await writer.finish();
  return file;
}

async function bothSources(texts: PackedTexts): Promise<[MemoryTokens, FileTokens]> {
  const directory = temporaryDirectory();
  const ids = await writeNumbers(join(directory, 'ids'), texts.ids);
  const offsets = await writeNumbers(join(directory, 'offsets'), Float64Array.from(texts.offsets));
  return [new MemoryTokens(texts), await FileTokens.open({ ids, offsets })];
}

function randomTokens(count: number, longest: number): PackedTexts {
  const random = Random.for(2, 'tokens');
  const offsets = new Int32Array(count + 1);
  for (let i = 0; i < count; i++) offsets[i + 1] = offsets[i]! + random.integer(longest);
  return { ids: Int32Array.from({ length: offsets[count]! }, () => random.integer(30_000)), offsets };
}

describe('FileTokens', () => {
  it('gathers what lies in memory, whatever the rows', async () => {
    const texts = randomTokens(3000, 400);
    const [memory, file] = await bothSources(texts);
    const random = Random.for(3, 'rows');
    const some = Array.from({ length: 500 }, () => random.integer(3000));
    for (const rows of [[], [2999], [0, 0, 7, 0], some, Array.from({ length: 3000 }, (_, i) => 2999 - i)]) {
      expect(await file.gather(rows)).to.deep.equal(await memory.gather(rows));
    }
    expect([file.count, file.tokens]).to.deep.equal([3000, texts.ids.length]);
    await file[Symbol.asyncDispose]();
  });

  it('stops when aborted', async () => {
    const [, file] = await bothSources(randomTokens(3000, 400));
    const reason = new Error('enough');
    expect(await rejection(file.gather([1, 2, 3], AbortSignal.abort(reason)))).to.equal(reason);
    await file[Symbol.asyncDispose]();
  });

  it('does not hold up the event loop with 80,000 texts from all over the file', async () => {
    const [, file] = await bothSources(randomTokens(100_000, 60));
    const random = Random.for(4, 'rows');
    const rows = Array.from({ length: 80_000 }, () => random.integer(100_000));
    const { busy } = await pausesDuring(() => file.gather(rows));
    await file[Symbol.asyncDispose]();
    expect(busy).to.be.below(50);
  });
});

describe('TokenStore', () => {
  const { corpus, train, dev } = trainingTask();
  let model: EmbeddingModel;

  before(async () => {
    model = await loadModel(writeTinyModel());
  });

  after(() => model.encoder.dispose());

  /** Opens one set, and says how many texts were tokenised for that. */
  async function open(
    source: object,
    change: { directory?: string; memoryBytes?: number; [name: string]: unknown } = {},
  ) {
    const { directory = temporaryDirectory(), memoryBytes, ...rest } = change;
    let tokenized = 0;
    const data = await openTrainingData(model, [{ name: 'one', lists: train, ...source }], {
      ...{ store: new TokenStore(directory, memoryBytes), modelHash: 'm', queryMaxLength: 16, passageMaxLength: 20 },
      ...rest,
      onProgress: ({ stage, done, total }) => {
        if (stage === 'tokenizing' && total > 0) tokenized += done;
      },
    });
    const [pair] = data.sets;
    return { data, pair: pair!, tokenized, directory };
  }

  it('keeps queries, lists and scores, and each passage once', async () => {
    const { data, pair, tokenized } = await open({ corpus, dev });
    expect(tokenized).to.equal(40 + 10 + 60);
    expect([pair.train.size, pair.dev!.size, pair.train.passages.count]).to.deep.equal([40, 10, 60]);
    expect(pair.dev!.passages).to.equal(pair.train.passages);
    for (const [set, lists] of [
      [pair.train, train],
      [pair.dev!, dev],
    ] as const) {
      for (const [i, list] of lists.entries()) {
        expect(set.idOf(i)).to.equal(list.id);
        const rows = set.rows.subarray(i * 6, i * 6 + 6);
        const texts = await set.passages.gather(rows);
        const expected = await model.tokenizer.pack(
          list.passages.map(({ id }) => corpus.get(id)!),
          { maxLength: 20 },
        );
        expect(texts).to.deep.equal(expected);
        expect([...set.teacher.subarray(i * 6, i * 6 + 6)]).to.deep.equal(list.passages.map(({ score }) => score));
        expect(await set.queries.gather([i])).to.deep.equal(
          await model.tokenizer.pack([list.query], { maxLength: 16 }),
        );
      }
    }
    await data[Symbol.asyncDispose]();
  });

  it('gives the same from a file as from memory', async () => {
    const [memory, file] = [await open({ corpus }), await open({ corpus }, { memoryBytes: 0 })];
    expect(file.pair.train.passages).to.be.instanceOf(FileTokens);
    expect(memory.pair.train.passages).to.be.instanceOf(MemoryTokens);
    const rows = Array.from({ length: 60 }, (_, i) => (i * 7) % 60);
    expect(await file.pair.train.passages.gather(rows)).to.deep.equal(await memory.pair.train.passages.gather(rows));
    expect(file.pair.hashes).to.deep.equal(memory.pair.hashes);
    await memory.data[Symbol.asyncDispose]();
    await file.data[Symbol.asyncDispose]();
  });

  it('tokenises once, and again where lists, texts, lengths or model are others', async () => {
    const first = await open({ corpus, dev });
    const { directory } = first;
    const again = async (source: object, change: object = {}) =>
      (await open({ corpus, dev, ...source }, { directory, ...change })).tokenized;
    expect(await again({})).to.equal(0);
    expect(await again({}, { passageMaxLength: 21 })).to.equal(110);
    expect(await again({}, { modelHash: 'another' })).to.equal(110);
    expect(await again({ dev: dev.slice(1) })).to.be.above(0);
    expect(await again({ corpus: new Map([...corpus, ['p1', 'another']]) })).to.be.above(0);
    expect(await again({ corpus: new Map(corpus) })).to.equal(0);
  });

  it('knows files by path, size and time, and corpora by their passages', async () => {
    const directory = temporaryDirectory();
    const [lists, corpusFile] = ['lists.jsonl', 'corpus.jsonl'].map((name) => join(temporaryDirectory(), name)) as [
      string,
      string,
    ];
    writeFileSync(lists, train.map((list) => `${JSON.stringify(list)}\n`).join(''));
    writeFileSync(corpusFile, [...corpus].map(([_id, text]) => `${JSON.stringify({ _id, text })}\n`).join(''));
    const again = async (source: object) =>
      (await open({ lists, corpus: corpusFile, ...source }, { directory })).tokenized;
    expect(await again({})).to.equal(100);
    expect(await again({})).to.equal(0);
    const passages = [...corpus].map(([id, text]) => ({ id, title: '', text }));
    expect(await again({ corpus: passages })).to.equal(100);
    expect(await again({ corpus: await loadCorpus(passages) })).to.equal(0);
    utimesSync(corpusFile, 1, 1);
    expect(await again({})).to.equal(100);
    appendFileSync(lists, `${JSON.stringify({ ...dev[0], id: 'more' })}\n`);
    expect(await again({})).to.equal(101);
  });

  it('is made anew where it was damaged, and leaves nothing of what could not be made', async () => {
    const { directory } = await open({ corpus });
    const [key] = readdirSync(directory);
    truncateSync(join(directory, key!, 'passages.i32'), 8);
    expect((await open({ corpus }, { directory })).tokenized).to.equal(100);
    truncateSync(join(directory, key!, 'set.json'), 20);
    expect((await open({ corpus }, { directory })).tokenized).to.equal(100);
    const broken = [
      ...train,
      { ...train[0]!, id: 'x', passages: [{ id: 'nowhere', score: 1 }, ...train[0]!.passages.slice(1)] },
    ];
    const { message } = await rejection(open({ corpus, lists: broken }, { directory }));
    expect(message).to.include('The list of query "x" names passage "nowhere", which is not in the corpus;');
    expect(readdirSync(directory)).to.deep.equal([key]);
  });

  it('refuses one id with two texts, whether they come from lists or from the corpus', async () => {
    const list = (id: string, text?: string) => ({
      ...{ id, query: 'q' },
      passages: [
        { id: 'p1', text, score: 1 },
        { id: 'p2', score: 0 },
      ],
    });
    const message = 'The list of query "b" gives passage "p1" another text than an earlier list; one id is one text.';
    for (const lists of [
      [list('a', 'one'), list('b', 'two')],
      [list('a', 'one'), list('b')],
      [list('a'), list('b', 'two')],
    ]) {
      for (const source of [corpus, [...corpus].map(([id, text]) => ({ id, title: '', text }))]) {
        expect((await rejection(open({ lists, corpus: source }))).message).to.equal(message);
      }
    }
    const same = [list('a', corpus.get('p1')), list('b')];
    expect((await open({ lists: same, corpus })).pair.train.passages.count).to.equal(2);
  });
});
