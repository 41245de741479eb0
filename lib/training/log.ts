import { type FileHandle, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { makeDirectory, writing } from '../formats/writing.js';
import { textCount } from '../models/packed-texts.js';
import type { AnyLosses, Losses, StepFacts, StepResult } from '../native.js';
import type { Batch } from './batches.js';
import type { HumanMeasure } from './human-dev.js';

/** A step of any run, as log.jsonl has it. */
export interface RunStepRecord extends StepFacts {
  kind: 'step';
  /** Steps taken, this one included. */
  step: number;
  /** Counted from 1. */
  epoch: number;
  learningRate: number;
  queries: number;
  loss: number;
  /** Queries × list length; of a cross-encoder these are the pairs. */
  slots: number;
  /** Which set the batch is of, where there are several. */
  set?: string;
  tokensPerSecond: number;
  /** Bytes of memory that the process has after the step, and the most it ever had; a GPU's is in `peakBytes`. */
  rssBytes: number;
  peakRssBytes: number;
  seconds: number;
  /** How long the trainer waited before it for the batch to be put together: near 0, for that is done ahead. */
  waitSeconds: number;
}

/** A step of an embedding model, whose passages are encoded once each. */
export interface StepRecord extends RunStepRecord, Omit<StepResult, keyof StepFacts | 'loss'> {
  /** Distinct passages that were encoded for the slots. */
  uniquePassages: number;
  /** Distinct passages over slots. */
  uniqueShare: number;
  /** Slots whose passage another slot of the batch has too: what encoding each passage once spares. */
  repeatedSlots: number;
}

/** An evaluation on dev, as log.jsonl has it, with the losses of the kind of model. */
export type EvaluationRecord<L extends AnyLosses = Losses> = L & EvaluationFacts<L>;

export interface EvaluationFacts<L extends AnyLosses> {
  kind: 'evaluation';
  /** Steps taken before it; 0 is the base model. */
  step: number;
  epoch: number;
  /** Whether these weights are the best so far, and are now in model/. */
  isBest: boolean;
  /** Of each set, where there are several. */
  sets?: SetLosses<L>[];
  /** On queries of people, where there are any. */
  human?: HumanMeasure;
  seconds: number;
}

/** The losses on one of several dev sets. */
export type SetLosses<L extends AnyLosses = Losses> = L & {
  name: string;
  /** Its size, and with that its weight. */
  lists: number;
};

/** What ended a run whose numbers were not finite, as log.jsonl has it. */
export interface FailureRecord {
  kind: 'failure';
  /** Steps taken before it. */
  step: number;
  message: string;
  /** The ids of all queries of the batch. */
  queries: string[];
}

/** A step's record from what it was given and what it gave. */
export function describeStep(
  batch: Batch,
  result: StepFacts & AnyLosses,
  facts: Pick<RunStepRecord, 'step' | 'epoch' | 'learningRate' | 'seconds' | 'waitSeconds' | 'set'>,
): RunStepRecord {
  const slots = batch.rows.length;
  return {
    kind: 'step',
    ...facts,
    ...result,
    queries: batch.lists.length,
    slots,
    ...(!batch.pairs && sharedPassages(batch)),
    rssBytes: process.memoryUsage.rss(),
    // Linux and Node count it in kilobytes.
    peakRssBytes: process.resourceUsage().maxRSS * 1024,
    tokensPerSecond: result.tokens / facts.seconds,
  };
}

function sharedPassages({ passages, rows }: Batch): Omit<StepRecord, keyof RunStepRecord | keyof StepResult> {
  const uniquePassages = textCount(passages);
  return { uniquePassages, uniqueShare: uniquePassages / rows.length, repeatedSlots: rows.length - uniquePassages };
}

/** log.jsonl: a line for each step and each evaluation, written as they happen. */
export class TrainingLog implements AsyncDisposable {
  readonly #path: string;
  readonly #file: FileHandle;
  #bytes: number;

  private constructor(path: string, file: FileHandle, bytes: number) {
    this.#path = path;
    this.#file = file;
    this.#bytes = bytes;
  }

  /** Starts a new log; an earlier one of that name is emptied. @throws WriteError */
  static async create(file: string): Promise<TrainingLog> {
    await makeDirectory(dirname(file));
    return new TrainingLog(file, await writing(file, () => open(file, 'w')), 0);
  }

  /**
   * Goes on with a log as it was at a checkpoint: what was written later is cut off. A log that somebody shortened or
   * removed is taken as it is.
   * @param bytes its length at the checkpoint
   * @throws WriteError
   */
  static async resume(path: string, bytes: number): Promise<TrainingLog> {
    await makeDirectory(dirname(path));
    const file = await writing(path, () => open(path, 'a'));
    const { size } = await file.stat();
    if (size > bytes) await writing(path, () => file.truncate(bytes));
    return new TrainingLog(path, file, Math.min(size, bytes));
  }

  /** How long the log is. */
  get bytes(): number {
    return this.#bytes;
  }

  async write(record: object): Promise<void> {
    const line = Buffer.from(`${JSON.stringify(record)}\n`);
    await writing(this.#path, () => this.#file.appendFile(line));
    this.#bytes += line.length;
  }

  /** Has what was written reach the disk. */
  async sync(): Promise<void> {
    await writing(this.#path, () => this.#file.datasync());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
  }
}
