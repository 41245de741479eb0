import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { readLists, writeLists } from '../lib/lists/file.js';
import type { TrainingList } from '../lib/types.js';
import { temporaryDirectory } from './helpers.js';
import { rejection } from './rejection.js';

describe('readLists', () => {
  let file: string;
  const corpus = new Set(['a', 'b', 'c', '7']);

  before(async () => {
    file = join(temporaryDirectory(), 'lists.jsonl');
  });

  const read = async (...lines: unknown[]) => {
    await writeFile(file, lines.map((line) => (typeof line === 'string' ? line : JSON.stringify(line))).join('\n'));
    return readLists(file, { corpus });
  };
  const message = async (...lines: unknown[]) => (await rejection(read(...lines))).message;
  const pair = (...ids: unknown[]) => ids.map((id, i) => ({ id, score: 1 - i / 4 }));

  it('gives back what writeLists wrote, with sources and types or without', async () => {
    const lists: TrainingList[] = [
      { id: 'x', query: 'lift "and"\ndrag', type: 'web', source: 'a', passages: pair('a', 'b') as never },
      { id: 'y', query: 'wing', passages: pair('c', '7') as never },
    ];
    await writeLists(file, lists);
    const back = await readLists(file, { corpus });
    expect(JSON.parse(JSON.stringify(back))).to.deep.equal(lists);
    expect((await readFile(file, 'utf8')).split('\n')).to.have.length(3);
  });

  it('reads lists that never saw the pipeline: no ids, numbers as ids, texts instead of a corpus', async () => {
    const text = (value: string, score: number) => ({ text: value, score });
    const [first, second, third] = await read(
      { query: 'x', passages: pair(7, 'a') },
      '',
      { query: 'y', passages: [text('one', 3), text('two', 1)] },
      { query: 'z', passages: [text('two', 3), { id: 'own', text: 'three', score: 1 }] },
    );
    expect(first!.id).to.equal('1');
    expect(first!.passages[0]!.id).to.equal('7');
    expect(second!.id).to.equal('3');
    expect(second!.passages[1]!.id).to.equal(third!.passages[0]!.id);
    expect(second!.passages[0]!.id).to.not.equal(second!.passages[1]!.id);
    expect(third!.passages[1]).to.deep.equal({ id: 'own', text: 'three', score: 1 });
  });

  it('names both lines of lists that differ in length', async () => {
    expect(
      await message({ query: 'x', passages: pair('a', 'b') }, { query: 'y', passages: pair('a', 'b', 'c') }),
    ).to.equal(
      `${file}:2 (field "passages"): Expected 2 passages, as on line 1, but found 3; ` +
        'give all lists as many, or cut them by listLength.',
    );
    expect(await message({ query: 'x', passages: pair('a') })).to.contain('Expected at least 2 passages');
  });

  it('cuts lists of any lengths to listLength, and names the line of one that is shorter', async () => {
    const lists = [pair('a', 'b'), pair('a', 'b', 'c'), pair('b', 'c', 'a', '7')].map((passages, i) => ({
      query: `q${i}`,
      passages,
    }));
    await writeFile(file, lists.map((list) => JSON.stringify(list)).join('\n'));
    const cut = await readLists(file, { corpus, listLength: 2 });
    expect(cut.map(({ passages }) => passages.map(({ id }) => id).join(' '))).to.deep.equal(['a b', 'a b', 'b c']);
    expect((await rejection(readLists(file, { corpus, listLength: 3 }))).message).to.equal(
      `${file}:1 (field "passages"): Expected at least 3 passages (listLength) but found 2.`,
    );
    expect((await rejection(readLists(file, { corpus, listLength: 1 }))).message).to.equal(
      'Expected a whole number of at least 2 for listLength but received 1.',
    );
  });

  it('names line and id of a passage that is not in the corpus', async () => {
    const good = { query: 'x', passages: pair('a', 'b') };
    expect(await message(good, { query: 'y', passages: pair('a', 'nowhere') })).to.equal(
      `${file}:2 (field "passages[1]"): Expected a passage of the corpus but "nowhere" is not there; ` +
        'check that the lists belong to this corpus.',
    );
    await writeFile(file, JSON.stringify(good));
    expect((await rejection(readLists(file))).message).to.contain('no corpus was given');
  });

  it('says that a score is NaN or infinite where JSON cannot hold it', async () => {
    for (const value of ['NaN', 'Infinity', '-Infinity']) {
      const line = `{"query": "x", "passages": [{"id": "a", "score": 1}, {"id": "b", "score": ${value}}]}`;
      expect(await message({ query: 'x', passages: pair('a', 'b') }, line), value).to.equal(
        `${file}:2: A score is NaN or infinite, which JSON cannot hold; every score must be a finite number.`,
      );
    }
    expect(
      await message('{"query": "x", "passages": [{"id": "a", "score": 1e999}, {"id": "b", "score": 0}]}'),
    ).to.equal(`${file}:1 (field "passages[0].score"): Expected a finite number but found Infinity.`);
  });

  it('names line and field of what is missing, wrong or broken', async () => {
    expect(await message({ passages: pair('a', 'b') })).to.match(/:1 \(field "query"\): Expected a string/);
    expect(await message({ query: ' ', passages: pair('a', 'b') })).to.match(/:1 \(field "query"\): .*white space/);
    expect(await message({ query: 'x' })).to.match(/:1 \(field "passages"\): Expected an array/);
    expect(await message({ query: 'x', passages: ['a', 'b'] })).to.match(/\(field "passages\[0\]"\): .* found "a"\.$/);
    expect(await message({ query: 'x', passages: [{ id: 'a' }] })).to.match(
      /\(field "passages\[0\]\.score"\): Expected a finite number but there is no such field\.$/,
    );
    expect(await message({ query: 'x', passages: [{ score: 1 }] })).to.match(
      /Expected an "id" or a "text" but there is neither/,
    );
    expect(await message({ query: 'x', passages: pair('a', null) })).to.match(
      /\(field "passages\[1\]\.id"\): .* found null\.$/,
    );
    expect(await message({ query: 'x', passages: [{ text: 3, score: 1 }] })).to.match(
      /\(field "passages\[0\]\.text"\)/,
    );
    expect(await message('{"query": "x", ')).to.match(/:1: Expected one JSON object on the line/);
    expect(await message('')).to.contain('Expected training lists');
  });

  it('refuses ids that come twice and one id with two texts', async () => {
    const list = { id: 'same', query: 'x', passages: pair('a', 'b') };
    expect(await message(list, list)).to.match(/:2 \(field "id"\): .* "same" is also the id of line 1\.$/);
    expect(await message({ query: 'x', passages: pair('a', 'b', 'a') })).to.match(
      /\(field "passages\[2\]"\): Expected each passage once in a list but "a" is also passages\[0\]\.$/,
    );
    const text = (value: string) => ({ id: 't', text: value, score: 1 });
    expect(
      await message(
        { query: 'x', passages: [text('one'), ...pair('a')] },
        { query: 'y', passages: [text('two'), ...pair('a')] },
      ),
    ).to.match(/:2 \(field "passages\[0\]"\): Expected one text an id but passage "t" has another text on line 1\.$/);
  });

  it('says what is missing when the file is not there', async () => {
    const error = await rejection(readLists(`${file}.no`, { corpus }));
    expect(error.code).to.equal('NOT_FOUND');
    expect(error.message).to.contain('Expected a JSON Lines file of training lists at');
  });
});
