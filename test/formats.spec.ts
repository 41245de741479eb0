import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { DataError, InvalidArgumentError, NotFoundError } from '../lib/errors.js';
import { writeLines } from '../lib/formats/atomic.js';
import { readBeir, readCorpus, readQrels, readQueries } from '../lib/formats/beir.js';
import {
  optionalString,
  readJsonl,
  requireArray,
  requireId,
  requireNumber,
  requireString,
  writeJsonl,
} from '../lib/formats/jsonl.js';
import { readLines } from '../lib/formats/lines.js';
import { readQrelsFile, writeBeirQrels, writeTrecQrels } from '../lib/formats/qrels.js';
import { readTrecRun, writeTrecRun } from '../lib/formats/trec.js';
import type { Qrels, Run } from '../lib/types.js';
import { rejection } from './rejection.js';

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'listwise-formats-'));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

async function file(name: string, content: string | Buffer): Promise<string> {
  const path = join(directory, name);
  await mkdir(join(path, '..'), { recursive: true });
  await writeFile(path, content);
  return path;
}

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}

describe('readLines', () => {
  it('reads lines that span chunks, either line end, a byte order mark, and a last line without end', async () => {
    const long = 'é'.repeat(300_000);
    const path = await file('a.txt', `\ufeffone\r\n${long}\n\nlast`);
    expect(await all(readLines(path))).to.deep.equal([
      { text: 'one', line: 1 },
      { text: long, line: 2 },
      { text: '', line: 3 },
      { text: 'last', line: 4 },
    ]);
  });

  it('names the line that is not UTF-8', async () => {
    const path = await file('a.txt', Buffer.from([0x61, 0x0a, 0xe9, 0x0a]));
    const error = await rejection(all(readLines(path)));
    expect(error).to.be.instanceOf(DataError);
    expect(error.message).to.equal(
      `${path}:2: Expected UTF-8 text but found bytes that are not; convert the file to UTF-8.`,
    );
  });

  it('says what is wrong with a path that is no file', async () => {
    const missing = await rejection(all(readLines(join(directory, 'none.txt'), { expected: 'queries' })));
    expect(missing).to.be.instanceOf(NotFoundError);
    expect(missing.message).to.equal(
      `Expected queries at ${join(directory, 'none.txt')} but there is no such file; check the path.`,
    );
    expect((await rejection(all(readLines(directory)))).message).to.contain('but it is a directory');
  });

  it('stops when aborted', async () => {
    const path = await file('a.txt', 'line\n'.repeat(200_000));
    const controller = new AbortController();
    const reason = new Error('enough');
    const read = async () => {
      for await (const { line } of readLines(path, { signal: controller.signal })) {
        if (line === 10) controller.abort(reason);
      }
    };
    expect(await rejection(read())).to.equal(reason);
  });
});

describe('readJsonl', () => {
  it('yields objects with their lines and passes over blank ones', async () => {
    const path = await file('a.jsonl', '{"a": 1}\n  \n{"a": 2}\n');
    expect(await all(readJsonl(path))).to.deep.equal([
      { value: { a: 1 }, line: 1 },
      { value: { a: 2 }, line: 3 },
    ]);
  });

  it('names the line that is broken and what the parser says', async () => {
    const path = await file('a.jsonl', '{"a": 1}\n{"a": NaN}\n');
    const error = await rejection(all(readJsonl(path)));
    expect(error).to.be.instanceOf(DataError);
    expect(error).to.include({ code: 'BAD_DATA', file: path, line: 2 });
    expect(error.message).to.match(/a\.jsonl:2: Expected one JSON object on the line but the parser says: .*'N'/);
  });

  it('names the line that is JSON but no object', async () => {
    const path = await file('a.jsonl', '[1, 2]\n');
    expect((await rejection(all(readJsonl(path)))).message).to.equal(
      `${path}:1: Expected a JSON object on the line but found an array of 2.`,
    );
  });
});

describe('requireString and the like', () => {
  const place = { file: 'a.jsonl', line: 7 };
  const record = { text: 'x', score: 0.5, list: [1], id: 12, none: null };

  it('give the field when it is as it should be', () => {
    expect(requireString(record, 'text', place)).to.equal('x');
    expect(requireNumber(record, 'score', place)).to.equal(0.5);
    expect(requireArray(record, 'list', place)).to.deep.equal([1]);
    expect(requireId(record, 'id', place)).to.equal('12');
    expect(requireId(record, 'text', place)).to.equal('x');
    expect(optionalString(record, 'none', place)).to.equal(undefined);
    expect(optionalString(record, 'text', place)).to.equal('x');
  });

  it('name file, line, field, what was expected and what is there', () => {
    expect(() => requireString(record, 'score', place)).to.throw(
      DataError,
      'a.jsonl:7 (field "score"): Expected a string but found 0.5.',
    );
    expect(() => requireNumber(record, 'title', place)).to.throw(
      'a.jsonl:7 (field "title"): Expected a number but there is no such field; the line has "text", "score", "list", ' +
        '"id", "none".',
    );
    expect(() => requireArray({}, 'a', place)).to.throw('there is no such field; the object on the line is empty.');
    expect(() => requireId({ id: '' }, 'id', place)).to.throw('Expected an id (a string that is not empty');
    expect(() => requireId({ id: 1.5 }, 'id', place)).to.throw('but found 1.5.');
    expect(() => optionalString({ title: 3 }, 'title', place)).to.throw('Expected a string but found 3.');
  });
});

