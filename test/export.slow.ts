import { join } from 'node:path';
import { Embedder } from '../lib/embedder.js';
import { exportOnnx } from '../lib/export/onnx.js';
import { Readers } from '../lib/export/readers.js';
import { skipWithoutPython } from './environment.js';
import { FAMILY_MODELS, writeFamilyModel } from './family-models.js';
import { expectClose, randomTexts, temporaryDirectory } from './helpers.js';

describe('exportOnnx, of every family that transformers has', () => {
  const python = process.env.LISTWISE_TEST_PYTHON ?? 'python3';
  const texts = ['a', ...randomTexts(23, { longest: 8 })];

  for (const one of FAMILY_MODELS.filter(({ unknownToPython }) => !unknownToPython)) {
    it(`gives our embeddings (${one.family}, pooled by ${one.mode}, ${one.dense.length} Dense modules)`, async function () {
      skipWithoutPython(this);
      this.timeout(600_000);
      const output = join(temporaryDirectory(), 'exported');
      const { directory } = await exportOnnx(writeFamilyModel(one), { output, formats: ['onnx'], python });
      await using ours = await Embedder.load(directory);
      await using readers = await Readers.open(directory, { settings: ours.settings, formats: ['onnx'], python });
      const expected = await ours.encode(texts);
      for (const [name, reader] of readers.byName) {
        const actual = await reader.encode(texts, { kind: 'passage' });
        expectClose(actual, expected, { atol: 1e-5 }, `embeddings by ${name}`);
      }
    });
  }
});
