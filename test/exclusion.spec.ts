import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { loadCorpus } from '../lib/corpus/corpus.js';
import { findDuplicates } from '../lib/corpus/duplicates.js';
import { checkExclusion, excludedPassages } from '../lib/corpus/exclusion.js';
import { UnusablePassages } from '../lib/corpus/unusable.js';
import { DataError, InvalidArgumentError, NotFoundError } from '../lib/errors.js';
import { writeJsonl } from '../lib/formats/jsonl.js';
import { temporaryDirectory } from './helpers.js';
import { rejection } from './rejection.js';

const corpusOf = (texts: Record<string, string>) =>
  loadCorpus(Object.entries(texts).map(([id, text]) => ({ id, title: '', text })));

const written = (name: string, content: string) => {
  const file = join(temporaryDirectory(), name);
  writeFileSync(file, content);
  return file;
};

describe('excludedPassages', () => {
  const corpus = corpusOf({ a: 'one', b: 'two', c: 'three', d: 'four' });

  it('are those of a list or a file, and all that judgements name in either layout, relevant or not', async () => {
    const excluded = async (options: object) => [...(await excludedPassages(await corpus, options))];
    expect(await excluded({})).to.deep.equal([]);
    expect(await excluded({ exclude: ['c'] })).to.deep.equal(['c']);
    expect(await excluded({ exclude: written('ids.txt', 'b\n\nc\n') })).to.deep.equal(['b', 'c']);
    const trec = written('qrels', 'q1 0 d 1\nq1 0 elsewhere 1\nq2 0 a 0\n');
    expect(await excluded({ excludeQrels: trec, exclude: ['c'] })).to.deep.equal(['c', 'd', 'a']);
    const beir = written('test.tsv', 'query-id\tcorpus-id\tscore\nq1\tb\t2\n');
    expect(await excluded({ excludeQrels: beir })).to.deep.equal(['b']);
  });

  it('refuse judgements of another corpus, which would exclude nothing', async () => {
    const file = written('qrels', 'q1 0 x 1\n');
    const error = await rejection(excludedPassages(await corpus, { excludeQrels: file }));
    expect(error).to.be.instanceOf(NotFoundError);
    expect(error.message).to.equal(
      `excludeQrels (${file}) judges no passage of the corpus, so it would exclude none; check that its ids are those of this corpus.`,
    );
  });

  it('refuse ids that are not there, and a path that is none', async () => {
    const error = await rejection(excludedPassages(await corpus, { exclude: ['a', 'x'] }));
    expect(error.message).to.contain('exclude names passages that are not in the corpus: "x"');
    expect(() => checkExclusion({ excludeQrels: '' })).to.throw(InvalidArgumentError, 'a path that is not empty');
  });
});

describe('UnusablePassages', () => {
  const read = async (corpus: Awaited<ReturnType<typeof corpusOf>>, duplicates: string, excluded: string[]) =>
    UnusablePassages.read(corpus, { duplicates, excluded: written('corpus.json', JSON.stringify({ excluded })) });

  it('says of each passage that findDuplicates dropped why, and of excluded ones that', async () => {
    const corpus = await corpusOf({
      short: 'wing',
      part: 'pressure on a plate',
      whole: 'pressure on a plate in a hypersonic stream of air that is cold and thin and at rest far away',
      near: 'shear on a plate in a hypersonic stream of air that is cold and thin and at rest far away',
      contained: 'at rest far away',
      left: 'shells that buckle under load',
      other: 'boundary layers on cones at rest',
    });
    const file = join(temporaryDirectory(), 'duplicates.jsonl');
    await writeJsonl(file, await findDuplicates(corpus, { nearDuplicates: 0.8 }));
    const unusable = await read(corpus, file, ['part', 'other']);
    expect([...corpus.ids()].map((id) => [id, unusable.get(id)])).to.deep.equal([
      ['short', 'is too short'],
      ['part', 'is excluded'],
      ['whole', undefined],
      ['near', 'is nearly the same as whole'],
      ['contained', 'is contained in whole'],
      ['left', undefined],
      ['other', 'is excluded'],
    ]);
    for (const id of corpus.ids()) expect(unusable.has(id), id).to.equal(unusable.get(id) !== undefined);
    expect([unusable.has('not there'), unusable.get('not there')]).to.deep.equal([false, undefined]);
  });

  it('holds many', async () => {
    const names = Array.from({ length: 5000 }, (_, i) => `p${i}`);
    const corpus = await corpusOf(Object.fromEntries(names.map((id) => [id, 'x'])));
    const file = join(temporaryDirectory(), 'duplicates.jsonl');
    const drop = (i: number) => ({ id: `p${i}`, reason: 'contained', of: `p${i + 1}` });
    await writeJsonl(
      file,
      names.flatMap((_, i) => (i % 3 === 0 ? [drop(i)] : [])),
    );
    const unusable = await read(corpus, file, []);
    for (const [i, id] of names.entries()) {
      expect(unusable.get(id)).to.equal(i % 3 === 0 ? `is contained in p${i + 1}` : undefined);
    }
  });

  it('passes over what files of an earlier corpus say of passages that are gone', async () => {
    const corpus = await corpusOf({ a: 'one', b: 'two', c: 'three' });
    const records = [
      { id: 'gone', reason: 'too short' },
      { id: 'a', reason: 'contained', of: 'gone' },
      { id: 'b', reason: 'too short' },
    ];
    const file = join(temporaryDirectory(), 'duplicates.jsonl');
    await writeJsonl(file, records);
    const unusable = await read(corpus, file, ['gone', 'c']);
    expect([...corpus.ids(), 'gone'].filter((id) => unusable.has(id))).to.deep.equal(['b', 'c']);
  });

  it('names the line of a reason that there is not', async () => {
    const corpus = await corpusOf({ a: 'one' });
    const file = written('duplicates.jsonl', '{"id":"a","reason":"too short"}\n{"id":"a","reason":"odd"}\n');
    const error = await rejection(read(corpus, file, []));
    expect(error).to.be.instanceOf(DataError);
    expect(error.message).to.equal(
      `${file}:2 (field "reason"): Expected one of too short, contained, nearly the same, excluded but found "odd"; ` +
        'remove the file, and the run makes it anew.',
    );
  });
});
