import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { DataError, NotFoundError } from '../lib/errors.js';
import { writeLines } from '../lib/formats/atomic.js';
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
import { rejection } from './rejection.js';
import { all, directory, file, useDirectory } from './written-files.js';

describe('readLines', () => {
  useDirectory();

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
  useDirectory();

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
  useDirectory();

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
  useDirectory();

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
  useDirectory();

  it('writes what readJsonl reads, line breaks inside texts included', async () => {
    const records = [{ text: 'a\nb\u2028c' }, { text: '"', score: 0.1 }];
    const path = join(directory, 'a.jsonl');
    await writeJsonl(path, records);
    expect((await all(readJsonl(path))).map(({ value }) => value)).to.deep.equal(records);
  });
});
