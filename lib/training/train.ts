import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { InvalidArgumentError } from '../errors.js';
import { removeLeftovers } from '../formats/leftovers.js';
import { makeDirectory, writing } from '../formats/writing.js';
import { hashFile, hashModel } from '../hashes.js';
import { type EmbeddingModel, loadModel } from '../models/model.js';
import { checkOutside, checkSaveTarget } from '../models/save-target.js';
import { weightsFile } from '../models/weights.js';
import { type LossOptions, runJob } from '../native.js';
import { lockOutput } from '../output-lock.js';
import { matchTeacher } from './base-entropy.js';
import { CheckpointSchedule } from './checkpoint-schedule.js';
import { type Checkpoint, type CheckpointFacts, Checkpoints } from './checkpoints.js';
import { HumanDev } from './human-dev.js';
import { KeptModel } from './kept-model.js';
import { TrainingLog } from './log.js';
import { startingState, TrainingLoop } from './loop.js';
import { type SettledOptions, settleOptions, type TrainingOptions } from './options.js';
import { describeResult, SUMMARY, type TrainingResult, writeSummary } from './result.js';
import { describeInputs, type RunInputs } from './run-inputs.js';
import { describeMachine, startRun } from './run-start.js';
import { planSteps } from './schedule.js';
import { settleSources } from './sources.js';
import { openTrainingData, TokenStore } from './token-store.js';
import { hasDev, type TrainingData } from './training-set.js';
import type { WatchedTrainer } from './watched-trainer.js';

/**
 * Trains an embedding model on lists of passages with teacher scores: listwise distillation (KL from teacher to
 * student, arXiv 2502.19712) with a little InfoNCE, over whole batches, AdamW, early stopping on dev.
 *
 * Writes into `output`: model/ (the weights of the lowest dev loss, or the last ones without dev), log.jsonl (a line a
 * step and an evaluation), training.json at the end, and until then checkpoints/. A run that was stopped in whatever
 * way goes on from its last checkpoint when it is started again with the same options, and gives the same bits on the
 * same machine with the same number of threads.
 * @throws InvalidArgumentError for an option that is unknown or cannot be
 * @throws NotFoundError, DataError, ModelError for files; NotFiniteError if a loss or gradient is not finite
 * @throws ListwiseError BUSY if another process trains into `output`
 * @throws `signal.reason` when aborted; what model/ holds by then is whole
 */
export async function trainListwise(options: TrainingOptions): Promise<TrainingResult> {
  const started = performance.now();
  const settled = settleOptions(options);
  const { device, precision, pooling, queryPrefix, passagePrefix, revision, signal, onProgress } = settled;
  const model = await loadModel(settled.model, {
    ...{ device, precision, pooling, queryPrefix, passagePrefix, revision, signal, onProgress },
    normalize: true,
  });
  try {
    // The model is saved late: that it cannot be must not show only then, nor after it replaced its own base.
    const [place, base] = [join(settled.output, 'model'), model.directory.directory];
    await checkOutside(place, base, 'output/model');
    await checkSaveTarget(place, base, 'output/model');
    const sources = settleSources(settled);
    const lengths = settleLengths(settled, model);
    await makeDirectory(settled.output);
    using _ = await lockOutput(settled.output, { file: join(settled.output, '.lock') });
    await removeLeftovers(settled.output);
    const modelHash = await hashModel(base, signal);
    const store = new TokenStore(join(settled.output, 'tokens'));
    await using data = await openTrainingData(model, sources, { ...settled, ...lengths, modelHash, store });
    if (settled.devData !== undefined && !hasDev(data)) {
      throw new InvalidArgumentError(
        'dev',
        'lists for dev beside devData, which is measured where their losses are,',
        undefined,
      );
    }
    const human = await HumanDev.open(model, settled);
    return await train({ model, modelHash, store, data, human, options: settled, started });
  } finally {
    model.encoder.dispose();
  }
}

/** Defaults are cut to what the model can read; what the caller asked for is refused if it cannot. */
function settleLengths(
  { queryMaxLength, passageMaxLength }: SettledOptions,
  { directory, tokenizer }: EmbeddingModel,
): { queryMaxLength: number; passageMaxLength: number } {
  const { maxPositions } = directory.architecture;
  const lengths = {
    queryMaxLength: queryMaxLength ?? Math.min(64, maxPositions),
    passageMaxLength: passageMaxLength ?? Math.min(512, maxPositions),
  };
  tokenizer.checkMaxLength(lengths.queryMaxLength, 'queryMaxLength');
  tokenizer.checkMaxLength(lengths.passageMaxLength, 'passageMaxLength');
  return lengths;
}

interface Run {
  model: EmbeddingModel;
  /** SHA-256 of the base model's files. */
  modelHash: string;
  store: TokenStore;
  data: TrainingData;
  human: HumanDev | undefined;
  options: SettledOptions;
  /** When the call came, by performance.now(). */
  started: number;
}

