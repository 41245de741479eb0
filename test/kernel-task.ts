import { readModelDirectory } from '../lib/models/directory.js';
import { type Architecture, type EncoderSpec, native, type PackedTexts, runJob } from '../lib/native.js';
import { Random } from '../lib/random.js';
import { writeTinyModel } from './helpers.js';

export type Arithmetic = Pick<EncoderSpec, 'kernels' | 'precision'>;

/** Shorter and longer than a register and than a block of queries, and not their multiples. */
const LENGTHS = [1, 2, 15, 16, 17, 64, 70, 130];

function randomTexts(vocabularySize: number, lengths: number[]): PackedTexts {
  const random = Random.for(5, 'kernels');
  const offsets = [0];
  for (const length of lengths) offsets.push(offsets.at(-1)! + length);
  return {
    ids: Int32Array.from({ length: offsets.at(-1)! }, () => random.integer(vocabularySize)),
    offsets: Int32Array.from(offsets),
  };
}

/** Embeddings of texts. */
export async function embeddings(spec: EncoderSpec): Promise<Float32Array> {
  const encoder = await runJob(() => native().loadEncoder(spec));
  const passages = randomTexts(spec.architecture.vocabularySize, LENGTHS);
  try {
    return await runJob(() => encoder.encode({ ...passages, pooling: 'mean', tokenBudget: 150, normalize: true }));
  } finally {
    encoder.dispose();
  }
}

/** Embeddings of texts, and every gradient of a training step on them. */
export async function compute(spec: EncoderSpec) {
  const { vocabularySize } = spec.architecture;
  const encoder = await runJob(() => native().loadEncoder(spec));
  const optimizer = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0, clip: 0 };
  const trainer = native().createTrainer(encoder, optimizer);
  const passages = randomTexts(vocabularySize, LENGTHS);
  const common = { pooling: 'mean', tokenBudget: 150 } as const;
  const embeddings = await runJob(() => encoder.encode({ ...passages, ...common, normalize: true }));
  await runJob(() =>
    trainer.step({
      ...common,
      queries: randomTexts(vocabularySize, [4, 9]),
      passages,
      rows: Int32Array.of(0, 1, 2, 3, 4, 5, 6, 7),
      teacher: Float64Array.of(0.9, 0.5, 0.3, 0.1, 0.8, 0.6, 0.2, 0.1),
      listLength: 4,
      keepBytes: 2 ** 30,
      learningRate: 0,
      loss: {
        ...{ studentTemperature: 0.5, teacherTemperature: 0.3, contrastiveTemperature: 0.5 },
        ...{ contrastiveWeight: 0.5, listwiseWeight: 1, maskThreshold: 0.6 },
      },
    }),
  );
  const gradients = encoder.parameterNames().map((name) => ({ name, values: trainer.gradient(name) }));
  trainer.dispose();
  encoder.dispose();
  return { embeddings, gradients };
}

/** A tiny model whose heads have 24 numbers, no multiple of a register. */
export async function tinySpec(activation: Architecture['activation'], arithmetic: Arithmetic): Promise<EncoderSpec> {
  const config = { hidden_size: 48, num_attention_heads: 2, intermediate_size: 80, max_position_embeddings: 160 };
  const {
    architecture,
    weightNames,
    weightFiles: files,
  } = await readModelDirectory(writeTinyModel(undefined, { config }));
  return { files, architecture: { ...architecture, activation }, weightNames, device: 'cpu', ...arithmetic };
}
