import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import type { Session } from '../lib/cli/command.js';
import { encodeCommand } from '../lib/cli/encode.js';
import { searchCommand } from '../lib/cli/search.js';
import { Embedder } from '../lib/embedder.js';
import { readParquet } from '../lib/formats/parquet.js';
import { specialize } from '../lib/specialize/specialize.js';
import { skipWithoutPython } from './environment.js';
import { temporaryDirectory, writeTinyModel } from './helpers.js';
import { rejection } from './rejection.js';
import { jsonl, tinyRun, writeCollection } from './tiny-run.js';

const lanceName: string = '@lancedb/lancedb';
const lance: any = await import(lanceName).catch(() => undefined);

const nothing = () => {};
const session: Session = {
  ...{ say: nothing, detail: nothing, onProgress: nothing, ask: async () => undefined },
  signal: new AbortController().signal,
};

describe('encode, into other formats', function () {
  this.timeout(60_000);
  const passages = ['one two', "it's three", '', 'vier <fünf>'].map((text, i) => ({ _id: `p'${i}`, title: '', text }));
  let input: string;
  let model: string;
  let expected: Float32Array;
  before(async () => {
    input = join(temporaryDirectory(), 'corpus.jsonl');
    writeFileSync(input, jsonl(passages.map((passage) => ({ ...passage, text: passage.text || 'x' }))));
    model = writeTinyModel();
    await using embedder = await Embedder.load(model);
    expected = await embedder.encode(passages.map(({ text }) => text || 'x'));
  });

  const at = (ending: string) => join(temporaryDirectory(), `out${ending}`);
  const encode = (output: string, more: object = {}) =>
    encodeCommand.run({ model, input, output, ...more }, session, []);
  const recordAt = (output: string) => JSON.parse(readFileSync(`${output}.json`, 'utf8'));

  it('writes Parquet that it and pyarrow read, with what the vectors are of in the metadata', async function () {
    const output = at('.parquet');
    await encode(output);
    const rows: { _id: string; text: string; embedding: number[] }[] = [];
    for await (const { value } of readParquet(output)) rows.push(value as never);
    expect(rows.map(({ _id }) => _id)).to.deep.equal(passages.map(({ _id }) => _id));
    expect(rows.flatMap(({ embedding }) => embedding)).to.deep.equal([...expected]);
    expect(recordAt(output)).to.include({ model, dimension: 32, kind: 'passage' });
    skipWithoutPython(this);
    const program =
      'import json, sys; import pyarrow.parquet as q; t = q.read_table(sys.argv[1]); ' +
      'print(json.dumps([t.column("text").to_pylist(), t.column("embedding").to_pylist(), str(t.schema.field("embedding").type), json.loads(t.schema.metadata[b"listwise"])]))';
    const python = process.env.LISTWISE_TEST_PYTHON ?? 'python3';
    const { stdout, stderr } = spawnSync(python, ['-c', program, output], { encoding: 'utf8' });
    expect(stdout, stderr).to.not.equal('');
    const [texts, vectors, type, about] = JSON.parse(stdout);
    expect(texts).to.deep.equal(['one two', "it's three", 'x', 'vier <fünf>']);
    expect(Float32Array.from(vectors.flat())).to.deep.equal(expected);
    expect(type).to.match(/^list<.*float/);
    const { ids: _, ...record } = recordAt(output);
    expect(about).to.deep.equal(record);
  });

  it('writes .npy that numpy loads and maps', async function () {
    skipWithoutPython(this);
    const output = at('.npy');
    await encode(output);
    const program =
      'import json, numpy, sys; a = numpy.load(sys.argv[1]); m = numpy.load(sys.argv[1], mmap_mode="r"); ' +
      'print(json.dumps([str(a.dtype), a.shape, a.flags["C_CONTIGUOUS"], a.tolist(), bool((a == m).all())]))';
    const python = process.env.LISTWISE_TEST_PYTHON ?? 'python3';
    const { stdout, stderr } = spawnSync(python, ['-c', program, output], { encoding: 'utf8' });
    expect(stdout, stderr).to.not.equal('');
    const [type, shape, isByRows, rows, isMapped] = JSON.parse(stdout);
    expect([type, shape, isByRows, isMapped]).to.deep.equal(['float32', [passages.length, 32], true, true]);
    expect(Float32Array.from(rows.flat())).to.deep.equal(expected);
  });

  it('says what the vectors are of beside every format', async () => {
    for (const ending of ['.npy', '.jsonl']) {
      const output = at(ending);
      await encode(output);
      expect(recordAt(output).ids).to.deep.equal(passages.map(({ _id }) => _id));
      expect(recordAt(output).prompts).to.deep.equal({ query: '', passage: '' });
      expect(recordAt(output).modelHash).to.match(/^[0-9a-f]{64}$/);
    }
  });

  it('refuses to put vectors of another model or other prompts in the place of those there, unless told to', async () => {
    const output = at('.jsonl');
    await encode(output);
    const before = readFileSync(output, 'utf8');
    const other = writeTinyModel(undefined, { seed: 2 });
    const error = await rejection(encode(output, { model: other }) as Promise<unknown>);
    expect(error).to.have.property('code', 'BAD_DATA');
    expect(error.message).to.contain(`but they have ${model} and these ${other}. Vectors of two models do not compare`);
    const prompted = await rejection(encode(output, { passagePrefix: 'passage: ' }) as Promise<unknown>);
    expect(prompted.message).to.contain('(field "prompts")');
    expect(readFileSync(output, 'utf8')).to.equal(before);
    await encode(output, { model: other, ifExists: 'replace' });
    expect(recordAt(output).model).to.equal(other);
    await encode(output, { model: other });
  });

  it('refuses to write where embeddings are of which nothing says the model, unless told to', async () => {
    const output = at('.jsonl');
    await encode(output);
    const before = readFileSync(output, 'utf8');
    rmSync(`${output}.json`);
    const error = await rejection(encode(output) as Promise<unknown>);
    expect(error).to.have.property('code', 'BAD_DATA');
    expect(error.message)
      .to.contain(`Expected ${output}.json beside the embeddings that are there`)
      .and.to.contain('embed everything anew (--if-exists replace), or name another output');
    expect(readFileSync(output, 'utf8')).to.equal(before);
    await encode(output, { ifExists: 'replace' });
    expect(recordAt(output).model).to.equal(model);
  });

  it('refuses other endings, and to append to a file', async () => {
    const wrong = await rejection(encode(at('.csv')) as Promise<unknown>);
    expect(wrong.message).to.contain('a name that ends in .npy, .parquet, .jsonl or .lance for output');
    const file = await rejection(encode(at('.npy'), { ifExists: 'append' }) as Promise<unknown>);
    expect(file.message).to.contain('only .lance tables grow');
  });

  describe('LanceDB', () => {
    it('gets a table that its client searches, which grows by ids and refuses another model', async function () {
      if (!lance) {
        console.log(
          '      skipped: `npm install --no-save --legacy-peer-deps @lancedb/lancedb apache-arrow` brings LanceDB',
        );
        this.skip();
      }
      const output = at('.lance');
      await encode(output);
      const database = await lance.connect(join(output, '..'));
      const nearest = async (row: number) => {
        const table = await database.openTable('out');
        const vector = [...expected.subarray(32 * row, 32 * (row + 1))];
        return (await table.search(vector).limit(1).toArray())[0].id;
      };
      expect(await nearest(3)).to.equal("p'3");
      const more = join(temporaryDirectory(), 'more.jsonl');
      writeFileSync(
        more,
        jsonl([
          { _id: "p'1", text: 'changed' },
          { _id: 'new', text: 'new one' },
        ]),
      );
      await encode(output, { input: more, ifExists: 'append' });
      const table = await database.openTable('out');
      expect(await table.countRows()).to.equal(5);
      expect(await table.countRows("text = 'changed'")).to.equal(1);
      expect(recordAt(output).ids).to.have.members(["p'0", "p'1", "p'2", "p'3", 'new']);
      const other = encode(output, { model: writeTinyModel(undefined, { seed: 2 }), ifExists: 'append' });
      expect((await rejection(other as Promise<unknown>)).message).to.contain('Vectors of two models do not compare');
      expect(await table.countRows()).to.equal(5);
    });

    it('is not appended to where a table was made elsewhere', async function () {
      if (!lance) this.skip();
      const output = at('.lance');
      const database = await lance.connect(join(output, '..'));
      const foreign = await database.createTable('out', [
        { id: 'old', text: 'old', vector: [...expected.slice(0, 32)] },
      ]);
      const error = await rejection(encode(output, { ifExists: 'append' }) as Promise<unknown>);
      expect(error.message)
        .to.contain(`Expected ${output}.json beside the embeddings that are there`)
        .and.to.contain('--if-exists replace');
      expect(await foreign.countRows()).to.equal(1);
    });

    if (!lance) {
      it('is asked for by name where it is not installed', async () => {
        const error = await rejection(encode(at('.lance')) as Promise<unknown>);
        expect(error).to.have.property('code', 'SETUP');
        expect(error.message).to.contain('run `npm install @lancedb/lancedb apache-arrow`');
      });
    }
  });
});

describe('search --run', function () {
  this.timeout(60_000);

  it("answers by a run's model over its corpus, whose embeddings it keeps in the run", async () => {
    const collection = writeCollection();
    const { directory } = await specialize(tinyRun({ collection, model: writeTinyModel(), mixingShares: [] }));
    const first = await searchCommand.run({ run: directory, k: 3 }, session, ['abc']);
    const [found] = (first.json as { queries: { passages: { id: string; text: string }[] }[] }).queries;
    expect(found!.passages).to.have.length(3);
    expect(existsSync(join(directory, 'search', 'passages.npy'))).to.equal(true);
    expect(await searchCommand.run({ run: directory, k: 3 }, session, ['abc'])).to.deep.equal(first);
    const given = { model: join(directory, 'model'), corpus: collection, k: 3 };
    expect((await searchCommand.run(given, session, ['abc'])).json).to.deep.equal(first.json);
    const neither = await rejection(searchCommand.run({ model: given.model }, session, ['abc']));
    expect(neither.message).to.equal('search needs --run, or --model and --corpus.');
    const nowhere = await rejection(searchCommand.run({ run: collection }, session, ['abc']));
    expect(nowhere.message).to.contain('Expected the directory of a run, with corpus.json');
  });
});
