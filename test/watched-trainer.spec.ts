import { expect } from 'chai';
import { type NativeEncoder, type NativeTrainer, native, type OptimizerOptions, type StepArgs } from '../lib/native.js';
import { WatchedTrainer } from '../lib/training/watched-trainer.js';

describe('WatchedTrainer', () => {
  it('tells nothing of a step before it has begun, though the work before it is still counted', async () => {
    const addon = native();
    const { createTrainer } = addon;
    const counts = [
      { done: 40, total: 40 },
      { done: 40, total: 40 },
      { done: 0, total: 120 },
      { done: 60, total: 120 },
    ];
    let finish = (_result: object) => {};
    const promise = new Promise<object>((resolve) => (finish = resolve));
    const fake = {
      progress() {
        const now = counts.length > 1 ? counts.shift()! : counts[0]!;
        if (now.done === 60) finish({ loss: 1 });
        return now;
      },
      step: () => ({ promise, cancel() {} }),
    };
    try {
      addon.createTrainer = () => fake as unknown as NativeTrainer;
      const trainer = new WatchedTrainer({} as NativeEncoder, {} as OptimizerOptions, '');
      const shares: number[] = [];
      await trainer.step({} as StepArgs, {
        onShare: (share) => shares.push(share),
        ...{ what: 'Step 1', queryIds: () => [] },
      });
      expect(shares).to.deep.equal([0, 0.5]);
    } finally {
      addon.createTrainer = createTrainer;
    }
  });
});
