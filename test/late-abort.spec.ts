import { expect } from 'chai';
import type { TrainingEvent } from '../lib/training/run-start.js';
import { trainListwise } from '../lib/training/train.js';
import { trainCrossEncoder } from '../lib/training/train-cross-encoder.js';
import { withChangedSteps } from './changed-steps.js';
import { rejection } from './rejection.js';
import { newOutput, quick, resultOf, task } from './training-runs.js';

describe('an abort that comes too late to prevent a step', function () {
  this.timeout(120_000);
  const options = { ...quick, ...task, maxSteps: 8, checkpointEvery: 100 };
  const runs = [
    { name: 'trainListwise', train: trainListwise },
    { name: 'trainCrossEncoder', train: trainCrossEncoder },
  ];
  for (const { name, train } of runs) {
    it(`leaves a checkpoint of that step, from which the same bits come (${name})`, async () => {
      const [whole, output] = [newOutput(), newOutput()];
      await train({ ...options, output: whole });
      // A checkpoint of step 5 would link to the weights in model/ as its own.
      const best = resultOf(whole).log.find((one: any) => one.kind === 'evaluation' && one.step === 5 && one.isBest);
      expect(best).to.not.equal(undefined);
      const stop = new AbortController();
      const reason = new Error('stopped on purpose');
      const { now } = performance;
      const after = <R>(step: number, result: R): R => {
        if (step === 6) {
          // From then on the clock is a minute ahead: so much work is worth a checkpoint.
          performance.now = () => now.call(performance) + 60_000;
          stop.abort(reason);
        }
        return result;
      };
      const stopped = withChangedSteps({ after }, () =>
        rejection(train({ ...options, output, signal: stop.signal })),
      ).finally(() => {
        performance.now = now;
      });
      expect(await stopped).to.equal(reason);
      const events: TrainingEvent[] = [];
      await train({ ...options, output, onEvent: (event) => events.push(event) });
      expect(events[0]).to.deep.equal({ kind: 'resumed', step: 6 });
      expect(resultOf(output)).to.deep.equal(resultOf(whole));
    });
  }
});
