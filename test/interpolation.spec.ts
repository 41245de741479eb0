import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { Embedder } from '../lib/embedder.js';
import { interpolateModels } from '../lib/models/interpolation.js';
import { writeHalves } from './half-weights.js';
import {
  expectClose,
  readSafetensors,
  temporaryDirectory,
  tinyConfig,
  tinyWeights,
  writeTinyModel,
} from './helpers.js';
import { rejection } from './rejection.js';

describe('interpolateModels', () => {
  const card = '# Mixed\n';
  const target = () => join(temporaryDirectory(), 'mixed');

  it('puts each weight between those of the two models', async () => {
    const [base, trained] = [writeTinyModel(undefined, { seed: 1 }), writeTinyModel(undefined, { seed: 2 })];
    const place = target();
    await interpolateModels({ base, trained, share: 0.25, target: place, card });
    const [a, b, mixed] = [base, trained, place].map((directory) =>
      readSafetensors(join(directory, 'model.safetensors')),
    );
    expect(Object.keys(mixed!)).to.have.members(Object.keys(b!));
    for (const [name, { values, shape }] of Object.entries(mixed!)) {
      expect(shape).to.deep.equal(b![name]!.shape);
      const expected = values.map((_, i) => 0.75 * a![name]!.values[i]! + 0.25 * b![name]!.values[i]!);
      expectClose(values, expected, { rtol: 1e-6, atol: 1e-9 }, name);
    }
    expect(readFileSync(join(place, 'README.md'), 'utf8')).to.equal(card);
    await using embedder = await Embedder.load(place);
    expect(await embedder.encode(['abc'])).to.have.length(32);
  });

  it('is the base at share 0 and the trained model at share 1', async () => {
    const [base, trained] = [writeTinyModel(undefined, { seed: 1 }), writeTinyModel(undefined, { seed: 2 })];
    for (const [share, same] of [
      [0, base],
      [1, trained],
    ] as const) {
      const place = target();
      await interpolateModels({ base, trained, share, target: place, card });
      const [mixed, expected] = [place, same].map((directory) => readSafetensors(join(directory, 'model.safetensors')));
      expect(mixed).to.deep.equal(expected);
    }
  });

  for (const dtype of ['F16', 'BF16'] as const) {
    it(`reads a base that is kept as ${dtype}`, async () => {
      const base = writeTinyModel();
      const rounded = writeHalves(join(base, 'model.safetensors'), tinyWeights(tinyConfig, 1), dtype);
      const place = target();
      await interpolateModels({ base, trained: writeTinyModel(undefined, { seed: 2 }), share: 0, target: place, card });
      for (const [name, { values }] of Object.entries(readSafetensors(join(place, 'model.safetensors')))) {
        expect(values, name).to.deep.equal(rounded[name]!.values);
      }
    });
  }

  it('refuses models of different shapes, and leaves no half a model', async () => {
    const trained = writeTinyModel(undefined, { config: { hidden_size: 16 } });
    const place = target();
    const error = await rejection(
      interpolateModels({ base: writeTinyModel(), trained, share: 0.5, target: place, card }),
    );
    expect(error.message).to.contain('Expected models of one architecture to mix').and.contain('of shape [56,16]');
    expect(existsSync(place)).to.equal(false);
    const wrong = interpolateModels({ base: trained, trained, share: 1.5, target: place, card });
    expect((await rejection(wrong)).message).to.equal('Expected a number from 0 to 1 for share but received 1.5.');
  });
});
