import { expect } from 'chai';
import { judgeEvaluation, NOTHING_SEEN } from '../lib/training/early-stopping.js';
import { learningRateAt, planSteps } from '../lib/training/schedule.js';
import { expectClose } from './helpers.js';

const losses = (listwise: number, loss: number) => ({ listwise, contrastive: 0, loss });

describe('learningRateAt', () => {
  it('rises from 0 to the highest rate at the end of the warm-up, then falls to the floor', () => {
    const schedule = { learningRate: 1, warmupSteps: 4, totalSteps: 24, minimumRateShare: 0.1 };
    const rates = [0, 1, 2, 4, 5, 14, 22, 23].map((step) => learningRateAt(step, schedule));
    expectClose(rates, [0, 0.25, 0.5, 1, 0.95, 0.5, 0.1, 0.1], { atol: 1e-12 });
  });

  it('starts at the highest rate without a warm-up', () => {
    expect(learningRateAt(0, { learningRate: 2, warmupSteps: 0, totalSteps: 4, minimumRateShare: 0 })).to.equal(2);
  });
});

describe('planSteps', () => {
  it('drops the last partial batch and warms up for half an epoch', () => {
    expect(planSteps({ lists: 105, batchSize: 2, epochs: 3 })).to.deep.equal({
      stepsPerEpoch: 52,
      totalSteps: 156,
      warmupSteps: 26,
    });
  });

  it('makes one batch of a set that is smaller, and warms up for 10 steps at least', () => {
    expect(planSteps({ lists: 7, batchSize: 4096, epochs: 30 })).to.deep.equal({
      stepsPerEpoch: 1,
      totalSteps: 30,
      warmupSteps: 10,
    });
  });

  it('ends at maxSteps, with the warm-up of the run that is left', () => {
    expect(planSteps({ lists: 1000, batchSize: 1, epochs: 30, maxSteps: 40 })).to.include({
      totalSteps: 40,
      warmupSteps: 20,
    });
    expect(planSteps({ lists: 1000, batchSize: 1, epochs: 30, maxSteps: 40, warmupSteps: 3 }).warmupSteps).to.equal(3);
  });
});

describe('judgeEvaluation', () => {
  it('stops when neither loss has improved for as long as patience says, and keeps the lowest whole loss', () => {
    let state = NOTHING_SEEN;
    const seen = [losses(1, 2), losses(0.9, 2.1), losses(0.95, 1.9), losses(0.95, 1.95), losses(0.9, 1.9)].map(
      (one, step) => {
        const judged = judgeEvaluation(state, { losses: one, step, patience: 2 });
        state = judged.state;
        return [judged.isBest, judged.shouldStop];
      },
    );
    expect(seen).to.deep.equal([
      [true, false],
      [false, false],
      [true, false],
      [false, false],
      [false, true],
    ]);
    expect(state).to.deep.equal({ bestListwise: 0.9, bestLoss: 1.9, bestStep: 2, withoutImprovement: 2 });
  });
});
