import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readModelDirectory } from '../../lib/models/directory.js';
import { supportedFamilies } from '../../lib/models/families.js';
import { type NativeEncoder, native, type PackedTexts, runJob } from '../../lib/native.js';
import { expectClose } from '../helpers.js';
import { missingFiles, parityFolders } from './directory.js';

interface Expected {
  inputIds: number[][];
  firstToken: number[][];
  mean: number[][];
}

function pack(texts: number[][]): PackedTexts {
  const offsets = new Int32Array(texts.length + 1);
  for (const [i, text] of texts.entries()) offsets[i + 1] = offsets[i]! + text.length;
  return { ids: Int32Array.from(texts.flat()), offsets };
}

describe('parity of encoders with transformers', () => {
  const models = parityFolders('models');
  if (models.length === 0) it('is compared where the parity directory has models');
  for (const { name, path: directory } of models) {
    const missing = missingFiles(directory, ['config.json', 'expected.json', 'model.safetensors']);
    if (missing.length > 0) {
      it(`is compared with ${name} where that has ${missing.join(', ')}`);
      continue;
    }
    const config = JSON.parse(readFileSync(join(directory, 'config.json'), 'utf8'));
    const expected: Partial<Expected> = JSON.parse(readFileSync(join(directory, 'expected.json'), 'utf8'));
    const { inputIds, firstToken, mean } = expected;
    if (!supportedFamilies.includes(config.model_type)) {
      it.skip(`${name} (${config.model_type}: not supported)`);
      continue;
    }
    if (!inputIds || !firstToken || !mean) {
      it.skip(`${name} (its expected.json has no embeddings: not supported)`);
      continue;
    }
    describe(name, () => {
      let encoder: NativeEncoder;
      before(async () => {
        const { weightFiles: files, architecture, weightNames } = await readModelDirectory(directory);
        const spec = { files, architecture, weightNames, device: 'cpu', precision: 'fp32' } as const;
        encoder = await runJob(() => native().loadEncoder(spec));
      });
      after(() => encoder?.dispose());

      for (const [pooling, embeddings] of [
        ['first-token', firstToken],
        ['mean', mean],
      ] as const) {
        it(`gives the same embeddings, pooled by ${pooling}, to 1e-5`, async () => {
          const args = { ...pack(inputIds), pooling, normalize: true, tokenBudget: 4096 };
          const actual = await runJob(() => encoder.encode(args));
          expectClose(actual, embeddings.flat(), { atol: 1e-5 }, 'embeddings');
        });
      }
    });
  }
});
