import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { type NativeEncoder, type NativeTrainer, native, runJob } from '../lib/native.js';
import { findLibtorch } from '../lib/setup/libtorch.js';
import { temporaryDirectory } from './helpers.js';
import { tinySpec } from './kernel-task.js';
import { rejection } from './rejection.js';

const loss = {
  ...{ studentTemperature: 0.05, teacherTemperature: 0.3, contrastiveTemperature: 0.05 },
  ...{ contrastiveWeight: 0.1, listwiseWeight: 1, maskThreshold: 0.6 },
};

describe('the addon', () => {
  it('refuses sizes whose product would overflow', async () => {
    const queries = new Float32Array(4096);
    const search = { queries, corpus: Float32Array.of(1), dimension: 1, firstRow: 0 };
    expect((await rejection(runJob(() => native().search({ ...search, k: 2 ** 52 })))).message).to.equal(
      'Expected at most 2^31 - 1 for k.',
    );
    const lists = { rows: new Int32Array(0), teacher: new Float64Array(0), listLength: 2 ** 52 };
    const losses = { queries: Float64Array.from(queries), passages: Float64Array.of(1), dimension: 1, ...lists, loss };
    expect((await rejection(runJob(() => native().losses(losses)))).message).to.match(
      /^Expected rows to be \[4096 x 4503599627370496\]/,
    );
  });

  it('says which GPUs there are, and has kernels for them only beside a CUDA build of libtorch', () => {
    const { cuda, cudaKernels, devices } = native().environment();
    expect(devices.length > 0).to.equal(cuda);
    for (const capability of devices) expect(capability).to.match(/^\d+\.\d$/);
    if (findLibtorch().libtorch?.cuda === null) expect(cudaKernels).to.equal(false);
  });

  it('refuses devices that are none of its own', async () => {
    const spec = await tinySpec('gelu', { precision: 'fp32' });
    for (const device of ['meta', 'cpu:3', 'cuda:x', ''] as unknown as 'cpu'[]) {
      const error = await rejection(runJob(() => native().loadEncoder({ ...spec, device })));
      expect(error).to.include({ code: 'INVALID_ARGUMENT' });
      expect(error.message).to.equal(`Expected 'cpu', 'cuda' or 'cuda:N' for device but received "${device}".`);
    }
  });

  it('says so when a step leaves weights, or weights give embeddings, that are not finite', async () => {
    const spec = await tinySpec('gelu', { precision: 'fp32' });
    const encoder = await runJob(() => native().loadEncoder(spec));
    const optimizer = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.01, clip: 1 };
    const trainer = native().createTrainer(encoder, optimizer);
    const texts = { ids: Int32Array.of(5, 6, 7), offsets: Int32Array.of(0, 1, 3) };
    const common = { pooling: 'mean', tokenBudget: 64 } as const;
    const lists = { rows: Int32Array.of(0, 1, 1, 0), teacher: Float64Array.of(1, 0, 1, 0), listLength: 2 };
    const step = { ...common, ...lists, queries: texts, passages: texts, keepBytes: 0, loss, learningRate: 1e38 };
    const stepError = await rejection(runJob(() => trainer.step(step)));
    expect(stepError).to.include({ code: 'NOT_FINITE' });
    expect(stepError.message).to.match(/use a lower learning rate/);
    const encodeError = await rejection(runJob(() => encoder.encode({ ...texts, ...common, normalize: true })));
    expect(encodeError).to.include({ code: 'NOT_FINITE' });
    expect(encodeError.message).to.match(/its weights are broken/);
  });
});

