import { copyFile, link, mkdir, open, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { makeDirectory, writing } from '../formats/writing.js';
import type { AnyLosses } from '../native.js';
import type { EarlyStoppingState } from './early-stopping.js';
import type { EvaluationRecord } from './log.js';
import type { Found } from './objective.js';
import type { RunInputs } from './run-inputs.js';

/** Why training ended. */
export type StopReason = 'epochs' | 'maxSteps' | 'patience';

/** Where a run stands, apart from weights and moments. */
export interface TrainingState {
  /** Steps taken. */
  step: number;
  /** Epoch under way, from 0, and how many of its batches are done. */
  epoch: number;
  batch: number;
  /** Most tokens of a micro-batch, settled before the first checkpoint: another cut would round otherwise. */
  tokenBudget?: number;
  /** Whether an evaluation on dev comes before the next step. */
  evaluationDue: boolean;
  earlyStopping: EarlyStoppingState;
  evaluations: EvaluationRecord<AnyLosses>[];
  stopped?: StopReason;
}

/** What a checkpoint holds beside weights and moments. */
export interface CheckpointFacts extends Found {
  inputs: RunInputs;
  state: TrainingState;
  /** Bytes of log.jsonl that were written by then. */
  logBytes: number;
  /** What computed: other threads, instructions or versions round otherwise. */
  machine: Record<string, string | number>;
}

/** A checkpoint on disk. */
export interface Checkpoint extends CheckpointFacts {
  directory: string;
  /** Absent at step 0, where the weights are the base model's and there are no moments yet. */
  weights?: string;
  optimizer?: string;
  /** The weights of the lowest loss on dev so far. Absent without dev and at step 0. */
  best?: string;
}

/** A checkpoint that cannot be gone on from. */
export interface BrokenCheckpoint {
  step: number;
  directory: string;
  /** What is wrong with it, in words. */
  problem: string;
}

/** Where the checkpoints of a run are, by its output directory. */
export function checkpointsOf(output: string): string {
  return join(output, 'checkpoints');
}

/** How many steps a run that was stopped can go on from; 0 where it has no whole checkpoint. */
export async function stepsKept(output: string): Promise<number> {
  return (await new Checkpoints(checkpointsOf(output), 1).latest())?.state.step ?? 0;
}

const FORMAT = 1;
/** A checkpoint, one that is being written, and one that another of the same step is taking the place of. */
const NAME = /^(?:step-(\d+)|\.step-(\d+)\.(?:tmp|old))$/;
const STATE = 'state.json';
const WEIGHTS = 'weights.safetensors';
const OPTIMIZER = 'optimizer.safetensors';
const BEST = 'best.safetensors';

/** Writes a checkpoint's weights and moments, or names a file to link to. */
export interface CheckpointParts {
  /** The weights are those of a file that is never changed in place, or are to be written. */
  weights?: { file: string } | ((file: string) => Promise<void>);
  optimizer?: (file: string) => Promise<void>;
  best?: { file: string } | ((file: string) => Promise<void>);
}

/**
 * The checkpoints of a run, in directories step-N. Each is written beside, synced and renamed, so that whatever carries
 * that name is whole whenever the process or the machine stops; the oldest go when there are more than `keep`.
 * Where a run comes to the same step again, the earlier checkpoint is there until the new one is.
 */
export class Checkpoints {
  readonly #directory: string;
  readonly #keep: number;

  constructor(directory: string, keep: number) {
    this.#directory = directory;
    this.#keep = keep;
  }

  /** @throws WriteError if the file system refuses, and what `parts` throw; earlier checkpoints stay as they are */
  async write(facts: CheckpointFacts, parts: CheckpointParts): Promise<void> {
    const place = this.#place(facts.state.step);
    const beside = join(this.#directory, `.step-${facts.state.step}.tmp`);
    await makeDirectory(this.#directory);
    try {
      await writing(place, async () => {
        await rm(beside, { recursive: true, force: true });
        await mkdir(beside);
        await provide(join(beside, WEIGHTS), parts.weights);
        await provide(join(beside, OPTIMIZER), parts.optimizer);
        await provide(join(beside, BEST), parts.best);
        await writeState(beside, facts);
        await setAside(place, this.#aside(facts.state.step));
        await rename(beside, place);
        await sync(this.#directory);
        await this.#prune(facts.state.step);
      });
    } catch (error) {
      await rm(beside, { recursive: true, force: true });
      throw error;
    }
  }

  /**
   * The newest checkpoint that is whole, if there is one.
   * @param onBroken hears of each newer one that is not, and why
   */
  async latest(onBroken?: (broken: BrokenCheckpoint) => void): Promise<Checkpoint | undefined> {
    for (const step of await this.#steps()) {
      for (const directory of [this.#place(step), this.#aside(step)]) {
        const found = await readCheckpoint(directory);
        if (typeof found === 'object') return found;
        if (found !== undefined) onBroken?.({ step, directory, problem: found });
      }
    }
    return undefined;
  }

  /** Removes all checkpoints, and what was left of unfinished ones. */
  async clear(): Promise<void> {
    await writing(this.#directory, () => rm(this.#directory, { recursive: true, force: true }));
  }

  /** Later steps than the newest are of checkpoints that were not whole, so that the run went on from before them. */
  async #prune(newest: number): Promise<void> {
    const past = (await this.#steps()).filter((step) => step <= newest);
    const kept = past.slice(0, this.#keep).map((step) => `step-${step}`);
    for (const name of await readdir(this.#directory)) {
      if (!NAME.test(name) || kept.includes(name)) continue;
      await rm(join(this.#directory, name), { recursive: true, force: true });
    }
  }

  /** The steps of all checkpoints, newest first. */
  async #steps(): Promise<number[]> {
    const names = await readdir(this.#directory).catch(() => []);
    const steps = names.flatMap((name) => {
      const [match, step, hidden] = NAME.exec(name) ?? [];
      return match ? [Number(step ?? hidden)] : [];
    });
    return [...new Set(steps)].sort((a, b) => b - a);
  }

  #aside(step: number): string {
    return join(this.#directory, `.step-${step}.old`);
  }

  #place(step: number): string {
    return join(this.#directory, `step-${step}`);
  }
}

async function setAside(place: string, aside: string): Promise<void> {
  await rm(aside, { recursive: true, force: true });
  await rename(place, aside).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error;
  });
}

/** Links to a file where the file system can, else copies it; or has it written. */
async function provide(
  place: string,
  part: { file: string } | ((file: string) => Promise<void>) | undefined,
): Promise<void> {
  if (part === undefined) return;
  if (typeof part === 'function') return part(place);
  await link(part.file, place).catch(() => copyFile(part.file, place));
  await sync(place);
}

async function writeState(directory: string, facts: CheckpointFacts): Promise<void> {
  const files: Record<string, number> = {};
  for (const name of await readdir(directory)) files[name] = (await stat(join(directory, name))).size;
  const file = join(directory, STATE);
  await writeFile(file, JSON.stringify({ format: FORMAT, files, ...facts }, null, 2));
  await sync(file);
  await sync(directory);
}

/** A checkpoint directory; what is wrong with it if it is not whole; undefined if there is none. */
async function readCheckpoint(directory: string): Promise<Checkpoint | string | undefined> {
  const text = await readFile(join(directory, STATE), 'utf8').catch(() => undefined);
  if (text === undefined) return (await sizeOf(directory)) === undefined ? undefined : `${STATE} cannot be read`;
  const found = parse(text);
  if (typeof found?.files !== 'object') return `${STATE} is cut off or damaged`;
  if (found.format !== FORMAT) return `it is of format ${found.format} and this version reads ${FORMAT}`;
  const { files, format: _, ...facts } = found;
  for (const [name, size] of Object.entries(files)) {
    const there = await sizeOf(join(directory, name));
    if (there === undefined) return `${name} is missing`;
    if (there !== size) return `${name} has ${there} bytes and not ${size}`;
  }
  const has = (name: string) => (name in files ? join(directory, name) : undefined);
  return { ...facts, directory, weights: has(WEIGHTS), optimizer: has(OPTIMIZER), best: has(BEST) };
}

async function sizeOf(path: string): Promise<number | undefined> {
  return (await stat(path).catch(() => undefined))?.size;
}

function parse(text: string): (CheckpointFacts & { format: number; files: Record<string, number> }) | undefined {
  try {
    return JSON.parse(text) ?? undefined;
  } catch {
    return undefined;
  }
}

/** Has what was written reach the disk; a file system that cannot do that for directories is left alone. */
async function sync(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } catch (error) {
    if (!['EINVAL', 'EPERM', 'EISDIR', 'ENOTSUP'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
  } finally {
    await handle.close();
  }
}
