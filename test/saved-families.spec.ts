import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { Embedder } from '../lib/embedder.js';
import { interpolateModels } from '../lib/models/interpolation.js';
import { type EmbeddingModel, loadModel } from '../lib/models/model.js';
import { saveModel } from '../lib/models/saved-model.js';
import { wholeWeights, writeWeights } from '../lib/models/weights.js';
import { native, runJob } from '../lib/native.js';
import { embeddingsOfModelsInPython, skipWithoutPython } from './environment.js';
import { FAMILY_MODELS, writeFamilyModel } from './family-models.js';
import { expectClose, norm, randomTexts, readSafetensors, temporaryDirectory } from './helpers.js';

const texts = ['a', ...randomTexts(7, { longest: 8 })];

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

  for (const one of FAMILY_MODELS) {
    const what = `${one.family}, pooled by ${one.mode}, ${one.dense.length} Dense modules`;
    it(`come back as they were (${what})`, async () => {
      const source = writeFamilyModel(one);
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
    const known = FAMILY_MODELS.filter(({ unknownToPython }) => !unknownToPython).map(({ family }) => family);
    const inPython = await embeddingsOfModelsInPython(
      known.map((family) => saved.get(family)!),
      texts,
    );
    for (const [i, family] of known.entries()) {
      expectClose(embeddings.get(family)!, inPython[i]!.passage, { atol: 1e-5 }, `embeddings of ${family}`);
    }
  });

  it('keep their Dense modules in one file where a checkpoint wants one, and get them back from it', async () => {
    const model = await loadModel(writeFamilyModel(FAMILY_MODELS.find(({ family }) => family === 'modernbert')!));
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
    const base = writeFamilyModel(FAMILY_MODELS.find(({ family }) => family === 'mpnet')!);
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
