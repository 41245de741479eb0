import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { readModelDirectory } from '../lib/models/directory.js';
import { type BatchArgs, type EncoderSpec, native, type PackedTexts, type Pooling, runJob } from '../lib/native.js';
import { expectClose, norm, readSafetensors } from './helpers.js';

const models = fileURLToPath(new URL('fixtures/parity/models', import.meta.url));
const encoders = readdirSync(models).filter((name) => name !== 't5' && name !== 't5-gated');
/** What computes: the CPU's own kernels, library operations, what a GPU would, and a GPU itself where there is one. */
const KINDS = ['native', 'portable', 'device', ...(native().environment().cuda ? (['GPU'] as const) : [])] as const;
const optimizer = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0, clip: 0 };

function pack(texts: readonly number[][]): PackedTexts {
  const offsets = new Int32Array(texts.length + 1);
  for (const [i, text] of texts.entries()) offsets[i + 1] = offsets[i]! + text.length;
  return { ids: Int32Array.from(texts.flat()), offsets };
}

/** The lists and the loss of make-gradients.py. */
function batchOf(texts: readonly number[][], pooling: Pooling): BatchArgs {
  const [queries, passages] = [
    [1, 3, 5],
    [0, 2, 4, 6],
  ].map((rows) => pack(rows.map((row) => texts[row]!)));
  const rows = [0, 1, 2].flatMap((i) => [0, 1, 2, 3].map((j) => (i + j) % 4));
  const loss = {
    ...{ studentTemperature: 0.3, teacherTemperature: 0.3, contrastiveTemperature: 0.5 },
    ...{ contrastiveWeight: 0.5, listwiseWeight: 1, maskThreshold: 0.6 },
  };
  return {
    ...{ queries: queries!, passages: passages!, rows: Int32Array.from(rows), listLength: 4 },
    teacher: Float64Array.from(rows, (_, slot) => [0.9, 0.7, 0.4, 0.1][slot % 4]!),
    ...{ pooling, tokenBudget: 4096, keepBytes: 2 ** 30, loss },
  };
}

function lossIn(file: string): number {
  const bytes = readFileSync(file);
  const header = JSON.parse(bytes.subarray(8, 8 + Number(bytes.readBigUInt64LE())).toString('utf8'));
  return Number(header.__metadata__.loss);
}

/** Of one token's state the last layer computes no more than that token; of a mean it computes all. */
const FILES = {
  mean: 'gradients.safetensors',
  'first-token': 'gradients.first-token.safetensors',
  'last-token': 'gradients.last-token.safetensors',
};

describe("a step's gradient", () => {
  // Cross-encoders of T5 stand beside the encoders; they are not trained.
  for (const name of encoders) {
    const path = join(models, name);
    for (const [pooling, file] of Object.entries(FILES) as [Pooling, string][]) {
      for (const kernels of KINDS) {
        it(`is that of PyTorch's autograd in double precision (${name}, ${pooling}, ${kernels} kernels)`, async () => {
          const { weightFiles: files, architecture, weightNames } = await readModelDirectory(path);
          const device = kernels === 'GPU' ? 'cuda' : 'cpu';
          const spec: EncoderSpec = { files, architecture, weightNames, device, precision: 'fp32' };
          const isNamed = kernels === 'portable' || kernels === 'device';
          const encoder = await runJob(() => native().loadEncoder({ ...spec, ...(isNamed && { kernels }) }));
          const trainer = native().createTrainer(encoder, optimizer);
          const { inputIds } = JSON.parse(readFileSync(join(path, 'expected.json'), 'utf8'));
          const { loss } = await runJob(() => trainer.step({ ...batchOf(inputIds, pooling), learningRate: 0 }));
          const expected = readSafetensors(join(path, file));
          expect(loss).to.be.closeTo(lossIn(join(path, file)), 2e-6);
          expect(Object.keys(expected)).to.have.members(encoder.parameterNames());
          const whole = norm(Object.values(expected).map(({ values }) => norm(values)));
          expect(whole).to.be.above(0.01);
          for (const [tensor, { values }] of Object.entries(expected)) {
            const gradient = trainer.gradient(tensor);
            // Biases of keys have no gradient but rounding, to which one token a text adds more than their mean.
            const rounding = pooling === 'mean' ? 1e-8 : 1e-7;
            expectClose(gradient, values, { rtol: 1e-4, atol: 2e-6 * norm(values) + rounding * whole }, tensor);
          }
          trainer.dispose();
          encoder.dispose();
        });
      }
    }
  }
});
