import { DataError } from '../errors.js';
import type { AnyLosses, BatchArgs, PairBatchArgs } from '../native.js';
import { nextOf, oneAhead, type TakenBatch, trainingBatches } from './batch-stream.js';
import type { Batch } from './batches.js';
import type { CheckpointSchedule } from './checkpoint-schedule.js';
import type { TrainingState } from './checkpoints.js';
import { devLosses } from './dev-losses.js';
import { judgeEvaluation, NOTHING_SEEN } from './early-stopping.js';
import { HUMAN_MEASURE, type HumanDev } from './human-dev.js';
import { describeStep, type EvaluationRecord, type FailureRecord, type TrainingLog } from './log.js';
import type { Objective } from './objective.js';
import type { SettledRunOptions } from './run-options.js';
import { learningRateAt, type StepPlan } from './schedule.js';
import { StepMemory } from './step-memory.js';
import type { Trainee } from './trainee.js';
import { hasDev, type TrainingData } from './training-set.js';
import { NotFiniteError, WatchedTrainer } from './watched-trainer.js';

export interface LoopParts {
  trainee: Trainee;
  objective: Objective;
  data: TrainingData;
  options: SettledRunOptions;
  plan: StepPlan;
  log: TrainingLog;
  /** Stores the weights as they are now; called when they are the best so far. */
  keepWeights: () => Promise<void>;
  /** Where the run stands: at its start, or as a checkpoint says. It is changed as the run goes on. */
  state: TrainingState;
  /** Queries of people to evaluate on, beside the losses on dev. */
  human?: HumanDev;
  schedule: CheckpointSchedule;
  /** Stores all that is needed to go on from here. */
  writeCheckpoint: (trainer: WatchedTrainer) => Promise<void>;
}

/** Where a run stands before its first step. */
export function startingState(hasDev: boolean): TrainingState {
  return { step: 0, epoch: 0, batch: 0, evaluationDue: hasDev, earlyStopping: NOTHING_SEEN, evaluations: [] };
}

/** The steps and evaluations of a run. */
export class TrainingLoop {
  readonly #parts: LoopParts;
  readonly #trainer: WatchedTrainer;
  readonly #memory: StepMemory;
  /** Memory ran out in the last step: done again from an earlier checkpoint, it might not, and round otherwise. */
  #ranShort = false;

  constructor(parts: LoopParts) {
    this.#parts = parts;
    const { encoder } = parts.trainee;
    const { beta1, beta2, epsilon, weightDecay, clip } = parts.options;
    const optimizer = { beta1, beta2, epsilon, weightDecay, clip };
    this.#trainer = new WatchedTrainer(encoder, optimizer, parts.objective.remedy);
    this.#memory = new StepMemory(this.#trainer, { ...parts, device: encoder.device });
  }

  /** Takes over the optimiser's moments of a checkpoint. @throws DataError if they are of another step than the state */
  async loadMoments(file: string): Promise<void> {
    await this.#trainer.loadState(file);
    const { steps } = this.#trainer;
    const { step } = this.#parts.state;
    if (steps === step) return;
    const problem = `Expected the moments after ${step} steps, as the checkpoint says, but these are after ${steps}`;
    throw new DataError({ file }, `${problem}; remove the checkpoint's directory to go on from the one before it.`);
  }

  /**
   * Trains to the end.
   * @throws NotFiniteError if a loss or gradient is not finite; `signal.reason` when aborted
   */
  async run(): Promise<void> {
    const { options, schedule, state, writeCheckpoint } = this.#parts;
    try {
      await this.#run();
    } catch (error) {
      if (error instanceof NotFiniteError) await this.#logFailure(error);
      // What an abort interrupts is not lost, unless it is little.
      if (options.signal?.aborted && state.step > 0 && schedule.isWorthKeeping()) {
        await writeCheckpoint(this.#trainer).catch(() => {});
      }
      throw error;
    }
  }

  async #run(): Promise<void> {
    const { data, options, objective, state } = this.#parts;
    const batches = oneAhead(trainingBatches(data, { ...options, make: objective.make }, state));
    try {
      let placed: TakenBatch | undefined = await nextOf(batches);
      this.#memory.settle(placed.batch);
      let hasEpochEnded = false;
      while (true) {
        await this.#settle(hasEpochEnded);
        // Not earlier: a step that an abort came too late for counts, and so does the checkpoint that it brings.
        options.signal?.throwIfAborted();
        if (state.stopped) return;
        placed ??= await nextOf(batches);
        await this.#step(placed);
        hasEpochEnded = state.batch === placed.epochSteps;
        placed = undefined;
      }
    } finally {
      await batches.return(undefined);
    }
  }