describe('writeLines', () => {
  it('leaves the earlier file as it was, and nothing beside it, when it fails', async () => {
    const path = await file('out.txt', 'before\n');
    const lines = function* () {
      yield 'after';
      throw new Error('no more');
    };
    expect((await rejection(writeLines(path, lines()))).message).to.equal('no more');
    expect(await readFile(path, 'utf8')).to.equal('before\n');
    expect(await readdir(directory)).to.deep.equal(['out.txt']);
  });

  it('makes directories, replaces the file, and counts lines', async () => {
    const path = join(directory, 'a', 'b', 'out.txt');
    expect(await writeLines(path, ['x'])).to.equal(1);
    expect(
      await writeLines(
        path,
        Array.from({ length: 100_000 }, (_, i) => `line ${i}`),
      ),
    ).to.equal(100_000);
    const content = await readFile(path, 'utf8');
    expect(content.split('\n')).to.have.length(100_001);
    expect(content).to.match(/line 99999\n$/);
  });

  it('says in words what the file system refuses', async () => {
    const taken = await file('taken', '');
    await mkdir(join(directory, 'folder', 'full'), { recursive: true });
    const cases: [string, string][] = [
      [join(taken, 'out.txt'), `Cannot write ${taken}: there is a file where a directory should be`],
      [join(taken, 'deep', 'out.txt'), `Cannot write ${join(taken, 'deep')}: it or a part of its path is a file`],
      [join(directory, 'folder'), `Cannot write ${join(directory, 'folder')}: it is a directory`],
      [join(directory, 'x'.repeat(300)), 'the name is too long; give a shorter one.'],
    ];
    for (const [path, message] of cases) {
      const error = await rejection(writeLines(path, ['x']));
      expect(error).to.have.property('code', 'NOT_WRITABLE');
      expect(error.message).to.contain(message);
    }
    expect((await readdir(directory)).sort()).to.deep.equal(['folder', 'taken']);
  });

  it('stops when aborted, leaving nothing', async () => {
    const controller = new AbortController();
    const lines = function* () {
      for (;;) {
        yield 'x'.repeat(1000);
      }
    };
    setTimeout(() => controller.abort(new Error('enough')), 30);
    const error = await rejection(writeLines(join(directory, 'out.txt'), lines(), { signal: controller.signal }));
    expect(error.message).to.equal('enough');
    expect(await readdir(directory)).to.deep.equal([]);
  });
});

describe('writeJsonl', () => {
  it('writes what readJsonl reads, line breaks inside texts included', async () => {
    const records = [{ text: 'a\nb\u2028c' }, { text: '"', score: 0.1 }];
    const path = join(directory, 'a.jsonl');
    await writeJsonl(path, records);
    expect((await all(readJsonl(path))).map(({ value }) => value)).to.deep.equal(records);
  });
});

