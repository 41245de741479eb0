import type { BatchArgs, PairBatchArgs } from '../native.js';
import type { Batch, MakeBatch } from './batches.js';
import type { TemperatureMatch } from './temperature.js';

/** What a run found out before its first step, and keeps in checkpoints. */
export interface Found {
  /** The teacher's temperature, where there is one, and how it was found if it was matched. */
  teacherTemperature?: number;
  temperatureMatch?: TemperatureMatch;
}

/** How a batch is cut into micro-batches, which the loop plans. */
type Cut = 'tokenBudget' | 'keepBytes';

/** What a run works towards: how lists become a batch, and a batch what the addon computes. */
export interface Objective {
  make: MakeBatch;
  argsOf(batch: Batch): Omit<BatchArgs, Cut> | Omit<PairBatchArgs, Cut>;
  /** What the log says of it at the run's start. */
  facts: object;
  found: Found;
  /** What to try where numbers are not finite, for the message. */
  remedy: string;
}
