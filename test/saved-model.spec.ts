import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { Embedder } from '../lib/embedder.js';
import { embeddingsOfModelsInPython, skipWithoutPython } from './environment.js';
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

  it('leaves out files of other weights, the card of the base, and what is no part of a model', async () => {
    const source = writeTinyModel();
    mkdirSync(join(source, 'onnx'));
    for (const name of ['pytorch_model.bin', 'onnx/model.onnx', 'README.md', 'notes.txt'])
      writeFileSync(join(source, name), 'old');
    await using embedder = await Embedder.load(source);
    const saved = join(temporaryDirectory(), 'saved');
    await embedder.save(saved);
    expect(readdirSync(saved)).to.have.members([
      ...['1_Pooling', 'README.md', 'config.json', 'config_sentence_transformers.json', 'model.safetensors'],
      ...['modules.json', 'tokenizer.json', 'tokenizer_config.json'],
    ]);
    expect(readFileSync(join(saved, 'README.md'), 'utf8')).to.include('Saved by listwise');
  });

  it('says in config.json that the weights are fp32', async () => {
    await using embedder = await Embedder.load(writeTinyModel(undefined, { config: { torch_dtype: 'float16' } }));
    const saved = join(temporaryDirectory(), 'saved');
    await embedder.save(saved);
    expect(JSON.parse(readFileSync(join(saved, 'config.json'), 'utf8')).torch_dtype).to.equal('float32');
  });

  it('spells the numbers of config.json as they were, since Python tells 2 from 2.0', async () => {
    const source = writeTinyModel(undefined, { config: { torch_dtype: 'float16' } });
    const file = join(source, 'config.json');
    const numbers = [
      '"factor": 2.0',
      '"small": 1e-12',
      '"large": 1000000000000000019884624838656',
      '"text": "\\"2.0\\": 3.0"',
    ];
    writeFileSync(file, readFileSync(file, 'utf8').replace('{', `{${numbers.join()},`));
    await using embedder = await Embedder.load(source);
    const saved = join(temporaryDirectory(), 'saved');
    await embedder.save(saved);
    const text = readFileSync(join(saved, 'config.json'), 'utf8');
    for (const number of numbers) expect(text).to.include(number);
    expect(JSON.parse(text)).to.deep.equal({ ...JSON.parse(readFileSync(file, 'utf8')), torch_dtype: 'float32' });
  });

  it('refuses an option that there is not, and writes nothing', async () => {
    await using embedder = await Embedder.load(writeTinyModel());
    const saved = join(temporaryDirectory(), 'saved');
    const { message } = await rejection(embedder.save(saved, { Signal: undefined } as object));
    expect(message).to.equal('Embedder.save has no option "Signal"; did you mean "signal"?');
    expect(existsSync(saved)).to.equal(false);
  });

  it('replaces an earlier model', async () => {
    await using embedder = await Embedder.load(writeTinyModel(undefined, { seed: 2 }));
    const earlier = writeTinyModel(undefined, { seed: 3 });
    await embedder.save(earlier);
    // As a save that was killed leaves it.
    writeFileSync(join(earlier, 'model.safetensors.123.tmp'), 'half');
    await embedder.save(earlier);
    await using again = await Embedder.load(earlier);
    expect(await again.encode(texts)).to.deep.equal(await embedder.encode(texts));
    expect(existsSync(join(earlier, 'model.safetensors.123.tmp'))).to.equal(false);
  });

  const strangers: [string, (directory: string) => void, string][] = [
    ['other files', (directory) => writeJson(join(directory, 'thesis.json'), {}), 'it holds thesis.json, which'],
    [
      'a config.json and another file',
      (directory) => {
        writeJson(join(directory, 'config.json'), {});
        writeFileSync(join(directory, 'thesis.txt'), 'years of work');
      },
      'it holds thesis.txt, which would be lost.',
    ],
    [
      'a config.json that is not a saved model',
      (directory) => writeJson(join(directory, 'config.json'), {}),
      'it holds files but no modules.json.',
    ],
    [
      'a model and other files, deep down',
      (directory) => {
        writeTinyModel(directory);
        for (const folder of ['data', '1_Pooling/notes']) mkdirSync(join(directory, folder), { recursive: true });
        for (const name of ['a.txt', '1_Pooling/b.txt', 'pytorch_model.bin']) writeFileSync(join(directory, name), '');
      },
      ' and 2 more, which would be lost.',
    ],
  ];
  for (const [what, fill, problem] of strangers) {
    it(`does not touch a directory that holds ${what}`, async () => {
      await using embedder = await Embedder.load(writeTinyModel());
      const home = temporaryDirectory();
      fill(home);
      const before = readdirSync(home, { recursive: true });
      const { message } = await rejection(embedder.save(home));
      expect(message).to.include(
        `Expected a new or empty directory, or one that holds a saved model and nothing else, for directory but received`,
      );
      expect(message).to.include(problem);
      expect(readdirSync(home, { recursive: true })).to.deep.equal(before);
    });
  }

  it('refuses a place inside of the directory that it was loaded from, by whatever path', async () => {
    const source = writeTinyModel();
    await using embedder = await Embedder.load(source);
    const link = join(temporaryDirectory(), 'link');
    symlinkSync(source, link);
    for (const place of [join(source, 'model'), join(link, 'a', 'b')]) {
      const { message } = await rejection(embedder.save(place));
      const shown = place.length > 80 ? `${place.slice(0, 77)}...` : place;
      expect(message).to.equal(
        `Expected a directory outside of the base model's (${source}) for directory but received "${shown}".`,
      );
    }
    expect(readdirSync(source)).to.not.include('model');
  });

  it('keeps modules whose folders have names of their own, and can replace what it made of them', async () => {
    const source = writeTinyModel();
    mkdirSync(join(source, 'parts'));
    renameSync(join(source, '1_Pooling'), join(source, 'parts', 'pooling'));
    const modules = JSON.parse(readFileSync(join(source, 'modules.json'), 'utf8'));
    modules[1].path = 'parts/pooling';
    writeJson(join(source, 'modules.json'), modules);
    await using embedder = await Embedder.load(source);
    const saved = join(temporaryDirectory(), 'saved');
    await embedder.save(saved);
    await embedder.save(saved);
    await using again = await Embedder.load(saved);
    expect(await again.encode(texts)).to.deep.equal(await embedder.encode(texts));
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

  const configOf = (directory: string) =>
    JSON.parse(readFileSync(join(directory, 'config_sentence_transformers.json'), 'utf8'));

  /** A model whose default prompt is that of passages under the name that is not kept, and whose tokenizer cuts left. */
  async function savedWithDefault(): Promise<{ saved: string; embedder: Embedder }> {
    const source = writeTinyModel();
    const prompts = { query: 'ask ', passage: 'read ', topic: 'on ' };
    writeJson(join(source, 'config_sentence_transformers.json'), { prompts, default_prompt_name: 'passage' });
    writeJson(join(source, 'tokenizer_config.json'), {
      ...{ tokenizer_class: 'BertTokenizer', do_lower_case: true, model_max_length: 12, truncation_side: 'left' },
    });
    const embedder = await Embedder.load(source);
    const saved = join(temporaryDirectory(), 'saved');
    await embedder.save(saved);
    return { saved, embedder };
  }

  it('keeps the default prompt, under the name that its prompt has afterwards', async () => {
    const { saved, embedder } = await savedWithDefault();
    await embedder.dispose();
    expect(configOf(saved)).to.deep.include({
      prompts: { topic: 'on ', query: 'ask ', document: 'read ' },
      default_prompt_name: 'document',
    });
    await using again = await Embedder.load(saved);
    expect(again.settings).to.include({ queryPrefix: 'ask ', passagePrefix: 'read ' });
    const topic = writeTinyModel();
    const config = { prompts: { topic: 'on ' }, default_prompt_name: 'topic' };
    writeJson(join(topic, 'config_sentence_transformers.json'), config);
    await using other = await Embedder.load(topic);
    await other.save(saved);
    expect(configOf(saved)).to.include({ default_prompt_name: 'topic' });
  });

  it("opens in Python's sentence-transformers with the same embeddings", async function () {
    skipWithoutPython(this);
    const source = writeTinyModel(undefined, { plain: true });
    await using plain = await Embedder.load(source, { queryPrefix: 'ask ', passagePrefix: 'read ' });
    const saved = join(temporaryDirectory(), 'saved');
    await plain.save(saved);
    const withDefault = await savedWithDefault();
    await using embedder = withDefault.embedder;
    const opened = await embeddingsOfModelsInPython([saved, withDefault.saved], texts);
    for (const [i, one] of [plain, embedder].entries()) {
      for (const kind of ['query', 'passage'] as const) {
        expectClose(await one.encode(texts, { kind }), opened[i]![kind], { atol: 1e-5 }, `${kind} embeddings`);
      }
    }
  });
});