describe('readCorpus', () => {
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

describe('readQrelsFile', () => {
  const expected: Qrels = new Map([['q 1', new Map([['d1', 2]])]]);

  it('reads BEIR layout with and without header, and TREC layout, told apart by the first line', async () => {
    expect(await readQrelsFile(await file('a.tsv', 'query-id\tcorpus-id\tscore\nq 1\td1\t2\r\n'))).to.deep.equal(
      expected,
    );
    expect(await readQrelsFile(await file('b.tsv', 'q 1\td1\t2\n'))).to.deep.equal(expected);
    const trec: Qrels = new Map([
      [
        '1',
        new Map([
          ['d1', 2],
          ['d2', -1],
        ]),
      ],
      ['2', new Map([['d1', 0]])],
    ]);
    const path = await file('c.qrels', '1 0 d1  2\n1\t0\td2 -1\n\n2 0 d1 0\n');
    expect(await readQrelsFile(path)).to.deep.equal(trec);
  });

  it('counts a judgement that stands twice once, and refuses two that differ', async () => {
    expect(await readQrelsFile(await file('a.tsv', 'q 1\td1\t2\nq 1\td1\t2\n'))).to.deep.equal(expected);
    const path = await file('b.tsv', 'q\td\t2\nq\td\t0\n');
    expect((await rejection(readQrelsFile(path))).message).to.equal(
      `${path}:2: Expected one grade for query "q" and passage "d" but found 0 after 2.`,
    );
  });

  it('names the line with other columns, a grade that is no whole number, or no layout at all', async () => {
    const columns = await file('a.qrels', '1 0 d1 2\n1 0 d1\n');
    expect((await rejection(readQrelsFile(columns))).message).to.equal(
      `${columns}:2: Expected 4 columns split by white space (query, iteration, passage, grade) but found 3 columns.`,
    );
    const grade = await file('b.tsv', 'q\td\t1\nq\te\thigh\n');
    expect((await rejection(readQrelsFile(grade))).message).to.equal(
      `${grade}:2: Expected a whole number as the grade but found "high".`,
    );
    const none = await file('c.txt', 'nothing of the kind here at all\n');
    expect((await rejection(readQrelsFile(none))).message).to.contain('c.txt:1: Expected 3 columns split by tabs');
    const empty = await file('d.tsv', 'query-id\tcorpus-id\tscore\n');
    expect((await rejection(readQrelsFile(empty))).message).to.contain('but the file has none');
  });

  it('reads what the writers write', async () => {
    const qrels: Qrels = new Map([
      [
        'q1',
        new Map([
          ['d1', 2],
          ['é', 0],
        ]),
      ],
      ['q2', new Map([['d1', -1]])],
    ]);
    await writeTrecQrels(join(directory, 'x.qrels'), qrels);
    expect(await readQrelsFile(join(directory, 'x.qrels'))).to.deep.equal(qrels);
    await writeBeirQrels(join(directory, 'qrels', 'x.tsv'), qrels);
    expect(await readQrels(directory, 'x')).to.deep.equal(qrels);
    expect(await rejection(writeTrecQrels(join(directory, 'y.qrels'), expected))).to.be.instanceOf(
      InvalidArgumentError,
    );
    const tab: Qrels = new Map([['a\tb', new Map([['d', 1]])]]);
    expect(await rejection(writeBeirQrels(join(directory, 'y.tsv'), tab))).to.be.instanceOf(InvalidArgumentError);
  });
});

describe('readTrecRun and writeTrecRun', () => {
  it('give back the same order and the same numbers, ties included', async () => {
    const run: Run = new Map([
      [
        'q2',
        [
          { id: 'b', score: 0.1 + 0.7 },
          { id: 'z', score: Math.fround(0.3) },
          { id: 'a', score: Math.fround(0.3) },
        ],
      ],
      [
        'q1',
        [
          { id: 'x', score: 1e-9 },
          { id: 'y', score: -12345678.901 },
        ],
      ],
    ]);
    const path = join(directory, 'a.trec');
    await writeTrecRun(path, run, { tag: 'mine' });
    expect(await readTrecRun(path)).to.deep.equal(run);
    expect((await readFile(path, 'utf8')).split('\n')[1]).to.equal('q2 Q0 z 2 0.30000001192092896 mine');
  });

  it('order by score, whatever the ranks say', async () => {
    const path = await file('a.trec', 'q Q0 low 1 0.5 t\nq\tQ0\thigh 2 1.5e0  t\n\n');
    expect((await readTrecRun(path)).get('q')?.map(({ id }) => id)).to.deep.equal(['high', 'low']);
  });

  it('name the line that is broken', async () => {
    const cases: [string, string][] = [
      ['q Q0 d 1 0.5\n', ':1: Expected 6 columns (query, Q0, passage, rank, score, tag) but found 5 columns.'],
      ['q Q0 d 1 NaN t\n', ':1: Expected a finite number as the score but found "NaN".'],
      ['q Q0 d first 1 t\n', ':1: Expected a number as the rank but found "first".'],
      [
        'q Q0 d 1 2 t\nq Q0 e 2 1 t\nq Q0 d 3 0 t\n',
        ':3: Expected each passage once a query but query "q" has "d" on line 1 already.',
      ],
      ['\n', ': Expected the lines of a run but the file has none.'],
    ];
    for (const [content, message] of cases) {
      const path = await file('a.trec', content);
      const error = await rejection(readTrecRun(path));
      expect(error).to.be.instanceOf(DataError);
      expect(error.message).to.equal(path + message);
    }
  });

  it('refuse to write what would not come back', async () => {
    const path = join(directory, 'a.trec');
    const of = (id: string, ...scores: number[]): Run =>
      new Map([['q', scores.map((score, i) => ({ id: id + i, score }))]]);
    expect((await rejection(writeTrecRun(path, of('d', 1, 2)))).message).to.equal(
      'Expected passages best first for run (query "q") but received "2 after 1".',
    );
    expect((await rejection(writeTrecRun(path, of('d', Number.NaN)))).message).to.contain('a finite number as score');
    expect((await rejection(writeTrecRun(path, of('a b', 1)))).message).to.contain('ids without white space');
    expect((await rejection(writeTrecRun(path, of('d', 1), { tag: '' }))).message).to.contain('for tag');
    expect(await readdir(directory)).to.deep.equal([]);
  });
});
