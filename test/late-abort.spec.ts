import { expect } from 'chai';
import { native } from '../lib/native.js';
import type { TrainingEvent } from '../lib/training/run-start.js';
import { trainListwise } from '../lib/training/train.js';
import { trainCrossEncoder } from '../lib/training/train-cross-encoder.js';
import { rejection } from './rejection.js';
import { newOutput, quick, resultOf, task } from './training-runs.js';

/**
 * Runs `work` with trainers whose `step`th step calls `abort` when its weights are changed and nobody heard of it yet,
 * as a signal may at any time, on a clock that is a minute ahead from then on: enough work that a checkpoint is due.
 */
async function abortingAsStepEnds<T>(step: number, abort: () => void, work: () => Promise<T>): Promise<T> {
  const addon = native();
  const { createTrainer } = addon;
  const { now } = performance;
  addon.createTrainer = (...args) => {
    const trainer = createTrainer(...args);
    const takeStep = trainer.step.bind(trainer);
    let taken = 0;
    const watched = (stepArgs: Parameters<typeof takeStep>[0]) => {
      const job = takeStep(stepArgs);
      const promise = job.promise.then((result) => {
        taken += 1;
        if (taken !== step) return result;
        performance.now = () => now.call(performance) + 60_000;
        abort();
        return result;
      });
      return { promise, cancel: () => job.cancel() };
    };
    // The addon's own methods cannot be written over.
    return Object.defineProperty(trainer, 'step', { value: watched });
  };
  try {
    return await work();
  } finally {
    addon.createTrainer = createTrainer;
    performance.now = now;
  }
}

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
      const stopped = abortingAsStepEnds(
        6,
        () => stop.abort(reason),
        () => rejection(train({ ...options, output, signal: stop.signal })),
      );
      expect(await stopped).to.equal(reason);
      const events: TrainingEvent[] = [];
      await train({ ...options, output, onEvent: (event) => events.push(event) });
      expect(events[0]).to.deep.equal({ kind: 'resumed', step: 6 });
      expect(resultOf(output)).to.deep.equal(resultOf(whole));
    });
  }
});
