/** How many steps a run takes and how its learning rate goes: linear up from 0, then linear down to a floor. */
export interface Schedule {
  /** The highest rate. */
  learningRate: number;
  warmupSteps: number;
  totalSteps: number;
  /** Share of `learningRate` below which the rate does not fall. */
  minimumRateShare: number;
}

/**
 * The rate of a step.
 * @param step counted from 0; step 0 has rate 0 where there is a warm-up, and step `warmupSteps` the highest
 */
export function learningRateAt(step: number, schedule: Schedule): number {
  const { learningRate, warmupSteps, totalSteps, minimumRateShare } = schedule;
  if (step < warmupSteps) return (learningRate * step) / warmupSteps;
  const left = (totalSteps - step) / Math.max(1, totalSteps - warmupSteps);
  return learningRate * Math.max(minimumRateShare, Math.min(1, left));
}

export interface StepPlanOptions {
  /** Lists to train on; of several sets those of each, since a batch is of one set. */
  lists: number | readonly number[];
  batchSize: number;
  epochs: number;
  /** The run ends here at the latest, and the schedule with it. */
  maxSteps?: number;
  /** Default: max(10, half an epoch's steps), where an epoch longer than the run counts as the run. */
  warmupSteps?: number;
}

export interface StepPlan {
  stepsPerEpoch: number;
  totalSteps: number;
  warmupSteps: number;
}

/** Steps of an epoch, of the run and of the warm-up. A set smaller than a batch is one batch, of each set. */
export function planSteps(options: StepPlanOptions): StepPlan {
  const { lists, batchSize, epochs, maxSteps = Number.POSITIVE_INFINITY } = options;
  const sizes = typeof lists === 'number' ? [lists] : lists;
  const stepsPerEpoch = sizes.reduce((sum, size) => sum + Math.max(1, Math.floor(size / batchSize)), 0);
  const totalSteps = Math.min(epochs * stepsPerEpoch, maxSteps);
  const { warmupSteps = Math.max(10, Math.floor(Math.min(stepsPerEpoch, totalSteps) / 2)) } = options;
  return { stepsPerEpoch, totalSteps, warmupSteps };
}
