// Embeddings, losses and a training step's gradient on the GPU beside the CPU's in fp32, for bench/gpu.sh. Throws where
// they differ. With `--device cpu` the CPU computes as a GPU would, which shows that the script works.
import { parseArgs } from 'node:util';
import { readModelDirectory } from '../lib/models/directory.js';
import { type EncoderSpec, native, runJob, type StepArgs } from '../lib/native.js';
import { smallModelDirectory } from '../lib/setup/model.js';
import { leastCosine, relativeDistance } from './comparison.js';
import { realTexts } from './model.js';

const { values } = parseArgs({ options: { device: { type: 'string', default: 'cuda' } } });
const place = values.device === 'cpu' ? ({ device: 'cpu', kernels: 'device' } as const) : ({ device: 'cuda' } as const);

/** What is allowed: cosines of embeddings at least, relative distance of losses and of each tensor's gradient at most. */
const BOUNDS = {
  fp32: { cosine: 0.999999, listwise: 1e-3, contrastive: 1e-3, gradient: 1e-3 },
  bf16: { cosine: 0.999, listwise: 0.01, contrastive: 0.01, gradient: 0.05 },
} as const;

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

async function compute(where: Pick<EncoderSpec, 'device' | 'precision' | 'kernels'>) {
  const encoder = await runJob(() => native().loadEncoder({ files, architecture, weightNames, ...where }));
  const args = { ...passages, pooling: 'mean', normalize: true, tokenBudget: 4096 } as const;
  const embeddings = await runJob(() => encoder.encode(args));
  const trainer = native().createTrainer(encoder, optimizer);
  const result = await runJob(() => trainer.step(step));
  const gradients = new Map(encoder.parameterNames().map((name) => [name, trainer.gradient(name)]));
  console.log(where, result, trainer.memory());
  const { dimension } = encoder;
  encoder.dispose();
  return { embeddings, dimension, result, gradients };
}

/** The tensor whose gradient is furthest off. In theory the keys' biases have none: what is there is rounding. */
function worstGradient(actual: Map<string, Float32Array>, expected: Map<string, Float32Array>) {
  const distances = [...expected]
    .filter(([name]) => !name.endsWith('key.bias'))
    .map(([name, values]) => ({ name, distance: relativeDistance(actual.get(name)!, values) }));
  // NaN first.
  return distances.sort((a, b) => (b.distance >= a.distance ? 1 : -1))[0]!;
}

const expected = await compute({ device: 'cpu', precision: 'fp32' });
const failures: string[] = [];
for (const precision of ['fp32', 'bf16'] as const) {
  const bounds = BOUNDS[precision];
  const actual = await compute({ ...place, precision });
  const relative = (name: 'listwise' | 'contrastive') => Math.abs(actual.result[name]! / expected.result[name]! - 1);
  const worst = worstGradient(actual.gradients, expected.gradients);
  const found = {
    cosine: leastCosine(actual.embeddings, expected.embeddings, expected.dimension),
    listwise: relative('listwise'),
    contrastive: relative('contrastive'),
    gradient: worst.distance,
  };
  for (const [name, value] of Object.entries(found)) {
    const bound = bounds[name as keyof typeof bounds];
    const holds = name === 'cosine' ? value >= bound : value <= bound;
    const what =
      name === 'gradient' ? `gradient, at most (${worst.name})` : name === 'cosine' ? 'cosine, at least' : name;
    console.log(`${precision}: ${what}: ${value.toPrecision(6)}, allowed ${bound}`);
    if (!holds) failures.push(`${precision} ${name}`);
  }
}
if (failures.length > 0) throw new Error(`differs from the CPU by more than is allowed: ${failures.join(', ')}`);
console.log('Embeddings, losses and gradients agree with the CPU');
