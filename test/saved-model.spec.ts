import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { Embedder } from '../lib/embedder.js';
import { embeddingsInPython, skipWithoutPython } from './environment.js';
import {
  expectClose,
  readSafetensors,
  temporaryDirectory,
  tinyConfig,
  tinyWeights,
  writeJson,
  writeSafetensors,
  writeTinyModel,
} from './helpers.js';
import { rejection } from './rejection.js';

describe('Embedder.save', () => {
  const texts = ['one text', 'and another that is longer'];

  it('writes a directory that loads with the same embeddings, and keeps every tensor', async () => {
    const source = writeTinyModel();
    await using embedder = await Embedder.load(source);
    const saved = join(temporaryDirectory(), 'saved');
    await embedder.save(saved);
    await using again = await Embedder.load(saved);
    expect(await again.encode(texts)).to.deep.equal(await embedder.encode(texts));
    expect(readSafetensors(join(saved, 'model.safetensors'))).to.deep.equal(
      readSafetensors(join(source, 'model.safetensors')),
    );
    expect(readdirSync(saved)).to.have.members([
      ...readdirSync(source),
      'README.md',
      'config_sentence_transformers.json',
    ]);
    expect(readdirSync(join(saved, '..'))).to.deep.equal(['saved']);
  });

  it("makes sentence-transformers' layout of a plain directory, with the settings in use", async () => {
    const plain = writeTinyModel(undefined, { plain: true });
    await using embedder = await Embedder.load(plain, { pooling: 'first-token', queryPrefix: 'q: ' });
    const saved = join(temporaryDirectory(), 'saved');
    await embedder.save(saved);
    await using again = await Embedder.load(saved);
    expect(again.settings).to.deep.equal(embedder.settings);
    for (const kind of ['query', 'passage'] as const) {
      expect(await again.encode(texts, { kind })).to.deep.equal(await embedder.encode(texts, { kind }));
    }
  });

  it('leaves out files of other weights and the card of the base', async () => {
    const source = writeTinyModel();
    mkdirSync(join(source, 'onnx'));
    for (const name of ['pytorch_model.bin', 'onnx/model.onnx', 'README.md', 'notes.txt'])
      writeFileSync(join(source, name), 'old');
    await using embedder = await Embedder.load(source);
    const saved = join(temporaryDirectory(), 'saved');
    await embedder.save(saved);
    expect(readdirSync(saved))
      .to.include('notes.txt')
      .and.not.include.members(['pytorch_model.bin'])
      .and.not.include('onnx');
    expect(readFileSync(join(saved, 'README.md'), 'utf8')).to.include('Saved by listwise');
  });

  it('says in config.json that the weights are fp32', async () => {
    await using embedder = await Embedder.load(writeTinyModel(undefined, { config: { torch_dtype: 'float16' } }));
    const saved = join(temporaryDirectory(), 'saved');
    await embedder.save(saved);
    expect(JSON.parse(readFileSync(join(saved, 'config.json'), 'utf8')).torch_dtype).to.equal('float32');
  });

  it('replaces an earlier model, but nothing else', async () => {
    await using embedder = await Embedder.load(writeTinyModel(undefined, { seed: 2 }));
    const earlier = writeTinyModel(undefined, { seed: 3 });
    await embedder.save(earlier);
    await using again = await Embedder.load(earlier);
    expect(await again.encode(texts)).to.deep.equal(await embedder.encode(texts));
    const home = temporaryDirectory();
    writeJson(join(home, 'thesis.json'), {});
    const { message } = await rejection(embedder.save(home));
    expect(message).to.match(
      /^Expected a new or empty directory, or one that holds a model to replace, for directory but received/,
    );
    expect(message).to.match(/; it holds thesis\.json\.$/);
    expect(existsSync(join(home, 'thesis.json'))).to.equal(true);
  });

  it('can replace the directory that it was loaded from', async () => {
    const source = writeTinyModel();
    await using embedder = await Embedder.load(source);
    const before = await embedder.encode(texts);
    await embedder.save(source);
    await using again = await Embedder.load(source);
    expect(await again.encode(texts)).to.deep.equal(before);
  });

  it('reads shards, prefixes and old names, and saves one file under the same names', async () => {
    const source = writeTinyModel();
    const renamed = Object.entries(tinyWeights(tinyConfig, 1, 'bert.')).map(([name, tensor]) => {
      const old = name.replace('LayerNorm.weight', 'LayerNorm.gamma').replace('LayerNorm.bias', 'LayerNorm.beta');
      return [old, tensor] as const;
    });
    const sharded = writeTinyModel();
    rmSync(join(sharded, 'model.safetensors'));
    const shards = { 'a.safetensors': renamed.slice(0, 9), 'b.safetensors': renamed.slice(9) };
    const weight_map: Record<string, string> = {};
    for (const [file, tensors] of Object.entries(shards)) {
      writeSafetensors(join(sharded, file), Object.fromEntries(tensors));
      for (const [name] of tensors) weight_map[name] = file;
    }
    writeJson(join(sharded, 'model.safetensors.index.json'), { weight_map });
    await using plain = await Embedder.load(source);
    await using embedder = await Embedder.load(sharded);
    expect(await embedder.encode(texts)).to.deep.equal(await plain.encode(texts));
    const saved = join(temporaryDirectory(), 'saved');
    await embedder.save(saved);
    expect(readdirSync(saved).filter((name) => name.includes('safetensors'))).to.deep.equal(['model.safetensors']);
    expect(readSafetensors(join(saved, 'model.safetensors'))).to.deep.equal(Object.fromEntries(renamed));
  });

  it('keeps the Transformer module in its own folder', async () => {
    const source = writeTinyModel();
    mkdirSync(join(source, '0_Transformer'));
    for (const name of ['config.json', 'model.safetensors', 'tokenizer.json', 'tokenizer_config.json']) {
      renameSync(join(source, name), join(source, '0_Transformer', name));
    }
    const kinds = ['Transformer', 'Pooling'];
    const modules = kinds.map((kind, idx) => ({
      idx,
      path: `${idx}_${kind}`,
      type: `sentence_transformers.models.${kind}`,
    }));
    writeJson(join(source, 'modules.json'), modules);
    await using embedder = await Embedder.load(source);
    const saved = join(temporaryDirectory(), 'saved');
    await embedder.save(saved);
    expect(existsSync(join(saved, '0_Transformer/model.safetensors'))).to.equal(true);
    const { length } = JSON.parse(readFileSync(join(saved, 'modules.json'), 'utf8'));
    expect(length, 'a Normalize module was added, for embeddings of unit length').to.equal(3);
    await using again = await Embedder.load(saved);
    expect(await again.encode(texts)).to.deep.equal(await embedder.encode(texts));
  });

  it("opens in Python's sentence-transformers with the same embeddings", async function () {
    skipWithoutPython(this);
    const source = writeTinyModel(undefined, { plain: true });
    await using embedder = await Embedder.load(source, { queryPrefix: 'ask ', passagePrefix: 'read ' });
    const saved = join(temporaryDirectory(), 'saved');
    await embedder.save(saved);
    const expected = await embeddingsInPython(saved, texts);
    for (const kind of ['query', 'passage'] as const) {
      expectClose(await embedder.encode(texts, { kind }), expected[kind], { atol: 1e-5 }, `${kind} embeddings`);
    }
  });
});
