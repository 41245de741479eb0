import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { DataError, InvalidArgumentError } from '../lib/errors.js';
import { readQrels } from '../lib/formats/beir.js';
import { readQrelsFile, writeBeirQrels, writeTrecQrels } from '../lib/formats/qrels.js';
import { readTrecRun, writeTrecRun } from '../lib/formats/trec.js';
import type { Qrels, Run } from '../lib/types.js';
import { rejection } from './rejection.js';
import { directory, file, useDirectory } from './written-files.js';

describe('readQrelsFile', () => {
  useDirectory();

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
  useDirectory();

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