async function train({ model, modelHash, store, data, human, options, started }: Run): Promise<TrainingResult> {
  const { output } = options;
  const inputs = await describeInputs({ model, modelHash, human }, data, options);
  const checkpoints = new Checkpoints(join(output, 'checkpoints'), options.keepCheckpoints);
  const kept = new KeptModel(model, output, options.signal);
  const start = await startRun(model, inputs, { options, checkpoints }).catch(async (error: { code?: string }) => {
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
  const result = await runLoop({ model, modelHash, data, human, options, inputs, checkpoints, kept, checkpoint });
  const whole = { ...result, seconds: (performance.now() - started) / 1000 };
  await writeSummary(options, { ...whole, inputs, weights: await hashFile(weightsFile(model, kept.directory)) });
  await checkpoints.clear();
  await store.clear();
  return whole;
}

interface LoopRun extends Omit<Run, 'started' | 'store'> {
  inputs: RunInputs;
  checkpoints: Checkpoints;
  kept: KeptModel;
  checkpoint: Checkpoint | undefined;
}

async function runLoop(run: LoopRun): Promise<Omit<TrainingResult, 'seconds'>> {
  const { model, data, options, kept, checkpoint } = run;
  const plan = planSteps({ ...options, lists: data.sets.map(({ train }) => train.size) });
  const temperature = checkpoint ?? (await settleTemperature(model, data, options));
  const loss = lossOptions(options, temperature.teacherTemperature);
  await using log = await openLog(run, { kind: 'start', ...plan, ...loss, ...matchOf(temperature) });
  const state = checkpoint?.state ?? startingState(hasDev(data));
  const facts = {
    ...{ inputs: run.inputs, state, teacherTemperature: loss.teacherTemperature, ...matchOf(temperature) },
    machine: await describeMachine(model),
  };
  const loop = new TrainingLoop({
    ...{ model, data, human: run.human, options, loss, plan, log, state },
    schedule: new CheckpointSchedule(options.checkpointEvery),
    keepWeights: () => kept.keep(),
    writeCheckpoint: (trainer) => writeCheckpoint(run, { facts, log, trainer }),
  });
  try {
    if (checkpoint?.optimizer) await loop.loadMoments(checkpoint.optimizer);
    await loop.run();
    if (!hasDev(data)) await kept.keep();
    return describeResult(state, { directory: kept.directory, data, plan, loss, match: temperature.temperatureMatch });
  } finally {
    loop.dispose();
  }
}

type Temperature = Pick<CheckpointFacts, 'teacherTemperature' | 'temperatureMatch'>;

async function settleTemperature(
  model: EmbeddingModel,
  data: TrainingData,
  options: SettledOptions,
): Promise<Temperature> {
  const { teacherTemperature, temperatureLists: lists } = options;
  if (teacherTemperature !== 'match') return { teacherTemperature };
  const match = await matchTeacher(model, data, { ...options, lists });
  return { teacherTemperature: match.temperature, temperatureMatch: match };
}

function matchOf({ temperatureMatch }: Temperature): Pick<Temperature, 'temperatureMatch'> {
  return temperatureMatch ? { temperatureMatch } : {};
}

async function openLog({ options, checkpoint }: LoopRun, first: object): Promise<TrainingLog> {
  const file = join(options.output, 'log.jsonl');
  if (checkpoint) return TrainingLog.resume(file, checkpoint.logBytes);
  const log = await TrainingLog.create(file);
  await log.write(first);
  return log;
}

async function writeCheckpoint(
  { model, data, checkpoints, kept }: LoopRun,
  parts: { facts: Omit<CheckpointFacts, 'logBytes'>; log: TrainingLog; trainer: WatchedTrainer },
): Promise<void> {
  const { facts, log, trainer } = parts;
  const { step, earlyStopping } = facts.state;
  await log.sync();
  // At step 0 the weights are the base model's, and there are no moments.
  const best = hasDev(data) && step > 0 ? kept.weights : undefined;
  const isBest = best && earlyStopping.bestStep === step;
  const weights = isBest ? best : (file: string) => runJob(() => model.encoder.save({ file }));
  const optimizer = (file: string) => trainer.saveState(file);
  await checkpoints.write({ ...facts, logBytes: log.bytes }, step > 0 ? { weights, optimizer, best } : {});
}

function lossOptions(options: SettledOptions, teacherTemperature: number): LossOptions {
  const { studentTemperature, contrastiveTemperature, contrastiveWeight, listwiseWeight, maskThreshold } = options;
  return {
    ...{ studentTemperature, teacherTemperature, contrastiveTemperature },
    ...{ contrastiveWeight, listwiseWeight, maskThreshold },
  };
}
