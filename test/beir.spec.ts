import { join } from 'node:path';
import { expect } from 'chai';
import { DataError, NotFoundError } from '../lib/errors.js';
import { readBeir, readCorpus, readQueries } from '../lib/formats/beir.js';
import { rejection } from './rejection.js';
import { all, directory, file, useDirectory } from './written-files.js';

describe('readCorpus', () => {
  useDirectory();

  it('refuses ids with white space at once, not when a run is written hours later', async () => {
    const path = await file('corpus.jsonl', '{"_id": "a", "text": "x"}\n{"_id": "b c", "text": "y"}\n');
    const read = async () => {
      for await (const _ of readCorpus(path));
    };
    expect((await rejection(read())).message).to.equal(
      `${path}:2 (field "_id"): Expected an id without white space, at which files of runs are split, but found "b c"; ` +
        'put "_" or "-" there.',
    );
  });

  it('reads passages from a file or a directory, with ids as strings and titles if there are any', async () => {
    const path = await file(
      'corpus.jsonl',
      '{"_id": 7, "text": "x"}\n{"_id": "b", "title": "T", "text": "", "n": 1}\n',
    );
    const expected = [
      { id: '7', title: '', text: 'x' },
      { id: 'b', title: 'T', text: '' },
    ];
    expect(await all(readCorpus(path))).to.deep.equal(expected);
    expect(await all(readCorpus(directory))).to.deep.equal(expected);
  });

  it('names both lines of an id that stands twice, a number and a string alike', async () => {
    const path = await file('corpus.jsonl', '{"_id": "1", "text": "x"}\n\n{"_id": 1, "text": "y"}\n');
    expect((await rejection(all(readCorpus(path)))).message).to.equal(
      `${path}:3 (field "_id"): Expected ids that stand once but "1" stands on line 1 already.`,
    );
  });

  it('refuses an empty corpus', async () => {
    const path = await file('corpus.jsonl', '\n');
    const error = await rejection(all(readCorpus(path)));
    expect(error).to.be.instanceOf(DataError);
    expect(error.message).to.equal(
      `${path}: Expected one JSON object a line, such as {"_id": "1", "title": "...", "text": "..."}, but the file is empty.`,
    );
  });

  it('says which fields a line has when one is missing', async () => {
    const path = await file('corpus.jsonl', '{"id": "1", "contents": "x"}\n');
    expect((await rejection(all(readCorpus(path)))).message).to.equal(
      `${path}:1 (field "_id"): Expected an id (a string that is not empty, or a whole number) but there is no such ` +
        'field; the line has "id", "contents".',
    );
  });
});

describe('readQueries', () => {
  useDirectory();

  it('reads queries in order, with type and source where they are given', async () => {
    const path = await file(
      'queries.jsonl',
      '{"_id": 2, "text": "x", "metadata": {}}\n{"_id": "1", "text": "y", "type": "claim", "source": "d"}\n',
    );
    expect(await readQueries(path)).to.deep.equal([
      { id: '2', text: 'x' },
      { id: '1', text: 'y', type: 'claim', source: 'd' },
    ]);
  });

  it('refuses an empty text, and a file that is not there', async () => {
    const path = await file('queries.jsonl', '{"_id": "1", "text": " "}\n');
    expect((await rejection(readQueries(path))).message).to.equal(
      `${path}:1 (field "text"): Expected the text of query "1" but it is empty.`,
    );
    expect((await rejection(readQueries(join(directory, 'q.jsonl')))).message).to.contain(
      'Expected queries in JSON Lines at',
    );
  });
});

describe('readBeir', () => {
  useDirectory();

  async function collection(qrels: string): Promise<void> {
    await file('corpus.jsonl', '{"_id": "d1", "text": "x"}\n{"_id": "d2", "text": "y"}\n');
    await file('queries.jsonl', '{"_id": "q1", "text": "a"}\n{"_id": "q2", "text": "b"}\n');
    await file('qrels/dev.tsv', qrels);
  }

  it('reads corpus, judged queries and judgements of a split', async () => {
    await collection('query-id\tcorpus-id\tscore\nq2\td1\t2\nq2\tgone\t1\n');
    const { corpus, queries, qrels } = await readBeir(directory, { split: 'dev' });
    expect(corpus.map(({ id }) => id)).to.deep.equal(['d1', 'd2']);
    expect(queries).to.deep.equal([{ id: 'q2', text: 'b' }]);
    expect(qrels).to.deep.equal(
      new Map([
        [
          'q2',
          new Map([
            ['d1', 2],
            ['gone', 1],
          ]),
        ],
      ]),
    );
  });

  it('names the splits there are when one is not', async () => {
    await collection('q1\td1\t1\n');
    const error = await rejection(readBeir(directory));
    expect(error).to.be.instanceOf(NotFoundError);
    expect(error.message).to.equal(
      `Expected the judgements of split "test" at ${join(directory, 'qrels', 'test.tsv')} but the splits there are: dev.`,
    );
  });

  it('says so when there is no such directory, or it has no judgements', async () => {
    const gone = join(directory, 'gone');
    expect((await rejection(readBeir(gone))).message).to.contain(`at ${gone} but there is none; check the path.`);
    expect((await rejection(readBeir(directory))).message).to.contain('but it has no qrels/*.tsv at all');
  });

  it('refuses judgements of a query without text, or of passages from elsewhere', async () => {
    await collection('q1\td1\t1\nq9\td1\t1\n');
    expect((await rejection(readBeir(directory, { split: 'dev' }))).message).to.contain(
      'Expected every judged query in queries.jsonl but "q9" is not there (1 such queries).',
    );
    await collection('q1\tx1\t1\n');
    expect((await rejection(readBeir(directory, { split: 'dev' }))).message).to.contain(
      'Expected the judged passages but has none of them',
    );
  });
});
