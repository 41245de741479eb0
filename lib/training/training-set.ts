import type { TokenSource } from './token-source.js';

/** Lists as numbers: what batches are made of. */
export interface TrainingSet {
  /** How many lists. */
  size: number;
  /** Passages in each. */
  listLength: number;
  queries: TokenSource;
  /** The distinct passages that lists refer to; the same of a training set and its dev set. */
  passages: TokenSource;
  /** Size × listLength rows into `passages`; the first of each list is the positive. */
  rows: Int32Array;
  /** Size × listLength teacher scores. */
  teacher: Float64Array;
  /** The id of a list's query, for messages. */
  idOf(place: number): string;
}

/** A training set with what stops and chooses by it. */
export interface TrainingPair {
  /** What the log calls it. */
  name: string;
  train: TrainingSet;
  dev: TrainingSet | undefined;
  /** SHA-256 of the lists, the dev lists if there are any, and the texts as tokens. */
  hashes: Record<string, string>;
}

/** A run's sets: one, or several that take turns. */
export interface TrainingData {
  sets: readonly TrainingPair[];
}

/** Whether there is any set to stop by. */
export function hasDev({ sets }: TrainingData): boolean {
  return sets.some(({ dev }) => dev !== undefined);
}
