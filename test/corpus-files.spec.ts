import { spawnSync } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import { loadCorpus } from '../lib/corpus/corpus.js';
import type { CorpusOptions } from '../lib/corpus/load.js';
import { readBeir } from '../lib/formats/beir.js';
import { readLines } from '../lib/formats/lines.js';
import type { Passage } from '../lib/types.js';
import { temporaryDirectory } from './helpers.js';
import { rejection } from './rejection.js';

const fixtures = fileURLToPath(new URL('fixtures/corpora/', import.meta.url));

async function place(files: Record<string, string | Buffer>): Promise<string> {
  const directory = temporaryDirectory();
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(directory, name)), { recursive: true });
    await writeFile(join(directory, name), content);
  }
  return directory;
}

async function load(path: string, options: CorpusOptions = {}): Promise<Passage[]> {
  return [...(await loadCorpus(path, options))];
}

const passage = (id: string, text: string, title = ''): Passage => ({ id, title, text });
const line = (id: string, text: string) => `${JSON.stringify({ _id: id, text })}\n`;

describe('loadCorpus of files', () => {
  it('reads JSON Lines with other field names', async () => {
    const directory = await place({
      'my.jsonl': '{"nr": 4, "head": "T", "body": "x"}\n{"nr": 5, "head": null, "body": "y"}\n',
    });
    const names = { idField: 'nr', titleField: 'head', textField: 'body' };
    expect(await load(join(directory, 'my.jsonl'), names)).to.deep.equal([passage('4', 'x', 'T'), passage('5', 'y')]);
    const error = await rejection(load(join(directory, 'my.jsonl'), { ...names, textField: 'txt' }));
    expect(error.message).to.equal(
      `${directory}/my.jsonl:1 (field "txt"): Expected a string but there is no such field; the line has "nr", "head", "body".`,
    );
    expect((await rejection(load(join(directory, 'my.jsonl'), { ...names, titleField: 'tilte' }))).message).to.equal(
      `${directory}/my.jsonl:1 (field "tilte"): Expected a title, which may be null or empty; the record has "nr", "head", "body".`,
    );
  });

  it('refuses pipes and devices, which have nothing left or no end, wherever they are found', async () => {
    const directory = await place({ 'parts/a.jsonl': line('a', 'x') });
    for (const name of ['corpus.jsonl', 'parts/b.jsonl']) {
      expect(spawnSync('mkfifo', [join(directory, name)]).status).to.equal(0);
    }
    const refused: [path: string, file: string][] = [
      ['/dev/zero', '/dev/zero'],
      [join(directory, 'corpus.jsonl'), join(directory, 'corpus.jsonl')],
      [directory, join(directory, 'corpus.jsonl')],
      [join(directory, 'parts', '*.jsonl'), join(directory, 'parts', 'b.jsonl')],
    ];
    for (const [path, file] of refused) {
      expect((await rejection(load(path))).message).to.equal(
        `Expected a file of a corpus at ${file} but it is a pipe or device, and a corpus may be read several times; ` +
          'write it to a file first.',
      );
    }
  });

  it('takes "id" where there is no "_id"', async () => {
    const directory = await place({ 'my.jsonl': '{"id": "a", "text": "x"}\n' });
    expect(await load(join(directory, 'my.jsonl'))).to.deep.equal([passage('a', 'x')]);
  });

  it("reads MS MARCO's collection.tsv, quotes as they are, also from its directory", async () => {
    const directory = await place({ 'collection.tsv': '0\tA "quoted" text.\n1\tAnother, with "one\n' });
    const expected = [passage('0', 'A "quoted" text.'), passage('1', 'Another, with "one')];
    expect(await load(join(directory, 'collection.tsv'))).to.deep.equal(expected);
    expect(await load(directory)).to.deep.equal(expected);
  });

  it('reads columns with a header or with titles, and names the line that has others', async () => {
    const directory = await place({
      'header.tsv': 'title\tid\ttext\nT\t1\tx\n',
      'three.tsv': '1\tT\tx\n2\t\ty\n3\tz\n',
      'four.tsv': '1\t2\t3\t4\n',
    });
    expect(await load(join(directory, 'header.tsv'))).to.deep.equal([passage('1', 'x', 'T')]);
    expect((await rejection(load(join(directory, 'three.tsv')))).message).to.equal(
      `${directory}/three.tsv:3: Expected 3 columns split by tabs (_id, title, text) but found 2.`,
    );
    expect((await rejection(load(join(directory, 'four.tsv')))).message).to.equal(
      `${directory}/four.tsv:1: Expected a header with "text", or 2 columns split by tabs (_id, text), or 3 columns ` +
        'split by tabs (_id, title, text) but found 4 columns.',
    );
  });

  it('reads CSV with quotes and line breaks, and names the line a row begins on', async () => {
    const directory = await place({
      'good.csv': '\ufeffid,title,text\r\n1,"A, ""B""","two\r\nlines"\r\n\r\n2,,"x"\r\n',
      'twice.csv': 'id,text\n1,"a\r\nb"\n\n1,c\n',
      'short.csv': 'id,text\n1,"a\nb"\n2\n',
    });
    expect(await load(join(directory, 'good.csv'))).to.deep.equal([
      passage('1', 'two\nlines', 'A, "B"'),
      passage('2', 'x'),
    ]);
    expect((await rejection(load(join(directory, 'twice.csv')))).message).to.equal(
      `${directory}/twice.csv:5: Expected ids that stand once but "1" stands on line 2 already; ` +
        'mend the file, or choose skip by the option duplicateIds.',
    );
    expect((await rejection(load(join(directory, 'short.csv')))).message).to.match(
      /short\.csv:4: Expected CSV with a header but the parser says: Invalid Record Length/,
    );
  });

  it('reads several Parquet files, by directory or pattern, over row groups and compressions', async () => {
    const passages = await load(join(fixtures, 'part-*.parquet'));
    expect(passages).to.have.length(50);
    expect(passages[21]).to.deep.equal(passage('p21', 'Text number 21 été 漢字.'));
    expect(passages[20]).to.deep.equal(passage('p20', 'Text number 20 été 漢字.', 'Title 20'));
    const directory = await place({ 'one.parquet': await readFile(join(fixtures, 'part-a.parquet')) });
    expect(await load(directory)).to.deep.equal(passages.slice(0, 20));
    const names = { idField: 'docid', textField: 'body' };
    expect(await load(join(fixtures, 'numbers.parquet'), names)).to.deep.equal([
      passage('7', 'seven'),
      passage('8', 'eight'),
    ]);
  });

  it('says what is wrong with a Parquet file', async () => {
    expect((await rejection(load(join(fixtures, 'damaged.parquet')))).message).to.equal(
      `${fixtures}damaged.parquet:2: Expected UTF-8 text but found bytes that are not; convert it to UTF-8.`,
    );
    expect((await rejection(load(join(fixtures, 'numbers.parquet')))).message).to.match(
      /numbers\.parquet:1 \(field "_id"\): Expected an id .* the line has "docid", "body"\.$/,
    );
    const directory = await place({ 'no.parquet': 'PAR1 is not enough' });
    expect((await rejection(load(directory))).message).to.match(
      /no\.parquet: Expected a Parquet file but the reader says: .*; fetch or make it again\.$/,
    );
    const hollow = await place({ 'zeros.parquet': `PAR1${'\0'.repeat(100)}PAR1` });
    expect((await rejection(load(hollow))).message).to.equal(
      `${hollow}/zeros.parquet: Expected a Parquet file but it is cut off or damaged; fetch or make it again.`,
    );
  });

  it('unpacks .gz and .zst, also of queries and judgements', async () => {
    const passages = await load(join(fixtures, 'corpus.jsonl.zst'));
    expect(passages).to.have.length(30_000);
    expect(passages[29_999]).to.deep.equal(passage('z29999', `passage 29999 ${'lorem ipsum '.repeat(39)}`));
    const directory = await place({
      'corpus.jsonl.gz': gzipSync(line('a', 'x') + line('b', 'y')),
      'queries.jsonl.gz': gzipSync(line('q', 'what')),
      'qrels/test.tsv.gz': gzipSync('query-id\tcorpus-id\tscore\nq\tb\t1\n'),
    });
    expect(await load(directory)).to.deep.equal([passage('a', 'x'), passage('b', 'y')]);
    const { queries, qrels } = await readBeir(directory);
    expect(queries).to.deep.equal([{ id: 'q', text: 'what' }]);
    expect(qrels.get('q')?.get('b')).to.equal(1);
  });

  it('says so when a compressed file was cut off or is none', async () => {
    const whole = gzipSync(line('a', 'x'.repeat(1000)));
    const packed = await readFile(join(fixtures, 'corpus.jsonl.zst'));
    const directory = await place({
      'cut.jsonl.gz': whole.subarray(0, whole.length - 9),
      'none.jsonl.gz': line('a', 'x'),
      'cut.jsonl.zst': packed.subarray(0, packed.length - 50),
      'none.jsonl.zst': line('a', 'x'),
    });
    for (const [name, packer] of [
      ['cut.jsonl.gz', 'gzip'],
      ['none.jsonl.gz', 'gzip'],
      ['cut.jsonl.zst', 'Zstandard'],
      ['none.jsonl.zst', 'Zstandard'],
    ]) {
      expect((await rejection(load(join(directory, name!)))).message).to.match(
        new RegExp(`${name}: Expected a whole ${packer} file but unpacking it gives ".+"; fetch or make it again\\.$`),
      );
    }
  });

  it('says what it looked for where there is nothing to read', async () => {
    const directory = await place({ 'notes.doc': 'x', 'a.jsonl': line('a', 'x'), 'b.csv': 'id,text\n1,x\n' });
    expect((await rejection(load(directory))).message).to.equal(
      `Expected a corpus in the directory ${directory} (corpus.jsonl, collection.tsv, *.parquet, *.txt or *.md, also .gz or ` +
        '.zst) but it has a.jsonl, b.csv, notes.doc.',
    );
    expect((await rejection(load(`${directory}/nothing`))).message).to.equal(
      `Expected a corpus at ${directory}/nothing but there is no such file or directory; check the path.`,
    );
    expect((await rejection(load(`${directory}/x*`))).message).to.equal(
      `Expected the files of a corpus at ${directory}/x* but none has such a name.`,
    );
    expect((await rejection(load(`${directory}/*.[jc]s*`))).message).to.match(/but none has such a name/);
    expect((await rejection(load(`${directory}/*`))).message).to.match(
      /Expected files of one format at .* narrow the path/,
    );
    expect(await load(directory, { corpusFormat: 'csv' })).to.deep.equal([passage('1', 'x')]);
  });
});

