import { cpSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { Embedder } from '../lib/embedder.js';
import { interpolateModels } from '../lib/models/interpolation.js';
import { type EmbeddingModel, loadModel } from '../lib/models/model.js';
import { saveModel } from '../lib/models/saved-model.js';
import { wholeWeights, writeWeights } from '../lib/models/weights.js';
import { native, type Pooling, runJob } from '../lib/native.js';
import { Random } from '../lib/random.js';
import { embeddingsOfModelsInPython, skipWithoutPython } from './environment.js';
import {
  expectClose,
  norm,
  randomTexts,
  readSafetensors,
  temporaryDirectory,
  tinyTokenizer,
  writeJson,
  writeSafetensors,
} from './helpers.js';

const models = fileURLToPath(new URL('fixtures/parity/models', import.meta.url));
const texts = ['a', ...randomTexts(7, { longest: 8 })];

interface Dense {
  activation: string;
  bias: boolean;
  outputs: number;
}

/** Each family with another way of pooling and other layers after it. */
const CASES: { family: string; mode: string; pooling: Pooling; dense: Dense[]; unknownToPython?: boolean }[] = [
  { family: 'roberta', mode: 'weightedmean', pooling: 'weighted-mean', dense: [] },
  {
    ...{ family: 'distilbert', mode: 'max', pooling: 'max' },
    dense: [{ activation: 'activation.ReLU', bias: true, outputs: 24 }],
  },
  {
    ...{ family: 'mpnet', mode: 'lasttoken', pooling: 'last-token' },
    dense: [{ activation: 'activation.Tanh', bias: true, outputs: 40 }],
  },
  {
    ...{ family: 't5-encoder-gated', mode: 'mean', pooling: 'mean' },
    dense: [{ activation: 'linear.Identity', bias: false, outputs: 20 }],
  },
  {
    ...{ family: 'modernbert', mode: 'mean_sqrt_len_tokens', pooling: 'mean-sqrt-length' },
    dense: [
      { activation: 'activation.GELU', bias: true, outputs: 48 },
      { activation: 'activation.Sigmoid', bias: true, outputs: 16 },
    ],
  },
  { family: 'gte', mode: 'cls', pooling: 'first-token', dense: [] },
  { family: 'new-ntk', mode: 'cls', pooling: 'first-token', dense: [], unknownToPython: true },
];

/** A directory in sentence-transformers' layout with the weights of one of the fixtures. */
function writeModel({ family, mode, dense }: (typeof CASES)[number]): string {
  const directory = join(temporaryDirectory(), family);
  mkdirSync(join(directory, '1_Pooling'), { recursive: true });
  for (const file of ['config.json', 'model.safetensors']) {
    cpSync(join(models, family, file), join(directory, file));
  }
  if (family.startsWith('t5')) copyEmbeddings(join(directory, 'model.safetensors'));
  writeJson(join(directory, 'tokenizer.json'), tinyTokenizer());
  const special = { pad_token: '[PAD]', unk_token: '[UNK]', cls_token: '[CLS]', sep_token: '[SEP]' };
  writeJson(join(directory, 'tokenizer_config.json'), {
    ...{ tokenizer_class: 'PreTrainedTokenizerFast', model_max_length: 40, ...special },
  });
  writeJson(join(directory, '1_Pooling', 'config.json'), { embedding_dimension: 32, pooling_mode: mode });
  const modules = [
    ['Transformer', ''],
    ['Pooling', '1_Pooling'],
    ...dense.map((_, i) => ['Dense', `${i + 2}_Dense`]),
    ['Normalize', `${dense.length + 2}_Normalize`],
  ];
  const entries = modules.map(([kind, path], idx) => ({
    ...{ idx, name: String(idx), path, type: `sentence_transformers.models.${kind}` },
  }));
  writeJson(join(directory, 'modules.json'), entries);
  let inputs = 32;
  for (const [i, layer] of dense.entries()) {
    writeDense(join(directory, `${i + 2}_Dense`), inputs, layer);
    inputs = layer.outputs;
  }
  return directory;
}

/** The embeddings under the names of encoder and decoder, too, as older files of T5 have them. */
function copyEmbeddings(file: string): void {
  const tensors = readSafetensors(file);
  const copies = ['encoder', 'decoder'].map((part) => [`${part}.embed_tokens.weight`, tensors['shared.weight']!]);
  writeSafetensors(file, { ...tensors, ...Object.fromEntries(copies) });
}

function writeDense(directory: string, inputs: number, { activation, bias, outputs }: Dense): void {
  const random = Random.for(inputs, 'dense');
  const values = (count: number) => Float32Array.from({ length: count }, () => random.float() - 0.4);
  mkdirSync(directory);
  writeJson(join(directory, 'config.json'), {
    ...{ in_features: inputs, out_features: outputs, bias, activation_function: `torch.nn.modules.${activation}` },
  });
  writeSafetensors(join(directory, 'model.safetensors'), {
    'linear.weight': { shape: [outputs, inputs], values: values(inputs * outputs) },
    ...(bias && { 'linear.bias': { shape: [outputs], values: values(outputs) } }),
  });
}

/** A step of training, of a size that shows. */
async function train({ encoder, settings, tokenizer }: EmbeddingModel): Promise<Map<string, Float32Array>> {
  const trainer = native().createTrainer(encoder, {
    ...{ beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0, clip: 0 },
  });
  const step = {
    queries: await tokenizer.pack(['one', 'two more']),
    passages: await tokenizer.pack(['first one', 'second', 'a third of them', 'last']),
    rows: Int32Array.of(0, 1, 2, 3, 1, 0),
    teacher: Float64Array.of(0.9, 0.5, 0.1, 0.8, 0.4, 0.2),
    ...{ listLength: 3, pooling: settings.pooling, tokenBudget: 16, keepBytes: 0, learningRate: 0.01 },
    loss: {
      ...{ studentTemperature: 0.05, teacherTemperature: 0.3, contrastiveTemperature: 0.1 },
      ...{ contrastiveWeight: 0.5, listwiseWeight: 1, maskThreshold: 0.6 },
    },
  };
  await runJob(() => trainer.step(step));
  const gradients = new Map(encoder.parameterNames().map((name) => [name, trainer.gradient(name)]));
  trainer.dispose();
  return gradients;
}

describe('models of every family, trained and saved', () => {
  const saved = new Map<string, string>();
  const embeddings = new Map<string, Float32Array>();

  for (const one of CASES) {
    const what = `${one.family}, pooled by ${one.mode}, ${one.dense.length} Dense modules`;
    it(`come back as they were (${what})`, async () => {
      const source = writeModel(one);
      const model = await loadModel(source);
      expect(model.settings.pooling).to.equal(one.pooling);
      const gradients = await train(model);
      for (const [name, gradient] of gradients) {
        if (name.startsWith('dense.')) expect(norm(gradient), name).to.be.above(1e-4);
      }
      expect([...gradients.keys()].filter((name) => name.startsWith('dense.'))).to.have.length(
        one.dense.reduce((sum, { bias }) => sum + (bias ? 2 : 1), 0),
      );
      const directory = join(temporaryDirectory(), 'saved');
      await saveModel(model, directory, { card: 'Test.' });
      await using before = await Embedder.load(source);
      await using after = await Embedder.load(directory);
      const actual = await after.encode(texts);
      const { encoder, tokenizer, settings } = model;
      const packed = await tokenizer.pack(texts);
      const args = { ...packed, pooling: settings.pooling, normalize: true, tokenBudget: 4096 };
      expectClose(actual, await runJob(() => encoder.encode(args)), { atol: 1e-6 }, 'embeddings');
      const untrained = await before.encode(texts);
      expect(norm(actual.map((value, i) => value - untrained[i]!))).to.be.above(1e-3);
      expect(readdirSync(directory)).to.include.members(readdirSync(source));
      encoder.dispose();
      saved.set(one.family, directory);
      embeddings.set(one.family, actual);
    });
  }

  it('hold no copy of a trained weight that was left as it was', () => {
    const { 't5-encoder-gated': t5 } = Object.fromEntries(saved);
    const names = Object.keys(readSafetensors(join(t5!, 'model.safetensors')));
    expect(names.filter((name) => /shared|embed_tokens/.test(name))).to.deep.equal(['shared.weight']);
  });

  it('open in sentence-transformers with the same embeddings', async function () {
    skipWithoutPython(this);
    const known = CASES.filter(({ unknownToPython }) => !unknownToPython).map(({ family }) => family);
    const inPython = await embeddingsOfModelsInPython(
      known.map((family) => saved.get(family)!),
      texts,
    );
    for (const [i, family] of known.entries()) {
      expectClose(embeddings.get(family)!, inPython[i]!.passage, { atol: 1e-5 }, `embeddings of ${family}`);
    }
  });

  it('keep their Dense modules in one file where a checkpoint wants one, and get them back from it', async () => {
    const model = await loadModel(writeModel(CASES.find(({ family }) => family === 'modernbert')!));
    await train(model);
    const directory = join(temporaryDirectory(), 'saved');
    await saveModel(model, directory, { card: 'Test.' });
    const whole = wholeWeights(model, directory);
    if (typeof whole !== 'function') throw new Error('Expected the weights to be written anew.');
    const file = join(temporaryDirectory(), 'whole.safetensors');
    await whole(file);
    expect(Object.keys(readSafetensors(file))).to.include.members([
      ...['final_norm.weight', 'dense.0.linear.weight', 'dense.1.linear.bias'],
    ]);
    const again = join(temporaryDirectory(), 'again');
    await train(model);
    await saveModel(model, again, { card: 'Test.', weights: file });
    for (const part of ['model.safetensors', '2_Dense/model.safetensors', '3_Dense/model.safetensors']) {
      expect(readSafetensors(join(again, part)), part).to.deep.equal(readSafetensors(join(directory, part)));
    }
    await writeWeights(model, again);
    expect(readSafetensors(join(again, '2_Dense/model.safetensors'))).to.not.deep.equal(
      readSafetensors(join(directory, '2_Dense/model.safetensors')),
    );
    model.encoder.dispose();
  });

  it('mix their Dense modules, too', async () => {
    const base = writeModel(CASES.find(({ family }) => family === 'mpnet')!);
    const target = join(temporaryDirectory(), 'mixed');
    const trained = saved.get('mpnet')!;
    await interpolateModels({ base, trained, share: 0.25, target, card: 'Test.' });
    const weights = [base, trained, target].map(
      (directory) => readSafetensors(join(directory, '2_Dense/model.safetensors'))['linear.weight']!.values,
    );
    const expected = weights[0]!.map((value, i) => 0.75 * value + 0.25 * weights[1]![i]!);
    expect(norm(weights[1]!.map((value, i) => value - weights[0]![i]!))).to.be.above(1e-3);
    expectClose(weights[2]!, expected, { atol: 1e-7 }, 'weights');
  });
});
