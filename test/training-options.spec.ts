import { expect } from 'chai';
import { settleOptions, type TrainingOptions } from '../lib/training/options.js';

describe('settleOptions', () => {
  const given = { model: 'm', lists: 'l.jsonl', output: 'o' };

  it("has the papers' defaults", () => {
    expect(settleOptions(given)).to.include({
      ...{
        epochs: 30,
        batchSize: 4096,
        learningRate: 2e-4,
        minimumRateShare: 0.1,
        weightDecay: 0.01,
        clip: 1,
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
        patience: 2,
      },
      ...{
        studentTemperature: 0.05,
        teacherTemperature: 'match',
        contrastiveTemperature: 0.01,
        contrastiveWeight: 0.1,
      },
      ...{ listwiseWeight: 1, maskThreshold: 0.6, batching: 'random' },
    });
    expect(settleOptions({ ...given, epochs: undefined, batchSize: 8 })).to.include({ epochs: 30, batchSize: 8 });
  });

  const wrong: [object, string][] = [
    [{ learningrate: 1 }, 'trainListwise has no option "learningrate"; did you mean "learningRate"?'],
    [{ temprature: 1 }, 'trainListwise has no option "temprature"; there are'],
    [{ model: '' }, 'Expected a path that is not empty for model but received "".'],
    [{ output: undefined }, 'Expected a path that is not empty for output but received undefined.'],
    [{ batchSize: 0 }, 'Expected a whole number above 0 for batchSize but received 0.'],
    [{ epochs: '3' }, 'Expected a whole number above 0 for epochs but received "3".'],
    [{ learningRate: -1 }, 'Expected a number above 0 for learningRate but received -1.'],
    [{ learningRate: Number.NaN }, 'Expected a number above 0 for learningRate but received NaN.'],
    [{ minimumRateShare: 2 }, 'Expected a number from 0 to 1 for minimumRateShare but received 2.'],
    [
      { teacherTemperature: 'auto' },
      `Expected 'match' or a number above 0 for teacherTemperature but received "auto".`,
    ],
    [{ listLength: 1 }, 'Expected a whole number of at least 2 for listLength but received 1.'],
    [{ batching: 'sorted' }, `Expected 'random' or 'clustered' for batching but received "sorted".`],
    [
      { listwiseWeight: 0, contrastiveWeight: 0 },
      'Expected a number above 0 where contrastiveWeight is 0 for listwiseWeight but received 0.',
    ],
  ];
  for (const [change, message] of wrong) {
    it(`refuses ${JSON.stringify(change)}`, () => {
      expect(() => settleOptions({ ...given, ...change } as unknown as TrainingOptions)).to.throw(message);
    });
  }
});
