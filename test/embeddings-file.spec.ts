import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { Embedder } from '../lib/embedder.js';
import { readEmbeddings, recordOf, writeEmbeddings } from '../lib/embeddings/file.js';
import { temporaryDirectory, writeJson, writeTinyModel } from './helpers.js';

const { signal } = new AbortController();

/** A model whose Transformer module has a directory of its own, as sentence-transformers wrote it before version 2. */
function writeNestedModel(seed: number): string {
  const directory = writeTinyModel(join(temporaryDirectory(), 'nested'), { seed });
  mkdirSync(join(directory, '0_Transformer'));
  for (const file of ['config.json', 'model.safetensors', 'tokenizer.json', 'tokenizer_config.json']) {
    renameSync(join(directory, file), join(directory, '0_Transformer', file));
  }
  const modules = JSON.parse(readFileSync(join(directory, 'modules.json'), 'utf8'));
  modules[0].path = '0_Transformer';
  writeJson(join(directory, 'modules.json'), modules);
  return directory;
}

async function recordFor(model: string, texts = ['a text']) {
  await using embedder = await Embedder.load(model);
  return await recordOf(embedder, { model, kind: 'passage', texts, signal });
}

async function writeFor(model: string): Promise<string> {
  const file = join(temporaryDirectory(), 'corpus.npy');
  const record = { ...(await recordFor(model)), ids: ['one'] };
  await writeEmbeddings(file, { record, values: new Float32Array(record.dimension).fill(0.5), signal });
  return file;
}

describe('readEmbeddings', () => {
  it('gives back what writeEmbeddings wrote for the same model, under whatever name', async () => {
    const model = writeNestedModel(1);
    const file = await writeFor(model);
    const read = await readEmbeddings(file, {
      expected: { ...(await recordFor(model)), model: 'another/name' },
      signal,
    });
    expect(read?.ids).to.deep.equal(['one']);
    expect(read?.values[0]).to.equal(0.5);
  });

  it('refuses embeddings of a model whose weights differ, wherever in its directory they lie', async () => {
    const file = await writeFor(writeNestedModel(1));
    const other = writeNestedModel(2);
    const problem = await readEmbeddings(file, { expected: await recordFor(other), signal }).catch((error) => error);
    expect(problem).to.include({ code: 'BAD_DATA', field: 'modelHash' });
    expect(problem.message).to.include(other).and.to.include('remove both files');
  });

  it('refuses embeddings of texts that have changed', async () => {
    const model = writeNestedModel(1);
    const expected = await recordFor(model, ['another text']);
    const problem = await readEmbeddings(await writeFor(model), { expected, signal }).catch((error) => error);
    expect(problem).to.include({ code: 'BAD_DATA', field: 'textsHash' });
    expect(problem.message).to.include('remove both files');
  });

  it('refuses a record without ids', async () => {
    const model = writeNestedModel(1);
    const file = await writeFor(model);
    writeFileSync(`${file}.json`, '{}');
    const problem = await readEmbeddings(file, { expected: await recordFor(model), signal }).catch((error) => error);
    expect(problem).to.include({ code: 'BAD_DATA', field: 'ids' });
  });
});
