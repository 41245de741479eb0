import { type NativeJob, native, type PairStepArgs, type StepArgs, type StepResult } from '../lib/native.js';

export interface Change {
  /** What the step is given in place of its arguments. Steps are counted from 1. */
  before?: (step: number, args: StepArgs | PairStepArgs) => StepArgs | PairStepArgs;
  /** What it gives in place of its result, when the weights are changed and nobody heard of it yet. */
  after?: (step: number, result: StepResult) => StepResult;
}

/** Runs `work` with trainers whose steps are changed in what they are given and what they give. */
export async function withChangedSteps<T>({ before, after }: Change, work: () => Promise<T>): Promise<T> {
  const addon = native();
  const { createTrainer } = addon;
  addon.createTrainer = (...args) => {
    const trainer = createTrainer(...args);
    const takeStep = trainer.step.bind(trainer) as (args: StepArgs | PairStepArgs) => NativeJob<StepResult>;
    const changed = (stepArgs: StepArgs | PairStepArgs) => {
      const step = trainer.steps + 1;
      const job = takeStep(before ? before(step, stepArgs) : stepArgs);
      const promise = job.promise.then((result) => (after ? after(step, result) : result));
      return { promise, cancel: () => job.cancel() };
    };
    // The addon's own methods cannot be written over.
    return Object.defineProperty(trainer, 'step', { value: changed });
  };
  try {
    return await work();
  } finally {
    addon.createTrainer = createTrainer;
  }
}