describe('cleaning of a corpus', () => {
  const mistakes = Buffer.concat([
    Buffer.from(line('a', 'one') + line('b', ' \n') + line('c', 'bell\u0007 and tab\t')),
    Buffer.from('{"_id": "d", "text": "caf'),
    Buffer.from([0xe9]),
    Buffer.from(`"}\n{"_id": "e", "text": "half \\ud83d"}\n${line('a', 'again')}`),
  ]);

  it('counts mistakes, with the first places, and does what was chosen', async () => {
    const file = join(await place({ 'c.jsonl': mistakes }), 'c.jsonl');
    const corpus = await loadCorpus(file, {
      duplicateIds: 'skip',
      invalidUtf8: 'replace',
      controlCharacters: 'replace',
    });
    expect([...corpus]).to.deep.equal([
      passage('a', 'one'),
      passage('b', ' \n'),
      passage('c', 'bell  and tab\t'),
      passage('d', 'caf\ufffd'),
      passage('e', 'half \ufffd'),
    ]);
    expect(corpus.report).to.deep.equal({
      ...{ read: 6, skipped: 1 },
      duplicateIds: { count: 1, handling: 'skip', examples: [`${file}:6`] },
      emptyTexts: { count: 1, handling: 'keep', examples: [`${file}:2`] },
      invalidUtf8: { count: 2, handling: 'replace', examples: [`${file}:4`, `${file}:5`] },
      controlCharacters: { count: 1, handling: 'replace', examples: [`${file}:3`] },
    });
    const skip = { duplicateIds: 'skip', invalidUtf8: 'skip', controlCharacters: 'skip', emptyTexts: 'skip' } as const;
    expect(await load(file, skip)).to.deep.equal([passage('a', 'one')]);
  });

  it('stops at each mistake where that was chosen, with the place and what to do', async () => {
    const file = join(await place({ 'c.jsonl': mistakes }), 'c.jsonl');
    const message = async (options: CorpusOptions) => (await rejection(load(file, options))).message;
    expect(await message({})).to.equal(
      `${file}:4: Expected UTF-8 text but found bytes that are not; convert the file to UTF-8.`,
    );
    expect(await message({ emptyTexts: 'error' })).to.equal(
      `${file}:2: Expected a text but it is empty; mend the file, or choose keep or skip by the option emptyTexts.`,
    );
    expect(await message({ controlCharacters: 'error' })).to.equal(
      `${file}:3: Expected no control characters but found U+0007; mend the file, or choose keep or replace or skip by ` +
        'the option controlCharacters.',
    );
    expect(await message({ invalidUtf8: 'replace' })).to.equal(
      `${file}:6: Expected ids that stand once but "a" stands on line 1 already; mend the file, or choose ` +
        'skip by the option duplicateIds.',
    );
    expect(await message({ emptyTexts: 'drop' as 'skip' })).to.equal(
      'Expected one of keep, skip, error for emptyTexts but received "drop".',
    );
  });

  it('says so when nothing is left', async () => {
    const directory = await place({ 'c.jsonl': line('a', '') });
    expect((await rejection(load(`${directory}/c.jsonl`, { emptyTexts: 'skip' }))).message).to.equal(
      `${directory}/c.jsonl: Expected a passage to use but all 1 were skipped for mistakes.`,
    );
  });
});

describe('readLines', () => {
  it('lets go of the file when a reader stops early', async () => {
    for await (const { text } of readLines(join(fixtures, 'corpus.jsonl.zst'))) {
      expect(text).to.contain('z0');
      break;
    }
  });
});
