import { expect } from 'chai';
import { native, runJob } from '../lib/native.js';
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
