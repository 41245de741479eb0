import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { type NativeEncoder, type NativeTrainer, native, runJob, type StepArgs } from '../lib/native.js';
import { temporaryDirectory } from './helpers.js';
import { tinySpec } from './kernel-task.js';
import { rejection } from './rejection.js';

const OPTIMIZER = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.01, clip: 1 };

function stepArgs(): StepArgs {
  return {
    queries: { ids: Int32Array.of(5, 6, 7, 8, 9), offsets: Int32Array.of(0, 2, 5) },
    passages: { ids: Int32Array.of(4, 9, 11, 6, 7, 10, 5, 8), offsets: Int32Array.of(0, 3, 5, 8) },
    rows: Int32Array.of(0, 1, 2, 1),
    teacher: Float64Array.of(0.9, 0.2, 0.8, 0.1),
    listLength: 2,
    ...{ pooling: 'mean', tokenBudget: 64, keepBytes: 2 ** 30, learningRate: 1e-3 },
    loss: {
      ...{ studentTemperature: 0.05, teacherTemperature: 0.3, contrastiveTemperature: 0.05 },
      ...{ contrastiveWeight: 0.1, listwiseWeight: 1, maskThreshold: 0.6 },
    },
  };
}

async function take(trainer: NativeTrainer, steps: number): Promise<void> {
  for (let i = 0; i < steps; i++) await runJob(() => trainer.step(stepArgs()));
}

function weightsOf(encoder: NativeEncoder): Float32Array[] {
  return encoder.parameterNames().map((name) => encoder.parameter(name));
}

describe('NativeTrainer.saveState and loadState', () => {
  it('let another trainer go on to the same weights, to the last bit', async () => {
    const spec = await tinySpec('gelu', { precision: 'fp32' });
    const [file, weights] = ['state.safetensors', 'weights.safetensors'].map((name) =>
      join(temporaryDirectory(), name),
    );
    const whole = await runJob(() => native().loadEncoder(spec));
    const before = weightsOf(whole);
    const first = native().createTrainer(whole, OPTIMIZER);
    await take(first, 2);
    await runJob(() => first.saveState({ file: file! }));
    await runJob(() => whole.save({ file: weights! }));
    await take(first, 2);

    const resumed = await runJob(() => native().loadEncoder({ ...spec, files: [weights!] }));
    const second = native().createTrainer(resumed, OPTIMIZER);
    await runJob(() => second.loadState({ file: file! }));
    expect(second.steps).to.equal(2);
    await take(second, 2);
    expect(weightsOf(whole)).to.not.deep.equal(before);
    expect(weightsOf(resumed)).to.deep.equal(weightsOf(whole));
  });

  it('refuse to save what is not there, and the state of another model', async () => {
    const spec = await tinySpec('gelu', { precision: 'fp32' });
    const encoder = await runJob(() => native().loadEncoder(spec));
    const trainer = native().createTrainer(encoder, OPTIMIZER);
    const file = join(temporaryDirectory(), 'state.safetensors');
    expect((await rejection(runJob(() => trainer.saveState({ file })))).message).to.equal(
      'Expected a step before saveState(); none was taken.',
    );
    expect((await rejection(runJob(() => trainer.loadState({ file: spec.files[0]! })))).message).to.match(
      /expected a (step count|tensor first_moment of \d+ F32 numbers)/,
    );
    writeFileSync(file, 'x');
    expect((await rejection(runJob(() => trainer.loadState({ file })))).message).to.equal(
      `${file} is not a safetensors file: it has 1 bytes.`,
    );
  });
});
