import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { scoringSpec } from '../../lib/models/cross-encoder.js';
import { readCrossEncoderDirectory } from '../../lib/models/cross-encoder-directory.js';
import { readModelDirectory } from '../../lib/models/directory.js';
import { supportedFamilies } from '../../lib/models/families.js';
import { type NativeEncoder, native, type PackedTexts, runJob } from '../../lib/native.js';
import { expectClose } from '../helpers.js';
import { MODEL_FILES, missingFiles, parityFolders } from './directory.js';

interface Expected {
  inputIds: number[][];
  firstToken: number[][];
  mean: number[][];
  /** Of pairs given to BERT. */
  tokenTypeIds: number[][];
  /** Of a cross-encoder: one a text. */
  logits: number[] | number[][];
  /** Of T5: those of the whole vocabulary at the first decoding step. */
  firstStepLogits: number[][];
}

function pack(texts: number[][]): PackedTexts {
  const offsets = new Int32Array(texts.length + 1);
  for (const [i, text] of texts.entries()) offsets[i + 1] = offsets[i]! + text.length;
  return { ids: Int32Array.from(texts.flat()), offsets };
}

/** The logits of a model that scores texts; for T5 those of each token of its vocabulary. */
async function scoresOf(directory: string, { inputIds, tokenTypeIds }: Partial<Expected>): Promise<Float32Array> {
  const model = await readCrossEncoderDirectory(directory);
  const { vocabularySize } = model.architecture;
  const all = Array.from({ length: vocabularySize }, (_, id) => id);
  const prompt = { before: '', between: '', after: '' };
  const scoring = model.head.decoder && { outputIds: all, prompt, score: () => 0 };
  const spec = { ...scoringSpec(model, scoring), device: 'cpu', precision: 'fp32' } as const;
  const encoder = await runJob(() => native().loadEncoder(spec));
  const secondStarts = tokenTypeIds?.map((types) => (types.includes(1) ? types.indexOf(1) : types.length));
  const types = secondStarts && { secondStarts: Int32Array.from(secondStarts) };
  const { pooling } = model.head;
  const args = { ...pack(inputIds!), ...types, pooling, normalize: false, tokenBudget: 4096 };
  const scores = await runJob(() => encoder.encode(args));
  encoder.dispose();
  return scores;
}

describe('parity of encoders with transformers', () => {
  const models = parityFolders('models');
  if (models.length === 0) it('is compared where the parity directory has models');
  for (const { name, path: directory } of models) {
    const missing = missingFiles(directory, MODEL_FILES);
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
    const logits = expected.logits ?? expected.firstStepLogits;
    if (inputIds && logits) {
      it(`gives the same logits, to 1e-5 of the largest (${name})`, async () => {
        const numbers = logits.flat();
        const largest = Math.max(...numbers.map(Math.abs));
        expectClose(await scoresOf(directory, expected), numbers, { atol: 1e-5 * Math.max(1, largest) }, 'logits');
      });
      continue;
    }
    if (!inputIds || !firstToken || !mean) {
      it.skip(`${name} (its expected.json has neither embeddings nor logits: not supported)`);
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