  /** What comes between two steps: an evaluation, the decision whether to stop, a checkpoint. */
  async #settle(hasEpochEnded: boolean): Promise<void> {
    const { options, plan, state, schedule, writeCheckpoint } = this.#parts;
    if (state.evaluationDue) await this.#evaluate();
    state.evaluationDue = false;
    if (state.step >= plan.totalSteps) state.stopped ??= state.step === options.maxSteps ? 'maxSteps' : 'epochs';
    if (!schedule.isDue(state.step, hasEpochEnded) && !this.#ranShort) return;
    await schedule.keep(() => writeCheckpoint(this.#trainer));
    this.#ranShort = false;
  }

  dispose(): void {
    this.#trainer.dispose();
  }

  #isEvaluationDue(epochSteps: number): boolean {
    const { options, data, plan, state } = this.#parts;
    if (!hasDev(data)) return false;
    if (state.step >= plan.totalSteps) return true;
    const { evaluateEvery } = options;
    return evaluateEvery === undefined ? state.batch === epochSteps : state.step % evaluateEvery === 0;
  }

  /** The queries that a person should look at, all of them; the error is what matters, so a log that fails is let be. */
  async #logFailure({ message, queryIds: queries }: NotFiniteError): Promise<void> {
    const { log, state } = this.#parts;
    const record: FailureRecord = { kind: 'failure', step: state.step, message, queries };
    await log.write(record).catch(() => {});
  }

  async #step(placed: TakenBatch): Promise<void> {
    const { options, plan, log, state } = this.#parts;
    const { batch, pair, epoch, index, epochSteps, waitSeconds } = placed;
    const learningRate = learningRateAt(state.step, { ...options, ...plan });
    const memory = await this.#memory.plan(batch);
    const started = performance.now();
    const result = await this.#trainer.step(
      { ...this.#batchArgs(batch), ...memory, learningRate },
      {
        signal: options.signal,
        onShare: (share) => this.#reportStep(share),
        what: `Step ${state.step + 1} (epoch ${epoch + 1})`,
        queryIds: () => Array.from(batch.lists, (place) => pair.train.idOf(place)),
      },
    );
    state.step += 1;
    state.epoch = epoch;
    state.batch = index + 1;
    state.evaluationDue = this.#isEvaluationDue(epochSteps);
    const seconds = (performance.now() - started) / 1000;
    const facts = { step: state.step, epoch: epoch + 1, learningRate, seconds, waitSeconds };
    const set = this.#parts.data.sets.length > 1 ? pair.name : undefined;
    const record = describeStep(batch, result, { ...facts, ...(set !== undefined && { set }) });
    await log.write(record);
    this.#memory.learn(result);
    this.#ranShort = result.shortages > 0;
    options.onStep?.(record);
    this.#reportStep(0, `loss ${result.loss.toFixed(4)}`);
  }

  async #evaluate(): Promise<void> {
    const { data, log, options, objective, keepWeights, state } = this.#parts;
    const started = performance.now();
    const losses = await devLosses({
      ...{ trainer: this.#trainer, data, options, make: objective.make, step: state.step },
      batchArgs: (batch) => this.#batchArgs(batch),
    });
    const human = await this.#parts.human?.measure(options);
    // More of the measure is better, less of a loss.
    const negated = human && this.#parts.human?.isDecisive ? -human[HUMAN_MEASURE] : undefined;
    const { loss, listwise = loss }: AnyLosses = negated === undefined ? losses : { loss: negated };
    const decisive = { listwise, loss };
    const { step } = state;
    const judged = judgeEvaluation(state.earlyStopping, { losses: decisive, step, patience: options.patience });
    if (judged.isBest) await keepWeights();
    state.earlyStopping = judged.state;
    if (judged.shouldStop) state.stopped = 'patience';
    const record: EvaluationRecord<AnyLosses> = {
      kind: 'evaluation',
      step: state.step,
      epoch: state.epoch + 1,
      ...losses,
      ...(human && { human }),
      isBest: judged.isBest,
      seconds: (performance.now() - started) / 1000,
    };
    state.evaluations.push(record);
    await log.write(record);
  }

  #batchArgs(batch: Batch): BatchArgs | PairBatchArgs {
    const { objective, state } = this.#parts;
    // An evaluation keeps nothing, whatever it may.
    const memory = { tokenBudget: state.tokenBudget!, keepBytes: 0 };
    return { ...objective.argsOf(batch), ...memory };
  }

  #reportStep(share: number, note?: string): void {
    const { options, plan, state } = this.#parts;
    options.onProgress?.({
      stage: 'training',
      done: state.step + share,
      total: plan.totalSteps,
      unit: 'steps',
      ...(note && { note }),
    });
  }
}
