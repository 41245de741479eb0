import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { type Corpus, loadCorpus } from '../lib/corpus/corpus.js';
import { cleanReply } from '../lib/queries/reply.js';
import { readWrittenQueries } from '../lib/queries/written.js';
import { temporaryDirectory } from './helpers.js';
import { rejection } from './rejection.js';

describe('cleanReply', () => {
  it('takes the first line that is not empty', () => {
    expect(cleanReply('\n  \r\n what is lift \n\nSecond line')).to.equal('what is lift');
    expect(cleanReply(' \n\t\n')).to.equal('');
  });

  it('takes a leading label off, however it is dressed', () => {
    for (const label of [
      'Query:',
      'query :',
      '**Query:** ',
      'Question: ',
      '- Search query: ',
      'Keywords:',
      '## Title: ',
    ]) {
      expect(cleanReply(`${label}what is lift`), label).to.equal('what is lift');
    }
  });

  it('leaves a colon that ends no label', () => {
    expect(cleanReply('boundary layers: a review')).to.equal('boundary layers: a review');
    expect(cleanReply('querying lift: how')).to.equal('querying lift: how');
  });

  it('takes paired outer quotes off', () => {
    for (const quoted of ['"lift"', '“lift”', "'lift'", '«lift»', '`lift`', 'Query: "lift"', '"Query: lift"']) {
      expect(cleanReply(quoted), quoted).to.equal('lift');
    }
    expect(cleanReply("'what's a wing'")).to.equal("what's a wing");
  });

  it('leaves quotes that are no outer pair', () => {
    for (const text of ['"lift" or "drag"', '"lift', 'the "ground effect"', '"'])
      expect(cleanReply(text)).to.equal(text);
  });

  it('turns tabs to spaces', () => {
    expect(cleanReply('lift\tand drag\t')).to.equal('lift and drag');
  });
});

describe('readWrittenQueries', () => {
  let corpus: Corpus;
  let directory: string;

  before(async () => {
    corpus = await loadCorpus([
      { id: '1', title: '', text: 'x' },
      { id: 'bc', title: '', text: 'y' },
    ]);
    directory = temporaryDirectory();
  });

  const read = async (...lines: string[]) => {
    const file = join(directory, 'written.jsonl');
    await writeFile(file, lines.join('\n'));
    return readWrittenQueries(file, { corpus });
  };

  it('gives each query an id made of passage, type and place, and the passage as its source', async () => {
    const { queries } = await read(
      '{"passage": "1", "type": "web", "query": "lift"}',
      '{"passage": 1, "type": "web", "query": "Query: \\"drag\\""}',
      '{"passage": "bc", "type": "free form", "query": "wing"}',
      '{"passage": "1", "query": "flap"}',
      '{"id": "mine", "passage": "1", "type": "web", "query": "slat"}',
    );
    expect(queries).to.deep.equal([
      { id: '1:web', source: '1', type: 'web', text: 'lift' },
      { id: '1:web:2', source: '1', type: 'web', text: 'drag' },
      { id: 'bc:free_form', source: 'bc', type: 'free form', text: 'wing' },
      { id: '1:query', source: '1', type: undefined, text: 'flap' },
      { id: 'mine', source: '1', type: 'web', text: 'slat' },
    ]);
  });

  it('counts empty queries as failed', async () => {
    const { queries, failed } = await read(
      '{"passage": "1", "type": "web", "query": " \\n"}',
      '{"passage": "1", "type": "title", "query": "lift"}',
    );
    expect(queries).to.have.length(1);
    expect(failed).to.deep.equal([{ file: join(directory, 'written.jsonl'), line: 1, source: '1', type: 'web' }]);
  });

  it('names the line of a passage that is not in the corpus', async () => {
    const error = await rejection(
      read('{"passage": "1", "type": "web", "query": "x"}', '{"passage": "9", "type": "web", "query": "x"}'),
    );
    expect(error.message).to.equal(
      `${join(directory, 'written.jsonl')}:2 (field "passage"): ` +
        'Expected the id of a passage of the corpus (2 passages) but found "9".',
    );
    expect(error.code).to.equal('BAD_DATA');
  });

  it('names both lines of an id that comes twice', async () => {
    const line = '{"id": "a", "passage": "1", "query": "x"}';
    expect((await rejection(read(line, '', line))).message).to.match(
      /written\.jsonl:3 \(field "id"\): Expected an id of its own but "a" is also the id of line 1\.$/,
    );
  });

  it('reads several files as one, with ids that are unique over all', async () => {
    const other = join(directory, 'other.jsonl');
    await writeFile(other, '{"passage": "1", "type": "web", "query": "b", "model": "m", "promptHash": "h"}');
    const file = join(directory, 'written.jsonl');
    await writeFile(file, '{"passage": "1", "type": "web", "query": "a"}\n{"id": "x", "passage": "1", "query": "c"}');
    const { queries } = await readWrittenQueries([file, other], { corpus });
    expect(queries.map(({ id }) => id)).to.deep.equal(['1:web', 'x', '1:web:2']);
    expect(queries[2]).to.include({ model: 'm', promptHash: 'h' });
    await writeFile(other, '{"id": "x", "passage": "1", "query": "c"}');
    const error = await rejection(readWrittenQueries([file, other], { corpus }));
    expect(error.message).to.equal(
      `${other}:1 (field "id"): Expected an id of its own but "x" is also the id of ${file}:2.`,
    );
  });

  it('names line and field of what is missing, wrong or broken', async () => {
    expect((await rejection(read('{"passage": "1", "type": "web"}'))).message).to.match(
      /:1 \(field "query"\): Expected a string/,
    );
    expect((await rejection(read('{"passage": "1", "type": 3, "query": "x"}'))).message).to.match(
      /:1 \(field "type"\)/,
    );
    expect((await rejection(read('{"passage": "1", "type": "", "query": "x"}'))).message).to.match(
      /:1 \(field "type"\)/,
    );
    expect((await rejection(read('{"passage": "1"'))).message).to.match(/:1: Expected one JSON object/);
  });

  it('refuses a file without queries, and one that is not there', async () => {
    expect((await rejection(read(''))).message).to.contain('Expected at least one query');
    const error = await rejection(readWrittenQueries(join(directory, 'no such'), { corpus }));
    expect(error.code).to.equal('NOT_FOUND');
    expect(error.message).to.contain('a JSON Lines file of written queries');
  });
});
