import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ListwiseError } from '../errors.js';
import { removeLeftovers } from '../formats/leftovers.js';
import { makeDirectory, writing } from '../formats/writing.js';
import { hashFile } from '../hashes.js';
import { runJob } from '../native.js';
import { lockOutput } from '../output-lock.js';
import { CheckpointSchedule } from './checkpoint-schedule.js';
import { type Checkpoint, type CheckpointFacts, Checkpoints, checkpointsOf } from './checkpoints.js';
import type { HumanDev } from './human-dev.js';
import { KeptModel } from './kept-model.js';
import { TrainingLog } from './log.js';
import { startingState, TrainingLoop } from './loop.js';
import type { Found, Objective } from './objective.js';
import { describeResult, type RunResult, SUMMARY, writeSummary } from './result.js';
import { type BaseModel, describeInputs, type RunInputs } from './run-inputs.js';
import type { SettledRunOptions } from './run-options.js';
import { describeMachine, startRun } from './run-start.js';
import { planSteps } from './schedule.js';
import type { TokenStore } from './token-store.js';
import type { Trainee } from './trainee.js';
import { hasDev, type TrainingData } from './training-set.js';
import type { WatchedTrainer } from './watched-trainer.js';

/** A training run of whatever kind. */
export interface TrainingRun {
  trainee: Trainee;
  base: BaseModel;
  data: TrainingData;
  /** Where the data lies. */
  store: TokenStore;
  options: SettledRunOptions;
  /** Made once it is known whether the run goes on: `found` is then what it found out when it began. */
  objective(found: Found | undefined): Promise<Objective>;
  human?: HumanDev;
  /** When the call came, by performance.now(). */
  started: number;
}

/** Does work with a run's output directory, which is made, is this process' alone meanwhile, and tidied up. */
export async function withOutput<T>(output: string, work: () => Promise<T>): Promise<T> {
  await makeDirectory(output);
  using _ = await lockOutput(output, { file: join(output, '.lock') });
  await removeLeftovers(output);
  return await work();
}

/**
 * Trains: goes on from what is in the output directory where that is the same run, steps and evaluates to the end, and
 * writes the summary.
 */
export async function runTraining(run: TrainingRun): Promise<RunResult> {
  const { trainee, base, data, store, options, started } = run;
  const { output } = options;
  const inputs = await describeInputs(base, data, options);
  const checkpoints = new Checkpoints(checkpointsOf(output), options.keepCheckpoints);
  const kept = new KeptModel(trainee, output, options.signal);
  const start = await startRun(trainee, inputs, { options, checkpoints }).catch(async (error: { code?: string }) => {
    // Another run stays there as it was.
    if (error.code === 'NOT_CONFIRMED') await store.discard();
    throw error;
  });
  if ('finished' in start) {
    await checkpoints.clear();
    await store.clear();
    return start.finished;
  }
  const { checkpoint } = start;
  const summary = join(output, SUMMARY);
  await writing(summary, () => rm(summary, { force: true }));
  if (!checkpoint) await checkpoints.clear();
  if (checkpoint) await kept.restore(checkpoint);
  const result = await runLoop({ ...run, inputs, checkpoints, kept, checkpoint });
  const whole = { ...result, seconds: (performance.now() - started) / 1000 };
  await writeSummary(options, { ...whole, inputs, weights: await hashFile(trainee.weightsFile(kept.directory)) });
  await checkpoints.clear();
  await store.clear();
  return whole;
}

interface LoopRun extends Omit<TrainingRun, 'store'> {
  inputs: RunInputs;
  checkpoints: Checkpoints;
  kept: KeptModel;
  checkpoint: Checkpoint | undefined;
}

async function runLoop(run: LoopRun): Promise<Omit<RunResult, 'seconds'>> {
  const { trainee, data, human, options, kept, checkpoint } = run;
  const plan = planSteps({ ...options, lists: data.sets.map(({ train }) => train.size) });
  const objective = await run.objective(checkpoint);
  const { found } = objective;
  await using log = await openLog(run, { kind: 'start', ...plan, ...objective.facts });
  const state = checkpoint?.state ?? startingState(hasDev(data));
  const facts = { inputs: run.inputs, state, ...found, machine: await describeMachine(trainee) };
  const loop = new TrainingLoop({
    ...{ trainee, objective, data, human, options, plan, log, state },
    schedule: new CheckpointSchedule(options.checkpointEvery),
    keepWeights: () => kept.keep(),
    writeCheckpoint: (trainer) => writeCheckpoint(run, { facts, log, trainer }),
  });
  try {
    if (checkpoint?.optimizer) await loop.loadMoments(checkpoint.optimizer);
    await loop.run();
    if (!hasDev(data)) await kept.keep();
    return describeResult(state, { directory: kept.directory, data, plan, found });
  } finally {
    loop.dispose();
  }
}

async function openLog({ options, checkpoint }: LoopRun, first: object): Promise<TrainingLog> {
  const file = join(options.output, 'log.jsonl');
  if (checkpoint) return TrainingLog.resume(file, checkpoint.logBytes);
  const log = await TrainingLog.create(file);
  await log.write(first);
  return log;
}

async function writeCheckpoint(
  { trainee, data, checkpoints, kept }: LoopRun,
  parts: { facts: Omit<CheckpointFacts, 'logBytes'>; log: TrainingLog; trainer: WatchedTrainer },
): Promise<void> {
  const { facts, log, trainer } = parts;
  const { step, earlyStopping } = facts.state;
  if (trainer.steps !== step) {
    // Where a step's result was lost on the way: such weights would be gone on from as those of an earlier step.
    throw new ListwiseError(
      'INTERNAL',
      `Expected the weights after ${step} steps for the checkpoint but they are after ${trainer.steps}; it was not written.`,
    );
  }
  await log.sync();
  // At step 0 the weights are the base model's, and there are no moments.
  const best = hasDev(data) && step > 0 ? kept.weights : undefined;
  const isBest = best && earlyStopping.bestStep === step;
  const weights = isBest ? best : (file: string) => runJob(() => trainee.encoder.save({ file }));
  const optimizer = (file: string) => trainer.saveState(file);
  await checkpoints.write({ ...facts, logBytes: log.bytes }, step > 0 ? { weights, optimizer, best } : {});
}
