import type { StepFacts } from '../native.js';
import type { Batch } from './batches.js';
import type { TrainingState } from './checkpoints.js';
import type { TrainingLog } from './log.js';
import { parseMemorySize } from './memory-size.js';
import { type MemoryPlan, planMemory, sizeOf } from './planner.js';
import type { SettledRunOptions } from './run-options.js';
import type { WatchedTrainer } from './watched-trainer.js';

export interface StepMemoryParts {
  options: Pick<SettledRunOptions, 'maxMemory' | 'tokenBudget' | 'keepBytes' | 'onEvent'>;
  state: TrainingState;
  log: TrainingLog;
  device: string;
}

/** Plans each step's memory. The token budget is settled once, for another cut rounds otherwise; the rest may vary. */
export class StepMemory {
  readonly #trainer: WatchedTrainer;
  readonly #parts: StepMemoryParts;
  readonly #maxMemory: number | undefined;
  #mode: MemoryPlan['mode'] | undefined;

  constructor(trainer: WatchedTrainer, parts: StepMemoryParts) {
    const { maxMemory } = parts.options;
    this.#trainer = trainer;
    this.#parts = parts;
    this.#maxMemory = maxMemory === undefined ? undefined : parseMemorySize(maxMemory, 'maxMemory');
  }

  /**
   * Settles the token budget, by the first batch, before the first evaluation and the first checkpoint: a run that goes
   * on from there must cut as this one does, whatever memory is free then. A smaller one that is asked for later holds.
   */
  settle(batch: Batch): void {
    const { options, state } = this.#parts;
    const known = [options.tokenBudget, state.tokenBudget].filter((budget) => budget !== undefined);
    state.tokenBudget = this.#planFor(batch, known.length > 0 ? Math.min(...known) : undefined).tokenBudget;
  }

  /** How a step over this batch is cut; says and logs it at first, and when another part of it is kept. */
  async plan(batch: Batch): Promise<Pick<MemoryPlan, 'tokenBudget' | 'keepBytes'>> {
    const { options, state, log } = this.#parts;
    const plan = this.#planFor(batch, state.tokenBudget);
    if (plan.mode !== this.#mode) {
      this.#mode = plan.mode;
      const step = state.step + 1;
      await log.write({ kind: 'plan', step, ...plan });
      options.onEvent?.({ kind: 'plan', step, plan });
    }
    return { tokenBudget: plan.tokenBudget, keepBytes: plan.keepBytes };
  }

  #planFor(batch: Batch, tokenBudget: number | undefined): MemoryPlan {
    const { options, device } = this.#parts;
    return planMemory(sizeOf(batch), this.#trainer.memory(), {
      device: device.startsWith('cuda') ? 'cuda' : 'cpu',
      free: process.availableMemory(),
      used: process.memoryUsage.rss(),
      maxMemory: this.#maxMemory,
      tokenBudget,
      keepBytes: options.keepBytes,
    });
  }

  /** Takes on what a step found out: where memory ran out, later steps begin with the smaller budget. */
  learn({ shortages, tokenBudget }: StepFacts): void {
    const { options, state } = this.#parts;
    if (shortages === 0) return;
    state.tokenBudget = tokenBudget;
    options.onEvent?.({ kind: 'shortage', step: state.step, tokenBudget });
  }
}
