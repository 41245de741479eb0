import type { EmbeddingModel } from '../models/model.js';
import type { Losses, LossOptions, StepResult } from '../native.js';
import { type Batch, epochBatches, makeBatch } from './batches.js';
import type { CheckpointSchedule } from './checkpoint-schedule.js';
import type { TrainingState } from './checkpoints.js';
import { judgeEvaluation, NOTHING_SEEN } from './early-stopping.js';
import type { EvaluationRecord, StepRecord, TrainingLog } from './log.js';
import type { SettledOptions } from './options.js';
import { learningRateAt, type StepPlan } from './schedule.js';
import type { TrainingData, TrainingSet } from './training-set.js';
import { WatchedTrainer } from './watched-trainer.js';

export interface LoopParts {
  model: EmbeddingModel;
  data: TrainingData;
  options: SettledOptions;
  loss: LossOptions;
  plan: StepPlan;
  log: TrainingLog;
  /** Stores the weights as they are now; called when they are the best so far. */
  keepWeights: () => Promise<void>;
  /** Where the run stands: at its start, or as a checkpoint says. It is changed as the run goes on. */
  state: TrainingState;
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
  readonly #keepBytes: number;

  constructor(parts: LoopParts) {
    this.#parts = parts;
    this.#keepBytes = parts.options.keepBytes ?? bytesToKeep(parts.model.encoder.device);
    const { beta1, beta2, epsilon, weightDecay, clip } = parts.options;
    this.#trainer = new WatchedTrainer(parts.model.encoder, { beta1, beta2, epsilon, weightDecay, clip });
  }

  /** Takes over the optimiser's moments of a checkpoint. */
  loadMoments(file: string): Promise<void> {
    return this.#trainer.loadState(file);
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
      // What an abort interrupts is not lost, unless it is little.
      if (options.signal?.aborted && state.step > 0 && schedule.isWorthKeeping()) {
        await writeCheckpoint(this.#trainer).catch(() => {});
      }
      throw error;
    }
  }

