// Embeddings and a training step's gradient on the GPU beside the CPU's, for bench/gpu.sh. Throws where they differ.
import { readModelDirectory } from '../lib/models/directory.js';
import { type EncoderSpec, native, runJob, type StepArgs } from '../lib/native.js';
import { smallModelDirectory } from '../lib/setup/model.js';
import { requireEqual } from './comparison.js';
import { realTexts } from './model.js';

const { architecture, weightNames, weightFiles: files } = await readModelDirectory(smallModelDirectory());
const passages = await realTexts(40, 256);
const queries = await realTexts(8, 24);
const optimizer = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0, clip: 0 };
const step: StepArgs = {
  ...{ queries, passages, listLength: 5, pooling: 'mean', tokenBudget: 4096, keepBytes: 2 ** 30, learningRate: 0 },
  rows: Int32Array.from({ length: 40 }, (_, i) => i),
  teacher: Float64Array.from({ length: 40 }, (_, i) => 1 - (i % 5) / 5),
  loss: {
    ...{ studentTemperature: 0.05, teacherTemperature: 0.3, contrastiveTemperature: 0.01 },
    ...{ contrastiveWeight: 0.1, listwiseWeight: 1, maskThreshold: 0.6 },
  },
};

async function compute(place: Pick<EncoderSpec, 'device' | 'precision'>) {
  const encoder = await runJob(() => native().loadEncoder({ files, architecture, weightNames, ...place }));
  const args = { ...passages, pooling: 'mean', normalize: true, tokenBudget: 4096 } as const;
  const embeddings = await runJob(() => encoder.encode(args));
  const trainer = native().createTrainer(encoder, optimizer);
  const result = await runJob(() => trainer.step(step));
  const gradients = encoder.parameterNames().map((name) => ({ name, values: trainer.gradient(name) }));
  console.log(place, result, trainer.memory());
  return { embeddings, result, gradients };
}

const expected = await compute({ device: 'cpu', precision: 'fp32' });
for (const [precision, tolerance] of [
  ['fp32', 1e-3],
  ['bf16', 0.1],
] as const) {
  const actual = await compute({ device: 'cuda', precision });
  requireEqual(actual.embeddings, expected.embeddings, tolerance);
  requireEqual([actual.result.listwise], [expected.result.listwise], tolerance);
  for (const [i, { name, values }] of expected.gradients.entries()) {
    // In theory the keys' biases have none: what is there is rounding.
    if (!name.endsWith('key.bias')) requireEqual(actual.gradients[i]!.values, values, 3 * tolerance);
  }
  console.log(`${precision}: embeddings, losses and gradients agree with the CPU's`);
}
