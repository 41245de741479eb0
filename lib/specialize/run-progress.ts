import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { describe } from '../errors.js';
import { type ProcessMark, thisProcess } from '../setup/processes.js';
import type { Progress } from '../types.js';
import type { RunDirectory } from './run-directory.js';
import type { StageEvent } from './stage-runner.js';

const MS_BETWEEN_WRITES = 1_000;

/** Where a run is, or where it ended without being done: run.progress.json. */
export interface RunState {
  process: ProcessMark;
  /** When it started and when this was written, by ISO 8601. */
  started: string;
  updated: string;
  /** The stage under way, and when it began. */
  stage?: string;
  stageStarted?: string;
  /** What was reported last, with how many a second since the stage began to count this. */
  progress?: Progress & { rate?: number };
  /** Why it ended, if it said so itself. */
  error?: string;
}

/**
 * Writes where a run is for other processes to read, every second or so. That it cannot be written is no reason to
 * stop: what matters is written elsewhere, and says so.
 */
export class RunProgress {
  readonly #file: string;
  readonly #state: RunState;
  #first: { at: number; progress: Progress } | undefined;
  #lastWrite = 0;
  #writing: Promise<void> = Promise.resolve();

  constructor(directory: RunDirectory) {
    this.#file = directory.file('progress');
    const now = new Date().toISOString();
    this.#state = { process: thisProcess(), started: now, updated: now };
    this.#write();
  }

  stage({ stage, status }: StageEvent<string>): void {
    if (status !== 'started' && status !== 'done') return;
    const { progress: _, stage: __, stageStarted: ___, ...rest } = this.#state;
    const isStart = status === 'started';
    this.#set({ ...rest, ...(isStart && { stage, stageStarted: new Date().toISOString() }) });
  }

  report(progress: Progress): void {
    const first = this.#first?.progress;
    const isSame = first?.stage === progress.stage && first.unit === progress.unit && first.total === progress.total;
    const isNew = !this.#first || !isSame || progress.done < this.#first.progress.done;
    if (isNew) this.#first = { at: Date.now(), progress };
    this.#state.progress = { ...progress, ...this.#rate(progress) };
    if (isNew || Date.now() - this.#lastWrite >= MS_BETWEEN_WRITES) this.#write();
  }

  /** The run ended: done, or by an error in a stage, which stays to be read. */
  async end(error?: unknown): Promise<void> {
    const failed = error !== undefined && this.#state.stage !== undefined;
    if (failed) {
      this.#state.error = error instanceof Error ? error.message : describe(error);
      this.#write();
    }
    await this.#writing;
    if (!failed) await rm(this.#file, { force: true }).catch(() => {});
  }

  #set(state: RunState): void {
    for (const name of Object.keys(this.#state) as (keyof RunState)[]) delete this.#state[name];
    Object.assign(this.#state, state);
    this.#first = undefined;
    this.#write();
  }

  #rate({ done }: Progress): { rate?: number } {
    const { at, progress } = this.#first!;
    const seconds = (Date.now() - at) / 1000;
    return seconds >= 0.5 && done > progress.done ? { rate: (done - progress.done) / seconds } : {};
  }

  #write(): void {
    this.#lastWrite = Date.now();
    this.#state.updated = new Date().toISOString();
    const text = `${JSON.stringify(this.#state, null, 2)}\n`;
    const beside = `${this.#file}.${process.pid}.tmp`;
    this.#writing = this.#writing.then(async () => {
      try {
        await writeFile(beside, text);
        await rename(beside, this.#file);
      } catch {
        await rm(beside, { force: true }).catch(() => {});
      }
    });
  }
}

/** What run.progress.json says; undefined where there is none that can be read. */
export async function readRunState(directory: RunDirectory): Promise<RunState | undefined> {
  try {
    return JSON.parse(await readFile(directory.file('progress'), 'utf8')) as RunState;
  } catch {
    return undefined;
  }
}
