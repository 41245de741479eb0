import type { EmbeddingModel } from '../models/model.js';
import type { Losses, LossOptions, StepResult } from '../native.js';
import { type Batch, epochBatches, makeBatch } from './batches.js';
import { type EarlyStoppingState, judgeEvaluation, NOTHING_SEEN } from './early-stopping.js';
import type { EvaluationRecord, StepRecord, TrainingLog } from './log.js';
import type { SettledOptions } from './options.js';
import { learningRateAt, type StepPlan } from './schedule.js';
import type { TrainingData, TrainingSet } from './training-set.js';
import { WatchedTrainer } from './watched-trainer.js';

/** Why training ended. */
export type StopReason = 'epochs' | 'maxSteps' | 'patience';

/** Where a run stands, apart from weights and moments. */
export interface TrainingState {
  /** Steps taken. */
  step: number;
  /** Epoch under way, from 0, and how many of its batches are done. */
  epoch: number;
  batch: number;
  earlyStopping: EarlyStoppingState;
  evaluations: EvaluationRecord[];
  stopped: StopReason | undefined;
}

export interface LoopParts {
  model: EmbeddingModel;
  data: TrainingData;
  options: SettledOptions;
  loss: LossOptions;
  plan: StepPlan;
  log: TrainingLog;
  /** Stores the weights as they are now; called when they are the best so far. */
  keepWeights: () => Promise<void>;
}

/** The steps and evaluations of a run. */
export class TrainingLoop {
  readonly state: TrainingState = {
    step: 0,
    epoch: 0,
    batch: 0,
    earlyStopping: NOTHING_SEEN,
    evaluations: [],
    stopped: undefined,
  };
  readonly #parts: LoopParts;
  readonly #trainer: WatchedTrainer;
  readonly #keepBytes: number;

  constructor(parts: LoopParts) {
    this.#parts = parts;
    this.#keepBytes = parts.options.keepBytes ?? bytesToKeep(parts.model.encoder.device);
    const { beta1, beta2, epsilon, weightDecay, clip } = parts.options;
    this.#trainer = new WatchedTrainer(parts.model.encoder, { beta1, beta2, epsilon, weightDecay, clip });
  }

  /**
   * Trains to the end.
   * @throws NotFiniteError if a loss or gradient is not finite; `signal.reason` when aborted
   */
  async run(): Promise<TrainingState> {
    const { data, options, plan } = this.#parts;
    const { state } = this;
    await this.#evaluate();
    while (!state.stopped) {
      const batches = await epochBatches(data.train, { ...options, epoch: state.epoch });
      while (!state.stopped && state.batch < batches.length) {
        await this.#step(await makeBatch(data.train, data.passages, batches[state.batch]!, options.signal));
        const ended = state.step >= plan.totalSteps;
        if (ended || this.#isEvaluationDue(batches.length)) await this.#evaluate();
        if (ended) state.stopped ??= state.step === options.maxSteps ? 'maxSteps' : 'epochs';
      }
      state.epoch += 1;
      state.batch = 0;
    }
    return state;
  }

  dispose(): void {
    this.#trainer.dispose();
  }

  #isEvaluationDue(epochSteps: number): boolean {
    const { evaluateEvery } = this.#parts.options;
    return evaluateEvery === undefined ? this.state.batch === epochSteps : this.state.step % evaluateEvery === 0;
  }

  async #step(batch: Batch): Promise<void> {
    const { data, options, plan, log } = this.#parts;
    const { state } = this;
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
    const seconds = (performance.now() - started) / 1000;
    const record = describeStep(batch, result, { step: state.step, epoch: state.epoch + 1, learningRate, seconds });
    await log.write(record);
    options.onStep?.(record);
    this.#reportStep(0, `loss ${result.loss.toFixed(4)}`);
  }

  async #evaluate(): Promise<void> {
    const { data, log, options, keepWeights } = this.#parts;
    const { state } = this;
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
        what: `Evaluation on dev after step ${this.state.step}`,
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
    const { options, plan } = this.#parts;
    options.onProgress?.({
      stage: 'training',
      done: this.state.step + share,
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
