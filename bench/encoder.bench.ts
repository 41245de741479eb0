import { type EncodeArgs, type NativeEncoder, native, runJob, type StepArgs } from '../lib/native.js';
import { Random } from '../lib/random.js';
import { type Comparison, requireEqual } from './comparison.js';
import { loadEncoder, realTexts } from './model.js';

const lossOptions = {
  studentTemperature: 0.05,
  teacherTemperature: 0.3,
  contrastiveTemperature: 0.01,
  contrastiveWeight: 0.1,
  listwiseWeight: 1,
  maskThreshold: 0.6,
};

/** Packed forward pass: fused kernels and all texts together, against library operations one text at a time. */
async function forward(fused: NativeEncoder, portable: NativeEncoder): Promise<Comparison> {
  const texts = await realTexts(48, 256);
  const args = (tokenBudget: number): EncodeArgs => ({ ...texts, pooling: 'mean', normalize: true, tokenBudget });
  const run = () => runJob(() => fused.encode(args(8192)));
  const baseline = () => runJob(() => portable.encode(args(1)));
  return {
    name: 'packed encoder forward, 48 abstracts up to 256 tokens',
    unit: 'tokens',
    work: texts.ids.length,
    against: 'library operations, one text at a time',
    run,
    baseline,
    check: async () => requireEqual(await run(), await baseline(), 1e-5),
  };
}

/** Forward, both losses and backward. The learning rate is 0: repeating the step repeats the work. */
async function forwardBackward(fused: NativeEncoder, portable: NativeEncoder): Promise<Comparison> {
  const passages = await realTexts(40, 256);
  const queries = await realTexts(8, 24);
  const random = Random.for(2, 'bench');
  const listLength = 5;
  const teacher = Float64Array.from({ length: 8 * listLength }, () => random.float());
  const rows = Int32Array.from({ length: 8 * listLength }, (_, i) => i);
  const args = (tokenBudget: number): StepArgs => ({
    queries,
    passages,
    rows,
    teacher,
    listLength,
    pooling: 'mean',
    tokenBudget,
    keepBytes: 2 ** 31,
    learningRate: 0,
    loss: lossOptions,
  });
  const optimizer = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0, clip: 0 };
  const ours = native().createTrainer(fused, optimizer);
  const plain = native().createTrainer(portable, optimizer);
  const run = () => runJob(() => ours.step(args(8192)));
  const baseline = () => runJob(() => plain.step(args(1)));
  return {
    name: 'forward, losses and backward, 40 abstracts up to 256 tokens',
    unit: 'tokens',
    work: passages.ids.length + queries.ids.length,
    against: 'library operations, one text at a time',
    run,
    baseline,
    check: async () => {
      const [a, b] = [await run(), await baseline()];
      requireEqual([a.listwise, a.loss, a.gradNorm], [b.listwise, b.loss, b.gradNorm], 1e-4);
      for (const name of fused.parameterNames().slice(0, 8)) {
        requireEqual(ours.gradient(name), plain.gradient(name), 1e-3);
      }
    },
  };
}

export async function encoderComparisons(): Promise<Comparison[]> {
  const [fused, portable] = [await loadEncoder('fused'), await loadEncoder('portable')];
  return [await forward(fused, portable), await forwardBackward(fused, portable)];
}