  async #run(): Promise<void> {
    const { data, options, state } = this.#parts;
    let batches = await this.#epochBatches();
    while (true) {
      await this.#settle(state.batch === batches.length);
      if (state.stopped) return;
      if (state.batch === batches.length) {
        state.epoch += 1;
        state.batch = 0;
        batches = await this.#epochBatches();
      }
      await this.#step(
        await makeBatch(data.train, data.passages, batches[state.batch]!, options.signal),
        batches.length,
      );
    }
  }

  /** What comes between two steps: an evaluation, the decision whether to stop, a checkpoint. */
  async #settle(hasEpochEnded: boolean): Promise<void> {
    const { options, plan, state, schedule, writeCheckpoint } = this.#parts;
    if (state.evaluationDue) await this.#evaluate();
    state.evaluationDue = false;
    if (state.step >= plan.totalSteps) state.stopped ??= state.step === options.maxSteps ? 'maxSteps' : 'epochs';
    if (!schedule.isDue(state.step, hasEpochEnded)) return;
    await schedule.keep(() => writeCheckpoint(this.#trainer));
  }

  dispose(): void {
    this.#trainer.dispose();
  }

  #epochBatches(): Promise<Int32Array[]> {
    const { data, options, state } = this.#parts;
    return epochBatches(data.train, { ...options, epoch: state.epoch });
  }

  #isEvaluationDue(epochSteps: number): boolean {
    const { options, data, plan, state } = this.#parts;
    if (!data.dev) return false;
    if (state.step >= plan.totalSteps) return true;
    const { evaluateEvery } = options;
    return evaluateEvery === undefined ? state.batch === epochSteps : state.step % evaluateEvery === 0;
  }

  async #step(batch: Batch, epochSteps: number): Promise<void> {
    const { data, options, plan, log, state } = this.#parts;
    const learningRate = learningRateAt(state.step, { ...options, ...plan });
    const started = performance.now();
    const result = await this.#trainer.step(
      { ...this.#batchArgs(batch), learningRate },
      {
        signal: options.signal,
        onShare: (share) => this.#reportStep(share),
        what: `Step ${state.step + 1} (epoch ${state.epoch + 1})`,
        queryIds: () => idsOf(batch, data.train),
      },
    );
    state.step += 1;
    state.batch += 1;
    state.evaluationDue = this.#isEvaluationDue(epochSteps);
    const seconds = (performance.now() - started) / 1000;
    const record = describeStep(batch, result, { step: state.step, epoch: state.epoch + 1, learningRate, seconds });
    await log.write(record);
    options.onStep?.(record);
    this.#reportStep(0, `loss ${result.loss.toFixed(4)}`);
  }

  async #evaluate(): Promise<void> {
    const { data, log, options, keepWeights, state } = this.#parts;
    if (!data.dev) return;
    const started = performance.now();
    const losses = await this.#devLosses(data.dev);
    const judged = judgeEvaluation(state.earlyStopping, { losses, step: state.step, patience: options.patience });
    if (judged.isBest) await keepWeights();
    state.earlyStopping = judged.state;
    if (judged.shouldStop) state.stopped = 'patience';
    const record: EvaluationRecord = {
      kind: 'evaluation',
      step: state.step,
      epoch: state.epoch + 1,
      ...losses,
      isBest: judged.isBest,
      seconds: (performance.now() - started) / 1000,
    };
    state.evaluations.push(record);
    await log.write(record);
  }

  /** Both losses on dev, in batches as large as those of training, weighted by their size. */
  async #devLosses(dev: TrainingSet): Promise<Losses> {
    const { options, data } = this.#parts;
    const { batchSize, signal, onProgress } = options;
    const sum = { listwise: 0, contrastive: 0, loss: 0 };
    for (let start = 0; start < dev.size; start += batchSize) {
      const size = Math.min(batchSize, dev.size - start);
      const report = (share: number) =>
        onProgress?.({ stage: 'evaluation', done: start + share * size, total: dev.size, unit: 'queries' });
      const batch = await makeBatch(
        dev,
        data.passages,
        Int32Array.from({ length: size }, (_, i) => start + i),
        signal,
      );
      const losses = await this.#trainer.evaluate(this.#batchArgs(batch), {
        signal,
        onShare: report,
        what: `Evaluation on dev after step ${this.#parts.state.step}`,
        queryIds: () => idsOf(batch, dev),
      });
      for (const name of ['listwise', 'contrastive', 'loss'] as const) sum[name] += (losses[name] * size) / dev.size;
      report(1);
    }
    return sum;
  }

  #batchArgs({ queries, passages, rows, teacher, listLength }: Batch) {
    const { model, options, loss } = this.#parts;
    const { pooling } = model.settings;
    const { tokenBudget } = options;
    return { queries, passages, rows, teacher, listLength, pooling, tokenBudget, keepBytes: this.#keepBytes, loss };
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

/** Half of the free memory for activations. What a GPU has free is not known here, so little is asked of it. */
function bytesToKeep(device: string): number {
  return device.startsWith('cuda') ? 2 ** 32 : Math.floor(process.availableMemory() / 2);
}

function idsOf(batch: Batch, set: TrainingSet): string[] {
  return Array.from(batch.lists, (place) => set.ids[place]!);
}

function describeStep(
  batch: Batch,
  result: StepResult,
  facts: Pick<StepRecord, 'step' | 'epoch' | 'learningRate' | 'seconds'>,
): StepRecord {
  const slots = batch.rows.length;
  const uniquePassages = batch.passages.offsets.length - 1;
  return {
    kind: 'step',
    ...facts,
    ...result,
    queries: batch.lists.length,
    slots,
    uniquePassages,
    uniqueShare: uniquePassages / slots,
    tokensPerSecond: result.tokens / facts.seconds,
  };
}