describe('an object of the addon', () => {
  const texts = { ids: Int32Array.of(5, 6, 7), offsets: Int32Array.of(0, 1, 3) };
  const common = { pooling: 'mean', tokenBudget: 64 } as const;
  const encodeArgs = { ...texts, ...common, normalize: true };
  const lists = { rows: Int32Array.of(0, 1, 1, 0), teacher: Float64Array.of(1, 0, 1, 0), listLength: 2 };
  const batch = { ...common, ...lists, queries: texts, passages: texts, keepBytes: 0, loss };
  const step = { ...batch, learningRate: 1e-3 };
  let encoder: NativeEncoder;
  let trainer: NativeTrainer;
  let file: string;
  let name: string;

  beforeEach(async () => {
    const spec = await tinySpec('gelu', { precision: 'fp32' });
    encoder = await runJob(() => native().loadEncoder(spec));
    const optimizer = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.01, clip: 1 };
    trainer = native().createTrainer(encoder, optimizer);
    file = join(temporaryDirectory(), 'out.safetensors');
    name = encoder.parameterNames()[0]!;
  });

  /** Everything that works with an encoder, and with a trainer, by name. */
  const encoderUses = (): Record<string, () => unknown> => ({
    encode: () => encoder.encode(encodeArgs),
    save: () => encoder.save({ file }),
    parameter: () => encoder.parameter(name),
    createTrainer: () =>
      native().createTrainer(encoder, { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0, clip: 0 }),
  });
  const trainerUses = (): Record<string, () => unknown> => ({
    step: () => trainer.step(step),
    evaluate: () => trainer.evaluate(batch),
    memory: () => trainer.memory(),
    gradient: () => trainer.gradient(name),
    saveState: () => trainer.saveState({ file }),
    loadState: () => trainer.loadState({ file }),
  });

  function expectRefusals(uses: Record<string, () => unknown>, code: string, message: RegExp): void {
    for (const [what, use] of Object.entries(uses)) {
      let error: unknown;
      try {
        use();
      } catch (thrown) {
        error = thrown;
      }
      expect(error, what).to.be.instanceOf(Error).with.property('code', code);
      expect((error as Error).message, what).to.match(message);
    }
  }

  const busy = /^Expected the encoder to be free but it is at work; wait for the promise of the call before\.$/;

  it('refuses a second use while an encoder encodes or saves, and is free afterwards', async () => {
    const alone = await encoder.encode(encodeArgs).promise;
    for (const start of [() => encoder.encode(encodeArgs), () => encoder.save({ file })]) {
      const { promise } = start();
      expectRefusals({ ...encoderUses(), ...trainerUses() }, 'BUSY', busy);
      // What reads nothing that changes is answered.
      expect(encoder.dimension).to.equal(48);
      await promise;
    }
    expect(await encoder.encode(encodeArgs).promise).to.deep.equal(alone);
    expect(readFileSync(file).length).to.be.above(1000);
  });

  it('refuses a second use while a trainer steps, evaluates, or writes its state', async () => {
    const starts = [() => trainer.step(step), () => trainer.evaluate(batch), () => trainer.saveState({ file })];
    for (const start of starts) {
      const { promise } = start();
      expectRefusals({ ...encoderUses(), ...trainerUses() }, 'BUSY', busy);
      expect(trainer.progress()).to.have.keys('done', 'total');
      await promise;
    }
    // What was refused was not done.
    expect(trainer.steps).to.equal(1);
    await trainer.step(step).promise;
    expect(trainer.steps).to.equal(2);
  });

  it('is free after work that failed or was cancelled, and after arguments that were refused', async () => {
    const tooFar = { ...step, passages: { ids: Int32Array.of(1e6), offsets: Int32Array.of(0, 1) } };
    expect(await rejection(runJob(() => trainer.step(tooFar)))).to.be.instanceOf(Error);
    const { promise, cancel } = trainer.step(step);
    cancel();
    await promise.catch(() => {});
    expectRefusals({ step: () => trainer.step({} as never) }, 'INVALID_ARGUMENT', /queries/);
    expect(await encoder.encode(encodeArgs).promise).to.have.length(2 * 48);
  });

  it('says that it was disposed of, and ends the work that was under way', async () => {
    const expected = await encoder.encode(encodeArgs).promise;
    const { promise } = encoder.encode(encodeArgs);
    encoder.dispose();
    encoder.dispose();
    const encoderMessage = /^Expected an encoder in use but this one was disposed\.$/;
    expectRefusals(encoderUses(), 'DISPOSED', encoderMessage);
    const facts = { dimension: () => encoder.dimension, parameterNames: () => encoder.parameterNames() };
    expectRefusals(facts, 'DISPOSED', encoderMessage);
    expect(await promise).to.deep.equal(expected);
    // A trainer works with its encoder.
    expectRefusals({ step: () => trainer.step(step) }, 'DISPOSED', encoderMessage);
    trainer.dispose();
    const more = { progress: () => trainer.progress(), steps: () => trainer.steps };
    expectRefusals(
      { ...trainerUses(), ...more },
      'DISPOSED',
      /^Expected a trainer in use but this one was disposed\.$/,
    );
  });
});
